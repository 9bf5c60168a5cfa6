//! A server per test, and a client that sends exactly the bytes it is given.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use kvstore_api::{ApiOptions, App, ServeOptions, serve};
use kvstore_service::{Budget, Limits, Service, Status, Store, StoreError};
use kvstore_storage::{Checkpoint, ManualClock, open_memory};
use kvstore_types::{
    Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, Timestamp, WriteBatch,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// No step of a test may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// 2026-11-22T21:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_381_200_000_000);

/// What a test sets.
pub(crate) struct Setup {
    pub(crate) api: ApiOptions,
    pub(crate) serve: ServeOptions,
    pub(crate) limits: Limits,
    pub(crate) budget: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { api: ApiOptions::default(), serve: ServeOptions::default(), limits: Limits::default(), budget: 256 << 20 }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Faulty>,
    pub(crate) budget: Budget,
    shutdown: CancellationToken,
    task: Option<JoinHandle<std::io::Result<usize>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(Faulty { inner: open_memory(clock.clone(), None).unwrap(), mode: Mutex::new(Mode::Works) });
        let budget = Budget::new(setup.budget);
        let service = Service::new(store.clone(), budget.clone(), setup.limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = App::new(service, setup.api);
        let task = tokio::spawn(serve(listener, app, setup.serve, shutdown.clone()));
        Self { address, clock, store, budget, shutdown, task: Some(task) }
    }

    /// Asks the server to stop, without waiting.
    pub(crate) fn stop(&self) {
        self.shutdown.cancel();
    }

    /// Waits for the server's end: how many connections it cut.
    pub(crate) async fn ended(mut self) -> usize {
        within(self.task.take().unwrap()).await.unwrap().unwrap()
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection { stream: within(TcpStream::connect(self.address)).await.unwrap(), buffer: Vec::new() }
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect().await;
        connection.send(&request(method, path, headers, body)).await;
        connection.answer(method).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"").await
    }

    pub(crate) async fn put(&self, path: &str, value: &str) -> Answer {
        self.call("PUT", path, &[("Content-Type", "text/plain")], value.as_bytes()).await
    }

    pub(crate) async fn put_json(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, &[("Content-Type", "application/json")], body.as_bytes()).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[("Content-Type", "application/json")], body.as_bytes()).await
    }

    /// Sends bytes as they are and reads one answer.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut connection = self.connect().await;
        connection.send(bytes).await;
        connection.answer("GET").await
    }

    /// All that is stored, to show that nothing changed.
    pub(crate) async fn everything(&self) -> Value {
        let answer = self.get("/kv-store/v1/kv/").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Waits for something that must come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it came within the deadline")
}

/// A request as bytes.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || matches!(method, "PUT" | "POST") {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends what the server takes: it may answer and close before it has taken everything.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = within(self.stream.write_all(bytes)).await;
    }

    /// Reads more; `false` at the end.
    async fn fill(&mut self) -> bool {
        let mut piece = vec![0; 64 << 10];
        match within(self.stream.read(&mut piece)).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                true
            }
        }
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8(self.buffer.drain(..end + 2).collect()).unwrap();
                return line.trim_end().to_owned();
            }
            assert!(self.fill().await, "the answer ended early: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await, "the body ended after {} of {count} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Reads one answer to a request with this method.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        let mut line = self.line().await;
        while line.starts_with("HTTP/1.1 100") {
            assert_eq!(self.line().await, "");
            line = self.line().await;
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || status == 204 || status == 304 {
            return answer;
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = usize::from_str_radix(&self.line().await, 16).unwrap();
                let chunk = self.bytes(size).await;
                answer.body.extend_from_slice(&chunk);
                assert_eq!(self.line().await, "");
                if size == 0 {
                    return answer;
                }
            }
        }
        let length = answer.header("content-length").expect("an answer tells its length").parse().unwrap();
        answer.body = self.bytes(length).await;
        answer
    }

    /// Waits until the server closes the connection; returns what came before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// Asserts that this is a problem of this kind, complete; returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "status of {}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:kvstore:problem:{slug}"), "{problem}");
        for member in ["title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
        }
        problem
    }

    /// The pointers of a problem's faults.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.json();
        let faults = problem["errors"].as_array().cloned().unwrap_or_default();
        faults.iter().map(|fault| fault["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

/// How the store behaves.
#[derive(Clone)]
pub(crate) enum Mode {
    Works,
    /// Every call fails like this.
    Fails(StoreError),
    /// Every call panics.
    Panics,
    /// Reads wait until the token is cancelled.
    Waits(CancellationToken),
}

/// A store that fails on request.
pub(crate) struct Faulty {
    inner: Arc<dyn Store>,
    mode: Mutex<Mode>,
}

impl Faulty {
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    async fn gate(&self) -> Result<(), StoreError> {
        // Copied out: a panic under the lock would poison it for what comes after.
        let mode = self.mode.lock().unwrap().clone();
        let wait = match mode {
            Mode::Works => None,
            Mode::Fails(error) => return Err(error),
            Mode::Panics => panic!("a panic with a secret"),
            Mode::Waits(token) => Some(token),
        };
        if let Some(token) = wait {
            token.cancelled().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Faulty {
    async fn read(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<Option<Entry>, StoreError> {
        self.gate().await?;
        self.inner.read(key, projection, consistency).await
    }

    async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        self.gate().await?;
        self.inner.read_many(keys, consistency).await
    }

    async fn scan(&self, scan: &Scan, consistency: Consistency) -> Result<Page, StoreError> {
        self.gate().await?;
        self.inner.scan(scan, consistency).await
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        self.gate().await?;
        self.inner.write(batch).await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.gate().await?;
        self.inner.checkpoint().await
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        self.gate().await?;
        self.inner.restore(batch).await
    }

    fn applied_revision(&self) -> Revision {
        self.inner.applied_revision()
    }

    fn capabilities(&self) -> kvstore_storage::Capabilities {
        self.inner.capabilities()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        if let Mode::Fails(error) = &*self.mode.lock().unwrap() {
            return Err(error.clone());
        }
        self.inner.probe().await
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.inner.shutdown().await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }
}

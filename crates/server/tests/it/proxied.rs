//! The examples with HAProxy and nginx, as they stand: what a proxy on the way must not do to paths, answers and writes.

use std::{
    path::PathBuf,
    process::{Command, Output},
    sync::Mutex,
    time::Duration,
};

use bytes::Bytes;
use kvstore_client::{Client, ClientError, PutOptions, WriteOutcome};
use kvstore_types::Key;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{task::JoinSet, time::Instant};

use crate::running::{DEADLINE, text};

/// Names that proxies like to change.
const KEYS: [&str; 9] = ["a/b", "a//b", "/a", "a/", "..", "../b", "a/./b", "50% off/ü", "a%2Fb"];
/// Writes that are under way when a node stands still.
const WRITES: usize = 24;
/// What a node that runs needs for an answer.
const AT_ONCE: Duration = Duration::from_secs(5);

/// An example that was started. It is ended with this value.
struct Example {
    script: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Example {
    fn up(name: &str) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name).join("run.sh");
        let folder = tempfile::Builder::new().prefix("kvstore-example-").tempdir().expect("a folder").keep();
        let example = Self { script, folder, port: first_port() };
        let output = example.run("up");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        example
    }

    fn run(&self, what: &str) -> Output {
        let mut command = Command::new(&self.script);
        command.arg(what).env("KVSTORE", env!("CARGO_BIN_EXE_kvstore")).env("EXAMPLE_DIR", &self.folder);
        command.env("EXAMPLE_PORT", self.port.to_string()).output().expect("the script runs")
    }

    /// A client of the proxy (0), or of a node.
    fn client(&self, node: u16) -> Client {
        Client::new(&self.url(node), None).expect("a client")
    }

    fn url(&self, node: u16) -> String {
        format!("http://127.0.0.1:{}", self.port + node)
    }

    fn signal(&self, server: &str, signal: Signal) {
        let pid = std::fs::read_to_string(self.folder.join(format!("run/{server}.pid"))).expect("a process id");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a number");
        kill_process(pid, signal).expect("it runs");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.run("clean");
    }
}

/// Ports that an example counts up through from its first.
const PORTS: u16 = 100;

/// The first port of an example. Those after it are given to nobody else in this process.
fn first_port() -> u16 {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().expect("no test broke off here");
    let first = kvstore_testkit::free_port().expect("a port");
    for _ in 1..PORTS {
        kvstore_testkit::free_port().expect("a port");
    }
    first
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_changes_nothing_and_never_repeats_a_write() {
    let example = Example::up("haproxy");
    keys_pass_as_they_are(&example).await;
    answers_are_not_compressed(&example);
    a_write_is_sent_once(&example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_changes_nothing_and_never_repeats_a_write() {
    let example = Example::up("nginx");
    keys_pass_as_they_are(&example).await;
    answers_are_not_compressed(&example);
    a_write_is_sent_once(&example).await;
}

async fn keys_pass_as_they_are(example: &Example) {
    let (proxy, node) = (example.client(0), example.client(2));
    for name in KEYS {
        // The client refuses an answer about another key.
        proxy.put(&key(name), value(name), &PutOptions::default()).await.unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let entry = node.get(&key(name)).await.expect("an answer").unwrap_or_else(|| panic!("{name:?} is not there"));
        assert_eq!(entry.value.as_deref(), Some(name.as_bytes()), "{name:?}");
        assert_eq!(entry.version, 1, "{name:?} was written more than once");
    }
    // What a person types: raw slashes, an encoded one, and two in a row.
    for (path, name) in [("kv/raw/path/", "raw/path"), ("kv/raw%2Fcoded/", "raw/coded"), ("kv/raw//twice/", "raw//twice")] {
        let url = format!("{}/kv-store/v1/{path}", example.url(0));
        let put = ["-s", "-f", "--path-as-is", "-X", "PUT", "-H", "Content-Type: text/plain", "-d", "typed", &url];
        let output = Command::new("curl").args(put).output().expect("curl runs");
        assert!(output.status.success(), "PUT {url}: {}", text(&output.stdout));
        assert!(node.get(&key(name)).await.expect("an answer").is_some(), "{path} did not name {name:?}");
    }
}

fn answers_are_not_compressed(example: &Example) {
    let url = format!("{}/kv-store/v1/kv/?limit=1000", example.url(0));
    let output = Command::new("curl").args(["-s", "-i", "-H", "Accept-Encoding: gzip", &url]).output().expect("curl runs");
    let answer = text(&output.stdout).to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(!answer.contains("content-encoding"), "the proxy compresses: {answer}");
}

/// A node stands still with writes in hand, and then is killed: those writes fail, and are done by nobody else.
async fn a_write_is_sent_once(example: &Example) {
    example.signal("node-1", Signal::STOP);
    let mut writes = JoinSet::new();
    for n in 0..WRITES {
        let proxy = example.client(0);
        writes.spawn(async move { (n, proxy.put(&key(&format!("once-{n}")), value("once"), &PutOptions::default()).await) });
    }
    let (mut stored, mut failed) = (0, Vec::new());
    let patience = tokio::time::sleep(AT_ONCE);
    tokio::pin!(patience);
    let mut killed = false;
    while !writes.is_empty() {
        tokio::select! {
            Some(done) = writes.join_next() => match done.expect("a task that ends") {
                (_, Ok(_)) => {
                    assert!(!killed, "a write that a killed node had was done by the other");
                    stored += 1;
                }
                (n, Err(error)) => failed.push((n, error)),
            },
            () = &mut patience, if !killed => {
                // Where the proxy has not cut them off yet, this does.
                example.signal("node-1", Signal::KILL);
                killed = true;
            }
        }
    }
    if !killed {
        example.signal("node-1", Signal::KILL);
    }
    assert!(stored > 0, "no write went to the node that runs");
    assert!(!failed.is_empty(), "no write went to the node that stood still");
    let node = example.client(2);
    for (n, error) in failed {
        assert_eq!(error.outcome(), WriteOutcome::Unknown, "write {n}: {error}");
        let there = node.get(&key(&format!("once-{n}"))).await.expect("an answer");
        assert!(there.is_none(), "write {n} was answered as failed ({error}), and somebody did it");
    }
    goes_on(example).await;
}

/// With one node left, the proxy finds it.
async fn goes_on(example: &Example) {
    let proxy = example.client(0);
    let deadline = Instant::now() + DEADLINE;
    let mut in_a_row = 0;
    while in_a_row < 10 {
        let put = proxy.put(&key("goes-on"), value("on"), &PutOptions::default()).await;
        in_a_row = if put.is_ok() { in_a_row + 1 } else { 0 };
        if let Err(error @ (ClientError::Refused { .. } | ClientError::BadAnswer(_))) = put {
            panic!("{error}");
        }
        assert!(Instant::now() < deadline, "no ten writes in a row within {DEADLINE:?}");
    }
}

//! One HTTP/1.1 connection to a server on loopback: for loading, checking and timing. It pools and retries nothing.

use std::{
    future::{Future, poll_fn},
    net::Ipv4Addr,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// The longest that one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
    /// Driven by the task that waits for the answer: a task of its own would cost two more hops between threads for each request.
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
    host: String,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Http {
    /// Connects to a port on loopback.
    pub(crate) async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection, host: format!("127.0.0.1:{port}") })
    }

    /// A request to this server with a JSON body, or with none where it is empty.
    pub(crate) fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::new(body))?)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let Self { sender, connection, .. } = self;
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answer { status, body })
        };
        let driven = drive(Pin::new(connection), exchange);
        Ok(tokio::time::timeout(REQUEST_MAX, driven).await.with_context(|| format!("no answer within {REQUEST_MAX:?}"))??)
    }

    /// GET.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.send(request).await
    }

    /// POST of JSON that must succeed with JSON of this form.
    pub(crate) async fn post_json<T: DeserializeOwned>(&mut self, path: &str, body: String) -> Result<T> {
        let request = self.request(Method::POST, path, Bytes::from(body))?;
        self.send(request).await?.json()
    }

    /// GET that must succeed with JSON of this form.
    pub(crate) async fn get_json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        self.get(path).await?.json()
    }
}

/// Runs an exchange together with the connection that it goes over.
async fn drive<T>(
    mut connection: Pin<&mut Connection<TokioIo<TcpStream>, Full<Bytes>>>,
    exchange: impl Future<Output = Result<T, hyper::Error>>,
) -> Result<T, hyper::Error> {
    let mut exchange = pin!(exchange);
    let mut is_open = true;
    poll_fn(|cx| {
        // Before the connection, so that it finds the request; and after it, since it brings the answer.
        if let Poll::Ready(done) = exchange.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        // The error of a broken connection comes out at the exchange that it broke.
        is_open = is_open && connection.as_mut().poll(cx).is_pending();
        exchange.as_mut().poll(cx)
    })
    .await
}

impl Answer {
    /// The body as JSON; an answer that is not 2xx is an error that shows it.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            bail!("answered {}: {}", self.status, self.start());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected answer: {}", self.start()))
    }

    fn start(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

//! One HTTP/1.1 connection to a server on loopback: for loading, checking and timing. It pools and retries nothing.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

/// The longest that one request may take.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// A connection.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
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
        // The error of a broken connection comes out at the request that it broke.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: format!("127.0.0.1:{port}") })
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
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Answer { status, body })
        };
        Ok(tokio::time::timeout(REQUEST_MAX, exchange).await.with_context(|| format!("no answer within {REQUEST_MAX:?}"))??)
    }

    /// GET.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        let request = self.request(Method::GET, path, Bytes::new())?;
        self.send(request).await
    }

    /// GET that must succeed with JSON of this form.
    pub(crate) async fn get_json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        self.get(path).await?.json()
    }
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

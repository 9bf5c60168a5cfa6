//! The least that an HTTP server can do: one axum route that returns the bytes of an entry, made beforehand. It looks nothing up
//! and serializes nothing, so what kvstore loses against it is the whole of kvstore.

use std::{io::Write, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result, ensure};
use axum::{Router, extract::Path as KeyPath, routing::get, serve::ListenerExt};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use tokio::{net::TcpListener, process::Command};

use crate::{
    child::{Child, free_port},
    http::Http,
    load::{Dialect, Server},
    workload::{BASE, HOT_KEY, key_path},
};

/// The process: serves until it is ended.
pub(crate) async fn serve(port: u16, entry: &Path, out: &mut (dyn Write + Send)) -> Result<()> {
    let entry = Bytes::from(std::fs::read(entry)?);
    let handler = move |KeyPath(_key): KeyPath<String>| {
        let entry = entry.clone();
        async move { ([(CONTENT_TYPE, "application/json")], entry) }
    };
    let router = Router::new().route(&format!("{BASE}/kv/{{*key}}"), get(handler));
    // Without this a peer would be slower than it could be.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?.tap_io(|stream| drop(stream.set_nodelay(true)));
    writeln!(out, "the bare route listens on http://127.0.0.1:{port}")?;
    Ok(axum::serve(listener, router).await?)
}

/// The process as seen from the benchmark.
pub(crate) struct BareRoute {
    child: Child,
    port: u16,
}

impl BareRoute {
    /// Starts it with the answer that kvstore gives for the hot key.
    pub(crate) async fn start(work: &Path, entry: &Bytes) -> Result<Self> {
        let (port, file) = (free_port()?, work.join("entry.json"));
        std::fs::write(&file, entry)?;
        let mut command = Command::new(std::env::current_exe().context("the path of this program")?);
        command.arg("bare-route").arg("--port").arg(port.to_string()).arg("--entry").arg(&file);
        let mut child = Child::spawn("the bare route", command, work.join("bare-route.txt"))?;
        child.wait_ready(|| async { Http::connect(port).await.is_ok() }).await?;
        let answer = Http::connect(port).await?.get(&key_path(HOT_KEY)).await?;
        ensure!(answer.status.is_success() && answer.body == *entry, "the bare route answered {answer:?}");
        Ok(Self { child, port })
    }

    /// Where loads go. It answers GET of one key as kvstore does.
    pub(crate) const fn server(&self) -> Server {
        Server { port: self.port, pid: self.child.pid(), dialect: Dialect::Kvstore }
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.stop().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_key_has_the_bytes_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("entry.json");
        std::fs::write(&file, r#"{"key":"a"}"#).unwrap();
        let (out, port) = (Vec::new(), free_port().unwrap());
        let server = tokio::spawn(async move {
            let mut out = out;
            serve(port, &file, &mut out).await
        });
        let mut http = loop {
            match Http::connect(port).await {
                Ok(http) => break http,
                Err(_) => assert!(!server.is_finished(), "the route ended before it answered"),
            }
            tokio::task::yield_now().await;
        };
        for number in [0, HOT_KEY] {
            let answer = http.get(&key_path(number)).await.unwrap();
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &br#"{"key":"a"}"#[..]));
        }
        assert_eq!(http.get("/elsewhere").await.unwrap().status, 404);
        server.abort();
    }
}

//! What is given as Redis and is none, or lets nobody in: no error reaches a client.

use std::time::{Duration, Instant};

use kvstore_storage::{CacheConfig, CacheMode, OpenError, open_cached};
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::{authority::MemoryAuthority, node::Node, redis::start};

/// Reads and writes while there is no cache, and none of it takes long.
async fn serves_without(url: &str) {
    for mode in [CacheMode::Validate, CacheMode::Fenced] {
        let authority = MemoryAuthority::new();
        let node = Node::start(&authority, url, mode);
        let begun = Instant::now();
        for _ in 0..50 {
            node.put("k", "v").await;
            assert_eq!(node.value("k").await.as_deref(), Some("v"));
        }
        assert!(begun.elapsed() < Duration::from_millis(2_500), "{mode:?} took {:?}", begun.elapsed());
        node.becomes("off").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_on() {
    serves_without(&format!("redis://127.0.0.1:{}", kvstore_testkit::free_port().expect("a port"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_with_another_password() {
    let redis = start(&["--requirepass", "secret"]);
    serves_without(&redis.url()).await;
    serves_without(&redis.url().replace("redis://", "redis://:wrong@")).await;
    let authority = MemoryAuthority::new();
    Node::ready(&authority, &redis.url().replace("redis://", "redis://:secret@"), CacheMode::Fenced).await;
}

/// It takes connections, and answers everything with the same bytes, or with nothing.
async fn listen(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1_024];
                while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.ok();
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_redis() {
    serves_without(&listen(b"HTTP/1.1 400 Bad Request\r\n\r\n").await).await;
    serves_without(&listen(b"+OK\r\n").await).await;
    serves_without(&listen(b"").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_can_not_be_used() {
    for url in ["", "redis", "http://127.0.0.1", "redis://127.0.0.1/x", "rediss://127.0.0.1/#insecure"] {
        let refused = open_cached(MemoryAuthority::new(), &CacheConfig::new(url)).err();
        let Some(OpenError::Cache(reason)) = refused else { panic!("{url:?} was taken, or gave {refused:?}") };
        assert!(!reason.is_empty());
    }
}

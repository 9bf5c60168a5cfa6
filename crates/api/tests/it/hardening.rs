//! Hostile clients: ambiguous framing, foreign hosts, slow senders and readers, too many of them, and no token.

use std::time::Duration;

use kvstore_api::{ApiOptions, ServeOptions};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::support::{Mode, Server, Setup, request, within};

const A: &str = "/kv-store/v1/kv/a/";

#[tokio::test]
async fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let server = Server::start().await;
    for headers in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "transfer-encoding: chunked\r\ncontent-length: 0",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: +3",
        "Content-Length: 3, 4",
        "Content-Length: -1",
        "Content-Length: 0x3",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
    ] {
        let mut connection = server.connect().await;
        let smuggled = "3\r\nabc\r\n0\r\n\r\nPUT /kv-store/v1/kv/smuggled/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
        let bytes = format!("PUT {A} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{smuggled}");
        connection.send(bytes.as_bytes()).await;
        connection.answer("PUT").await.problem(400, "bad-request");
        let rest = connection.closed().await;
        assert!(rest.is_empty(), "{headers}: nothing else is answered, but got {}", String::from_utf8_lossy(&rest));
    }
    let mut connection = server.connect().await;
    let get = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let behind = format!("{get}PUT {A} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    connection.send(behind.as_bytes()).await;
    assert_eq!(connection.answer("GET").await.status, 200);
    connection.answer("PUT").await.problem(400, "bad-request");
    assert_eq!(server.everything().await["count"], 0, "nothing was stored");
}

#[tokio::test]
async fn malformed_heads_get_a_problem() {
    let server = Server::start().await;
    for bytes in [
        &b"NONSENSE\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    ] {
        let mut connection = server.connect().await;
        connection.send(bytes).await;
        connection.answer("GET").await.problem(400, "bad-request");
        assert!(connection.closed().await.is_empty());
    }
    let many: Vec<(String, String)> = (0..70).map(|at| (format!("X-{at}"), "v".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    server.call("GET", "/livez", &many, b"").await.problem(431, "head-too-large");
    let long = "v".repeat(40_000);
    server.call("GET", "/livez", &[("X-Long", &long)], b"").await.problem(431, "head-too-large");
    let path = format!("/{}", "p".repeat(70_000));
    let answer = server.get(&path).await;
    assert!(matches!(answer.status, 414 | 431), "{}", answer.status);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn foreign_hosts_are_refused() {
    let api =
        ApiOptions { allowed_hosts: vec!["kv.example".into()], node_url: "http://node1:8000/kv-store/v1".into(), ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    for host in ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:8000", "kv.example", "KV.EXAMPLE:80", "node1:8000"] {
        assert_eq!(server.call("GET", "/livez", &[("Host", host)], b"").await.status, 200, "Host: {host}");
    }
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.168.0.1", "", "kv.example.evil"] {
        server.call("PUT", A, &[("Host", host)], b"x").await.problem(421, "wrong-host");
        server.call("GET", "/kv-store/v1/health/", &[("Host", host)], b"").await.problem(421, "wrong-host");
    }
    server.raw(b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.problem(421, "wrong-host");
    assert_eq!(server.raw(b"GET /livez HTTP/1.0\r\n\r\n").await.status, 200, "HTTP/1.0 has no Host");
    assert_eq!(server.everything().await["count"], 0);
}

#[tokio::test]
async fn without_the_token_only_health_and_documents_answer() {
    let api = ApiOptions { token: Some("s3cret".into()), ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    let documents = ["/", "/kv-store/schema/", "/kv-store/docs/", "/kv-store/redoc/", "/kv-store/assets/docs.js"];
    for path in ["/livez", "/readyz", "/kv-store/v1/health/"].into_iter().chain(documents) {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path} is open");
        assert!(!answer.text().contains("s3cret"), "{path} tells the token");
    }
    for sent in
        [None, Some("s3cret"), Some("Bearer "), Some("Bearer s3cre"), Some("Bearer s3cret1"), Some("Basic s3cret"), Some("Bearer S3CRET")]
    {
        let headers: Vec<_> = sent.iter().map(|sent| ("Authorization", *sent)).collect();
        for (method, path) in
            [("GET", A), ("PUT", A), ("GET", "/metrics"), ("GET", "/nothing"), ("GET", "/kv-store/assets/nothing"), ("POST", "/")]
        {
            let answer = server.call(method, path, &headers, b"").await;
            answer.problem(401, "unauthorized");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{method} {path} with {sent:?}");
        }
    }
    for sent in ["Bearer s3cret", "bearer s3cret"] {
        server.call("GET", A, &[("Authorization", sent)], b"").await.problem(404, "key-not-found");
    }
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let serve = ServeOptions { header_timeout: Duration::from_millis(200), ..ServeOptions::default() };
    let server = Server::with(Setup { serve, ..Setup::default() }).await;
    let mut idle = server.connect().await;
    assert!(idle.closed().await.is_empty(), "an idle connection is closed without a word");
    let mut slow = server.connect().await;
    slow.send(b"GET /livez HTTP/1.1\r\nHost: loc").await;
    slow.answer("GET").await.problem(408, "head-timeout");
    assert!(slow.closed().await.is_empty());
}

#[tokio::test]
async fn slow_bodies_end_with_408_and_give_their_memory_back() {
    let api =
        ApiOptions { body_idle_timeout: Duration::from_millis(150), body_timeout: Duration::from_millis(600), ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    let mut stalled = server.connect().await;
    stalled.send(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc").await;
    stalled.answer("PUT").await.problem(408, "body-timeout");
    assert!(stalled.closed().await.is_empty());
    let mut dripping = server.connect().await;
    dripping.send(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n").await;
    let (mut reading, mut writing) = dripping.stream.into_split();
    let drip = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1_000 {
            every.tick().await;
            if writing.write_all(b"x").await.is_err() {
                return;
            }
        }
    });
    let mut answer = vec![0; 12];
    within(tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408", "a body that drips for ever is too slow as a whole");
    drip.abort();
    assert_eq!(server.everything().await["count"], 0);
    assert_eq!(server.budget.used(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection.send(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc").await;
    connection.stream.shutdown().await.unwrap();
    connection.closed().await;
    let bad_chunk =
        server.raw(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n").await;
    bad_chunk.problem(400, "bad-request");
    assert_eq!(server.everything().await["count"], 0);
    within(async {
        while server.budget.used() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut() {
    let serve = ServeOptions { send_timeout: Duration::from_millis(300), ..ServeOptions::default() };
    let server = Server::with(Setup { serve, ..Setup::default() }).await;
    server.call("PUT", A, &[], &vec![b'x'; 15 << 20]).await;
    let mut connection = server.connect().await;
    connection.send(&request("GET", A, &[], b"").repeat(4)).await;
    within(async {
        while server.budget.used() == 0 {
            tokio::task::yield_now().await;
        }
        while server.budget.used() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let got = connection.closed().await.len();
    assert!(got < 15 << 20, "the answer was cut after {got} bytes");
}

#[tokio::test]
async fn a_body_without_room_in_memory_is_refused_before_it_is_read() {
    let server = Server::with(Setup { budget: 1 << 20, ..Setup::default() }).await;
    let mut first = server.connect().await;
    first.send(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 350000\r\n\r\n").await;
    within(async {
        while server.budget.used() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let second = server.raw(b"PUT /kv-store/v1/kv/b/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 350000\r\n\r\n").await;
    let problem = second.problem(503, "overloaded");
    assert_eq!((second.header("retry-after"), second.header("connection")), (Some("1"), Some("close")));
    assert_eq!(problem["outcome"], "not_applied");
    let chunked = [
        &b"PUT /kv-store/v1/kv/b/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n30D40\r\n"[..],
        &vec![b'x'; 200_000],
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    server.raw(&chunked).await.problem(503, "overloaded");
    // It would fit once, but not twice: as it arrived, and as the value that is stored.
    let never = server.raw(b"PUT /kv-store/v1/kv/b/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 600000\r\n\r\n").await;
    never.problem(413, "too-large");
    assert_eq!(server.get("/kv-store/v1/health/").await.status, 200, "health answers");
    first.send(&vec![b'x'; 350_000]).await;
    assert_eq!(first.answer("PUT").await.status, 201);
    assert_eq!(server.everything().await["count"], 1);
}

#[tokio::test]
async fn too_many_requests_are_shed_but_health_and_metrics_are_not() {
    let api = ApiOptions { max_requests: 2, ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    let go_on = CancellationToken::new();
    server.store.set(Mode::Waits(go_on.clone()));
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut connection = server.connect().await;
        connection.send(&request("GET", A, &[], b"")).await;
        waiting.push(connection);
    }
    // The first to be refused shows that both have come.
    let shed = within(async {
        loop {
            let mut connection = server.connect().await;
            connection.send(&request("PUT", A, &[], b"x")).await;
            match tokio::time::timeout(Duration::from_millis(100), connection.answer("PUT")).await {
                Ok(answer) => return answer,
                Err(_) => continue,
            }
        }
    })
    .await;
    let problem = shed.problem(503, "overloaded");
    assert_eq!((shed.header("retry-after"), problem["outcome"].as_str()), (Some("1"), Some("not_applied")));
    for path in ["/livez", "/metrics", "/kv-store/schema/"] {
        assert_eq!(server.get(path).await.status, 200, "{path} is never shed");
    }
    server.store.set(Mode::Works);
    go_on.cancel();
    for mut connection in waiting {
        connection.answer("GET").await.problem(404, "key-not-found");
    }
}

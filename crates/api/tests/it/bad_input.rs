//! What is refused, with the right problem, and without a change.

use kvstore_service::Limits;
use serde_json::json;

use crate::support::{Server, Setup, request};

const A: &str = "/kv-store/v1/kv/a/";

#[tokio::test]
async fn bad_keys_are_refused_by_every_method() {
    let server = Server::start().await;
    server.put(A, "kept").await;
    let before = server.everything().await;
    let long = "k".repeat(256);
    let long_in_bytes = "%C3%A9".repeat(256);
    let keys = [
        "/",
        "%00",
        "a%00b/",
        "%zz/",
        "%",
        "%4",
        "a%4",
        "%ff/",
        "%C3%28",
        "%ED%A0%80",
        "?key=",
        "?key=%zz",
        "?key=%ff",
        &long,
        &long_in_bytes,
        "?key=%00",
    ];
    for key in keys {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let answer = server.call(method, &format!("/kv-store/v1/kv/{key}"), &[], b"").await;
            assert_eq!(answer.status, 400, "{method} {key}: {}", answer.text());
            if method != "HEAD" {
                let slug = if key.starts_with("?key=%zz") || key.starts_with("?key=%ff") { "bad-query" } else { "bad-key" };
                answer.problem(400, slug);
            }
        }
    }
    for method in ["PUT", "DELETE"] {
        server.call(method, "/kv-store/v1/kv/", &[], b"x").await.problem(400, "bad-key");
        server.call(method, "/kv-store/v1/kv", &[], b"x").await.problem(400, "bad-key");
    }
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn bad_json_is_refused_with_line_and_column() {
    let server = Server::start().await;
    server.put(A, "kept").await;
    let before = server.everything().await;
    let deep = "[".repeat(10_000);
    let deep_closed = format!("{{\"value\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, slug) in [
        ("", "bad-json"),
        ("   ", "bad-json"),
        ("{\"value\": \"x\"", "bad-json"),
        ("{\"value\": \"x", "bad-json"),
        ("{\"value\": \"x\"} trailing", "bad-json"),
        ("{\"value\": \"x\"}{}", "bad-json"),
        ("{\"value\": \"\\ud800\"}", "bad-json"),
        ("{\"value\": \"\\udc00\\ud800\"}", "bad-json"),
        ("{\"value\": \"a\nb\"}", "bad-json"),
        ("{'value': 1}", "bad-json"),
        ("{\"value\": NaN}", "bad-json"),
        (&deep, "bad-json"),
        ("[]", "bad-body"),
        ("\"x\"", "bad-body"),
        ("null", "bad-body"),
        ("5", "bad-body"),
        ("{}", "bad-body"),
        ("{\"value\": 5}", "bad-body"),
        ("{\"value\": null}", "bad-body"),
        ("{\"value\": {}}", "bad-body"),
        (&deep_closed, "bad-body"),
        ("{\"value\": \"x\", \"value\": \"y\"}", "bad-body"),
        ("{\"value\": \"x\", \"val\\u0075e\": \"y\"}", "bad-body"),
        ("{\"value\": \"x\", \"key\": \"b\"}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": 0}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": -5}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": 315360001}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": \"5\"}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": 1e2}", "bad-body"),
        ("{\"value\": \"x\", \"ttl\": null}", "bad-body"),
        ("{\"value\": \"x\", \"encoding\": \"hex\"}", "bad-body"),
        ("{\"value\": \"x\", \"encoding\": null}", "bad-body"),
        ("{\"value\": \"*\", \"encoding\": \"base64\"}", "bad-body"),
        ("{\"value\": \"AA\", \"encoding\": \"base64\"}", "bad-body"),
    ] {
        let answer = server.put_json(A, body).await;
        let problem = answer.problem(400, slug);
        let detail = problem["detail"].as_str().unwrap();
        let shown: String = body.chars().take(60).collect();
        if slug == "bad-json" {
            assert!(detail.contains(" line ") && detail.contains(" column "), "{shown}: {detail}");
        } else {
            assert!(!answer.pointers().is_empty(), "{shown}: {problem}");
        }
        assert!(detail.len() < 400, "{shown}: the detail does not echo the body");
    }
    let answer = server.call("PUT", A, &[("Content-Type", "application/json")], b"{\"value\":\n \"\xff\"}").await;
    let problem = answer.problem(400, "bad-json");
    assert!(problem["detail"].as_str().unwrap().contains("line 2 column 3"), "{problem}");
    let many = server.put_json(A, &json!({"value": 1, "ttl": "x", "encoding": 5, "b": 1, "c": 2}).to_string()).await;
    many.problem(400, "bad-body");
    assert_eq!(many.pointers().len(), 5, "{}", many.text());
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn bad_parameters_of_one_key_are_refused() {
    let server = Server::start().await;
    server.put(A, "kept").await;
    let before = server.everything().await;
    for (method, query) in [
        ("GET", "raw=1"),
        ("GET", "raw"),
        ("GET", "consistency="),
        ("GET", "consistency=eventual"),
        ("GET", "ttl=5"),
        ("GET", "key=a"),
        ("GET", "raw=true&raw=true"),
        ("PUT", "ttl=0"),
        ("PUT", "ttl=abc"),
        ("PUT", "ttl=-1"),
        ("PUT", "ttl="),
        ("PUT", "ttl=%2B5"),
        ("PUT", "ttl=315360001"),
        ("PUT", "raw=true"),
        ("PUT", "key=b"),
        ("DELETE", "ttl=5"),
        ("DELETE", "x"),
    ] {
        server.call(method, &format!("{A}?{query}"), &[], b"x").await.problem(400, "bad-query");
    }
    let both = server.put_json(&format!("{A}?ttl=5"), r#"{"value": "x"}"#).await;
    both.problem(400, "bad-query");
    for key in ["", " ", "a b", "é", &"x".repeat(256)] {
        server.call("PUT", A, &[("Idempotency-Key", key)], b"x").await.problem(400, "bad-request");
    }
    server.call("PUT", A, &[("Idempotency-Key", "a"), ("Idempotency-Key", "a")], b"x").await.problem(400, "bad-request");
    server.call("PUT", A, &[("Content-Range", "bytes 0-0/2")], b"x").await.problem(400, "bad-request");
    server.call("PUT", A, &[("Content-Encoding", "gzip")], b"x").await.problem(415, "unsupported-media-type");
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let server = Server::start().await;
    for path in [
        "/nothing",
        "/kv-store",
        "/kv-store/v1/",
        "/kv-store/v2/kv/a/",
        "/kv-store/v1/kvx",
        "/KV-STORE/v1/kv/a",
        "//",
        "/livez/x",
        "/kv-store/v1/health/leader/x",
    ] {
        server.get(path).await.problem(404, "unknown-path");
    }
    for (method, path, allow) in [
        ("POST", A, "GET, PUT, HEAD, DELETE"),
        ("PATCH", A, "GET, PUT, HEAD, DELETE"),
        ("OPTIONS", A, "GET, PUT, HEAD, DELETE"),
        ("TRACE", A, "GET, PUT, HEAD, DELETE"),
        ("BREW", A, "GET, PUT, HEAD, DELETE"),
        ("PATCH", "/kv-store/v1/kv/batch/", "GET, PUT, HEAD, DELETE, POST"),
        ("POST", "/kv-store/v1/kv/", "GET, HEAD, PUT, DELETE"),
        ("GET", "/kv-store/v1/read/", "POST"),
        ("DELETE", "/kv-store/v1/health/", "GET, HEAD"),
        ("POST", "/metrics", "GET"),
    ] {
        let answer = server.call(method, path, &[], b"").await;
        answer.problem(405, "method-not-allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_over_the_limits_are_refused_by_name() {
    let limits = Limits { value_bytes_max: 1_000, body_bytes_max: 5_000 };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let chunked = |path: &str, media: &str, size: usize| {
        let head =
            format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n");
        [head.as_bytes(), &vec![b'x'; size], b"\r\n0\r\n\r\n"].concat()
    };
    let over = vec![b'x'; 1_001];
    for (answer, name) in [
        (server.call("PUT", A, &[], &over).await, "max_value_bytes"),
        (server.raw(&chunked(A, "text/plain", 1_001)).await, "max_value_bytes"),
        (server.put_json(A, &json!({"value": "x".repeat(1_001)}).to_string()).await, "max_value_bytes"),
        (server.put_json(A, &json!({"value": "x".repeat(5_000)}).to_string()).await, "max_body_bytes"),
        (server.raw(&chunked(A, "application/json", 5_001)).await, "max_body_bytes"),
        (server.post_json("/kv-store/v1/kv/batch/", &" ".repeat(5_001)).await, "max_body_bytes"),
        (server.post_json("/kv-store/v1/read/", &" ".repeat(5_001)).await, "max_body_bytes"),
    ] {
        answer.problem(413, "too-large");
        assert!(answer.text().contains(name), "{name} in {}", answer.text());
    }
    let batch = json!({"items": [{"key": "b", "value": "1"}, {"key": "c", "value": "x".repeat(1_001)}]}).to_string();
    let answer = server.post_json("/kv-store/v1/kv/batch/", &batch).await;
    answer.problem(413, "too-large");
    assert_eq!(answer.pointers(), ["/items/1/value"]);
    let huge = server.raw(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n").await;
    huge.problem(413, "too-large");
    assert_eq!(huge.header("connection"), Some("close"), "the rest is not read");
    assert_eq!(server.everything().await["count"], 0);
    assert_eq!(server.call("PUT", A, &[], &over[..1_000]).await.status, 201);
    assert_eq!(server.raw(&chunked(A, "text/plain", 1_000)).await.status, 200);
    assert_eq!(server.budget.used(), 0);
}

#[tokio::test]
async fn a_refused_body_does_not_harm_the_next_request() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    connection.send(&request("PUT", "/kv-store/v1/kv/%zz/", &[], b"small body")).await;
    connection.answer("PUT").await.problem(400, "bad-key");
    connection.send(&request("GET", "/livez", &[], b"")).await;
    assert_eq!(connection.answer("GET").await.text(), "ok\n");
}

#[tokio::test]
async fn a_detail_ends_with_one_full_stop() {
    let server = Server::start().await;
    for value in ["é", "a", "iVBORw0KGgo"] {
        let body = format!("{{\"value\": \"{value}\", \"encoding\": \"base64\"}}");
        let problem = server.put_json("/kv-store/v1/kv/a/", &body).await.problem(400, "bad-body");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.ends_with('.') && !detail.ends_with(".."), "{detail}");
    }
}

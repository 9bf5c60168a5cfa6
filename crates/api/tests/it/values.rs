//! One value: put, read, head, delete, in JSON and in bytes.

use std::time::Duration;

use serde_json::json;

use crate::support::{Server, request};

const A: &str = "/kv-store/v1/kv/a/";

#[tokio::test]
async fn a_value_is_created_updated_read_and_deleted() {
    let server = Server::start().await;
    let created = server.put_json("/kv-store/v1/kv/user:1/", r#"{"value": "Ada"}"#).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let entry = created.json();
    assert_eq!(entry["key"], "user:1");
    assert_eq!(entry["value"], "Ada");
    assert_eq!(entry["version"], 1);
    assert_eq!(entry["created_at"], "2026-11-22T21:00:00.000000Z");
    assert_eq!(entry.as_object().unwrap().len(), 6, "no other member: {entry}");
    assert_eq!(created.header("location"), Some("/kv-store/v1/kv/user%3A1/"));
    assert_eq!(created.header("kv-key"), Some("user%3A1"));
    assert_eq!(created.header("etag"), Some(&*format!("\"{}\"", entry["revision"])));
    assert_eq!(created.header("cache-control"), Some("no-cache"));

    let updated = server.put_json("/kv-store/v1/kv/user:1", r#"{"value": "Grace"}"#).await;
    assert_eq!((updated.status, updated.header("location")), (200, None));
    assert_eq!(updated.json()["version"], 2);

    let read = server.get("/kv-store/v1/kv/user:1/").await;
    assert_eq!((read.status, read.json()), (200, updated.json()));
    assert_eq!(read.header("etag"), updated.header("etag"));
    assert_eq!(read.header("content-type"), Some("application/json"));
    assert_eq!(read.header("vary"), Some("Accept"));

    let deleted = server.call("DELETE", "/kv-store/v1/kv/user:1/", &[], b"").await;
    assert_eq!((deleted.status, deleted.header("kv-key")), (204, Some("user%3A1")));
    server.get("/kv-store/v1/kv/user:1/").await.problem(404, "key-not-found");
    let again = server.call("DELETE", "/kv-store/v1/kv/user:1/", &[], b"").await;
    again.problem(404, "key-not-found");
    assert_eq!(again.header("kv-key"), Some("user%3A1"));
}

#[tokio::test]
async fn any_media_type_but_json_is_the_value_itself() {
    let server = Server::start().await;
    let body = br#"{"value": "x"}"#;
    for media in ["text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "text/json", "image/png"] {
        server.call("PUT", A, &[("Content-Type", media)], body).await;
        let raw = server.call("GET", A, &[("Accept", "application/octet-stream")], b"").await;
        assert_eq!(raw.body, body, "stored as {media}");
    }
    server.call("PUT", A, &[], b"none").await;
    assert_eq!(server.get(A).await.json()["value"], "none");
    for media in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"] {
        server.call("PUT", A, &[("Content-Type", media)], body).await;
        assert_eq!(server.get(A).await.json()["value"], "x", "parsed as {media}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_text_travel_as_base64() {
    let server = Server::start().await;
    let bytes = [0, 0xff, 0xfe, 1];
    server.call("PUT", A, &[], &bytes).await;
    let read = server.get(A).await.json();
    assert_eq!((read["value"].as_str(), read["encoding"].as_str()), (Some("AP/+AQ=="), Some("base64")));
    let raw = server.get("/kv-store/v1/kv/a/?raw=true").await;
    assert_eq!(raw.body, bytes);
    assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
    assert_eq!(raw.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(raw.header("kv-version"), Some("1"));
    assert_eq!(raw.header("last-modified"), Some("Sun, 22 Nov 2026 21:00:00 GMT"));
    assert_eq!(raw.header("etag"), Some(&*format!("\"{}-raw\"", read["revision"])));

    server.put_json("/kv-store/v1/kv/b/", r#"{"value": "AP/+AQ==", "encoding": "base64"}"#).await;
    assert_eq!(server.get("/kv-store/v1/kv/b/?raw=true").await.body, bytes);
    let text = server.call("GET", A, &[("Accept", "application/octet-stream;q=0.5, application/json")], b"").await;
    assert_eq!(text.header("content-type"), Some("application/json"), "the greater weight wins");
    let text = server.call("GET", "/kv-store/v1/kv/a/?raw=false", &[("Accept", "application/octet-stream")], b"").await;
    assert_eq!(text.header("content-type"), Some("application/json"), "the parameter wins over Accept");
}

#[tokio::test]
async fn an_empty_value_is_a_value() {
    let server = Server::start().await;
    assert_eq!(server.put(A, "").await.status, 201);
    assert_eq!(server.get(A).await.json()["value"], "");
    let raw = server.get("/kv-store/v1/kv/a/?raw=true").await;
    assert_eq!((raw.status, raw.header("content-length")), (200, Some("0")));
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let server = Server::start().await;
    server.put(A, "hello").await;
    for path in [A, "/kv-store/v1/kv/a/?raw=true", "/kv-store/v1/kv/?key=a"] {
        let get = server.get(path).await;
        let mut connection = server.connect().await;
        connection.send(&[request("HEAD", path, &[], b""), request("GET", "/livez", &[], b"")].concat()).await;
        let head = connection.answer("HEAD").await;
        assert_eq!(head.status, 200);
        for (name, value) in &get.headers {
            match head.header(name) {
                None => assert!(name == "content-length" && !path.contains("raw"), "{name} is missing at {path}"),
                Some(same) => assert!(same == value || name == "date", "{name} at {path}"),
            }
        }
        assert_eq!(connection.answer("GET").await.text(), "ok\n", "nothing follows the head at {path}");
    }
    assert_eq!(server.call("HEAD", "/kv-store/v1/kv/none/", &[], b"").await.status, 404);
    let range = server.call("HEAD", "/kv-store/v1/kv/", &[], b"").await;
    assert_eq!((range.status, range.header("content-length")), (200, None));
}

#[tokio::test]
async fn a_time_to_live_ends_and_is_cleared_by_a_put_without_one() {
    let server = Server::start().await;
    let put = server.put_json(A, r#"{"value": "x", "ttl": 60}"#).await;
    assert_eq!(put.json()["expires_at"], "2026-11-22T21:01:00.000000Z");
    assert_eq!(put.header("cache-control"), Some("no-store"));
    assert_eq!(server.get(A).await.header("cache-control"), Some("no-store"));
    server.clock.advance(Duration::from_secs(60));
    server.get(A).await.problem(404, "key-not-found");
    let gone = server.call("GET", A, &[("If-None-Match", "*")], b"").await;
    gone.problem(404, "key-not-found");

    let again = server.call("PUT", "/kv-store/v1/kv/a/?ttl=5", &[], b"y").await;
    assert_eq!((again.status, again.json()["version"].as_u64()), (201, Some(1)));
    assert!(again.json()["expires_at"].is_string());
    assert!(server.put(A, "z").await.json().get("expires_at").is_none());
    server.clock.advance(Duration::from_secs(10));
    assert_eq!(server.get(A).await.json()["value"], "z");
}

#[tokio::test]
async fn keys_with_slashes_dots_and_odd_characters_are_keys() {
    let server = Server::start().await;
    for (path, key) in [
        ("a/b/", "a/b"),
        ("a%2Fb%2F", "a/b/"),
        ("a%2Fb%2F/", "a/b/"),
        ("c//", "c/"),
        ("/lead/", "/lead"),
        ("./", "."),
        ("..", ".."),
        ("x/../y/", "x/../y"),
        ("batch/", "batch"),
        ("%252F", "%2F"),
        ("a+b/", "a+b"),
        ("%E2%82%AC/", "€"),
        ("?key=a%20b", "a b"),
        ("?key=a+b+", "a b "),
        ("?key=a%2Bb", "a+b"),
        ("?key=..%2F", "../"),
        ("?key=batch", "batch"),
    ] {
        let path = format!("/kv-store/v1/kv/{path}");
        let put = server.put(&path, key).await;
        assert!(put.status < 300, "PUT {path}: {}", put.text());
        assert_eq!(put.json()["key"], key, "PUT {path}");
        assert_eq!(server.get(&path).await.json()["value"], key, "GET {path}");
        if let Some(location) = put.header("location") {
            assert_eq!(server.get(location).await.json()["key"], key, "the location of {path}");
        }
        let name = put.header("kv-key").unwrap();
        assert_eq!(server.get(&format!("/kv-store/v1/kv/?key={name}")).await.json()["key"], key, "the KV-Key of {path}");
    }
    for key in ["é".repeat(255), "😀".repeat(255)] {
        let put = server.put_json("/kv-store/v1/kv/batch/", r#"{"value": "v"}"#).await;
        assert_eq!(put.status, 200, "PUT of the key batch");
        let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(server.put(&format!("/kv-store/v1/kv/{encoded}/"), "long").await.status, 201);
    }
    assert_eq!(server.call("DELETE", "/kv-store/v1/kv/?key=../", &[], b"").await.status, 204);
}

#[tokio::test]
async fn idempotency_keys_give_the_first_answer_again() {
    let server = Server::start().await;
    let headers = [("Idempotency-Key", "k-1")];
    let first = server.call("PUT", A, &headers, b"one").await;
    server.put(A, "two").await;
    let repeat = server.call("PUT", A, &headers, b"one").await;
    assert_eq!((repeat.status, repeat.json()), (201, first.json()));
    assert_eq!((first.header("idempotency-replayed"), repeat.header("idempotency-replayed")), (None, Some("true")));
    assert_eq!(server.get(A).await.json()["value"], "two", "the repeat changed nothing");
    server.call("PUT", A, &headers, b"other").await.problem(422, "idempotency-mismatch");

    let headers = [("Idempotency-Key", "k-2")];
    assert_eq!(server.call("DELETE", A, &headers, b"").await.status, 204);
    let repeat = server.call("DELETE", A, &headers, b"").await;
    assert_eq!((repeat.status, repeat.header("idempotency-replayed")), (204, Some("true")));
}

#[tokio::test]
async fn stale_reads_say_how_far_they_reach() {
    let server = Server::start().await;
    let revision = server.put(A, "x").await.json()["revision"].to_string();
    for path in ["/kv-store/v1/kv/a/?consistency=stale", "/kv-store/v1/kv/?consistency=stale", "/kv-store/v1/kv/none/?consistency=stale"] {
        assert_eq!(server.get(path).await.header("kv-applied-revision"), Some(&*revision), "{path}");
    }
    assert_eq!(server.get("/kv-store/v1/kv/a/?consistency=linearizable").await.header("kv-applied-revision"), None);
}

#[tokio::test]
async fn a_large_value_comes_back_whole_in_every_form() {
    let server = Server::start().await;
    let value: Vec<u8> = (0..3_000_000_u32).map(|at| b"abcdefgh\"\n\\0123"[at as usize % 15]).collect();
    let text = String::from_utf8(value.clone()).unwrap();
    let put = server.call("PUT", A, &[], &value).await;
    assert_eq!((put.status, put.json()["value"].as_str().map(str::len)), (201, Some(text.len())));
    assert_eq!(server.get("/kv-store/v1/kv/a/?raw=true").await.body, value);
    assert_eq!(server.get(A).await.json()["value"], *text);
    server.put_json(A, &json!({"value": text}).to_string()).await;
    assert_eq!(server.get("/kv-store/v1/kv/a/?raw=true").await.body, value);
    let page = server.get("/kv-store/v1/kv/").await.json();
    assert_eq!(page["results"][0]["value"], *text);
    assert_eq!(server.budget.used(), 0, "every share of the budget was given back");
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for round in 0..50 {
        connection.send(&request("PUT", A, &[], round.to_string().as_bytes())).await;
        assert!(connection.answer("PUT").await.status < 300);
        connection.send(&request("GET", A, &[], b"")).await;
        assert_eq!(connection.answer("GET").await.json()["value"], round.to_string());
    }
    let pipelined: Vec<u8> = (0..20).flat_map(|_| request("GET", A, &[], b"")).collect();
    connection.send(&pipelined).await;
    for _ in 0..20 {
        assert_eq!(connection.answer("GET").await.status, 200);
    }
}

#[tokio::test]
async fn a_chunked_body_is_a_body() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        connection
            .send(
                b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            )
            .await;
        assert_eq!(connection.answer("PUT").await.json()["value"], "abcde");
    }
    let body = "content-length: 3\r\n\r\nPUT / HTTP/1.1\r\n";
    let chunked = format!(
        "PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    connection.send(chunked.as_bytes()).await;
    assert_eq!(connection.answer("PUT").await.json()["value"], body, "a value may look like a head");
    connection.send(b"PUT /kv-store/v1/kv/a/ HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    connection.send(b"ok").await;
    assert_eq!(connection.answer("PUT").await.json()["value"], "ok");
}

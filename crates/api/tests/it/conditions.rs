//! Conditional writes and reads.

use crate::support::Server;

const A: &str = "/kv-store/v1/kv/a/";

#[tokio::test]
async fn if_match_lets_only_the_named_revision_be_replaced() {
    let server = Server::start().await;
    let absent = server.call("PUT", A, &[("If-Match", "\"1\"")], b"x").await;
    absent.problem(412, "precondition-failed");
    assert_eq!((absent.header("etag"), absent.header("kv-key")), (None, Some("a")));
    server.call("PUT", A, &[("If-Match", "*")], b"x").await.problem(412, "precondition-failed");
    let tag = server.put(A, "1").await.header("etag").unwrap().to_owned();
    let second = server.call("PUT", A, &[("If-Match", &tag)], b"2").await;
    assert_eq!(second.status, 200);
    let late = server.call("PUT", A, &[("If-Match", &tag)], b"3").await;
    late.problem(412, "precondition-failed");
    assert_eq!(late.header("etag"), second.header("etag"), "the answer names the current revision");
    let raw = server.get("/kv-store/v1/kv/a/?raw=true").await.header("etag").unwrap().to_owned();
    assert!(raw.ends_with("-raw\""));
    assert_eq!(server.call("PUT", A, &[("If-Match", &raw)], b"4").await.status, 200, "the raw form's ETag counts too");
    assert_eq!(server.call("PUT", A, &[("If-Match", "*")], b"5").await.status, 200);
    server.call("DELETE", A, &[("If-Match", &tag)], b"").await.problem(412, "precondition-failed");
    assert_eq!(server.get(A).await.json()["value"], "5");
    assert_eq!(server.call("DELETE", A, &[("If-Match", "*")], b"").await.status, 204);
}

#[tokio::test]
async fn if_none_match_star_creates_once() {
    let server = Server::start().await;
    let headers = [("If-None-Match", "*")];
    let first = server.call("PUT", A, &headers, b"1").await;
    assert_eq!(first.status, 201);
    let second = server.call("PUT", A, &headers, b"2").await;
    second.problem(412, "precondition-failed");
    assert_eq!(second.header("etag"), first.header("etag"));
    assert_eq!(server.get(A).await.json()["value"], "1");
}

#[tokio::test]
async fn conditions_that_cannot_be_held_are_refused_and_nothing_changes() {
    let server = Server::start().await;
    server.put(A, "kept").await;
    let before = server.everything().await;
    for headers in [
        &[("If-Match", "\"1\""), ("If-None-Match", "*")][..],
        &[("If-Match", "\"1\""), ("If-Match", "\"1\"")],
        &[("If-Match", "")],
        &[("If-Match", "\"1")],
        &[("If-Match", "\"abc\"")],
        &[("If-Match", "W/\"1\"")],
        &[("If-Match", "\"1\", \"2\"")],
        &[("If-Match", "\"18446744073709551616\"")],
        &[("If-None-Match", "\"1\"")],
        &[("If-Something", "1")],
        &[("If", "1 2"), ("If-Schedule-Tag-Match", "\"1\"")],
    ] {
        for method in ["PUT", "DELETE"] {
            let answer = server.call(method, A, headers, b"x").await;
            answer.problem(400, "bad-condition");
        }
    }
    assert_eq!(server.everything().await, before);
    let dates = [("If-Unmodified-Since", "Sun, 22 Nov 2020 21:00:00 GMT"), ("If-Modified-Since", "x"), ("If-Range", "x")];
    assert_eq!(server.call("PUT", A, &dates, b"x").await.status, 200, "date conditions are ignored");
}

#[tokio::test]
async fn a_reader_that_has_the_state_gets_304() {
    let server = Server::start().await;
    let tag = server.put(A, "x").await.header("etag").unwrap().to_owned();
    for sent in [tag.clone(), format!("W/{tag}"), format!("\"0\", {tag}"), "*".to_owned()] {
        for method in ["GET", "HEAD"] {
            let answer = server.call(method, A, &[("If-None-Match", &sent)], b"").await;
            assert_eq!((answer.status, answer.header("etag")), (304, Some(&*tag)), "{method} If-None-Match: {sent}");
            assert_eq!((answer.header("vary"), answer.header("cache-control")), (Some("Accept"), Some("no-cache")));
            assert_eq!(answer.header("content-length"), None);
        }
    }
    for sent in ["\"0\"", "\"x\"", "nonsense"] {
        assert_eq!(server.call("GET", A, &[("If-None-Match", sent)], b"").await.status, 200, "If-None-Match: {sent}");
    }
    let raw = server.call("GET", "/kv-store/v1/kv/a/?raw=true", &[("If-None-Match", &tag)], b"").await;
    assert_eq!(raw.status, 200, "the bytes have an ETag of their own");
}

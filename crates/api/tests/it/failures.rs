//! The table from failures of the store to answers: every 5xx to a write says what became of it, and none tells what is inside.

use kvstore_service::StoreError;

use crate::support::{Mode, Server};

const A: &str = "/kv-store/v1/kv/a/";

fn secret() -> String {
    "a secret from inside".to_owned()
}

#[tokio::test]
async fn each_failure_has_its_status_and_outcome() {
    let server = Server::start().await;
    for (error, status, slug, outcome) in [
        (StoreError::Overloaded("the queue is full"), 503, "overloaded", "not_applied"),
        (StoreError::Unavailable(secret()), 503, "unavailable", "not_applied"),
        (StoreError::Stopping, 503, "unavailable", "not_applied"),
        (StoreError::NoSpace { floor_bytes: 5 }, 507, "no-space", "not_applied"),
        (StoreError::ReadOnly, 507, "no-space", "not_applied"),
        (StoreError::Unknown(secret()), 504, "outcome-unknown", "unknown"),
        (StoreError::Damaged(secret()), 500, "internal", "not_applied"),
        (StoreError::Read(secret()), 500, "internal", "not_applied"),
    ] {
        server.store.set(Mode::Fails(error.clone()));
        let batch = br#"{"items": [{"key": "a", "value": "1"}]}"#;
        for (method, path, body) in [("PUT", A, &b"x"[..]), ("DELETE", A, b""), ("POST", "/kv-store/v1/kv/batch/", batch)] {
            let answer = server.call(method, path, &[], body).await;
            let problem = answer.problem(status, slug);
            assert_eq!(problem["outcome"], outcome, "{method} with {error:?}");
            assert_eq!(answer.header("retry-after").is_some(), status == 503, "{method} with {error:?}");
            assert!(!answer.text().contains("secret"), "the cause is not sent: {problem}");
            assert_eq!(answer.header("x-request-id"), problem["request_id"].as_str());
        }
        for (method, path, body) in
            [("GET", A, &b""[..]), ("GET", "/kv-store/v1/kv/", b""), ("POST", "/kv-store/v1/read/", br#"{"keys": ["a"]}"#)]
        {
            let problem = server.call(method, path, &[], body).await.problem(status, slug);
            assert!(problem.get("outcome").is_none(), "a read has no outcome: {problem}");
        }
    }
    let health = server.get("/kv-store/v1/health/").await;
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("unhealthy")));
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_server_goes_on() {
    let server = Server::start().await;
    server.store.set(Mode::Panics);
    let put = server.put(A, "x").await;
    assert_eq!(put.problem(500, "internal")["outcome"], "unknown");
    assert!(!put.text().contains("secret"));
    assert!(server.get(A).await.problem(500, "internal").get("outcome").is_none());
    server.store.set(Mode::Works);
    assert_eq!(server.put(A, "x").await.status, 201);
}

#[tokio::test]
async fn the_request_id_of_the_client_is_kept() {
    let server = Server::start().await;
    let answer = server.call("GET", A, &[("X-Request-Id", "mine-1")], b"").await;
    assert_eq!(answer.problem(404, "key-not-found")["request_id"], "mine-1");
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let fine = server.call("PUT", A, &[("X-Request-Id", "mine-2")], b"x").await;
    assert_eq!(fine.header("x-request-id"), Some("mine-2"));
    let odd = server.call("GET", "/none", &[("X-Request-Id", "a b")], b"").await;
    assert_ne!(odd.problem(404, "unknown-path")["request_id"], "a b");
    let (one, two) = (server.get("/none").await.json(), server.get("/none").await.json());
    assert_ne!(one["request_id"], two["request_id"]);
}

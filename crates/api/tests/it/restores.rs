//! `POST /restore/`: entries come back as they were, or it is said why not.

use serde_json::{Value, json};

use crate::support::Server;

const RESTORE: &str = "/kv-store/v1/restore/";

fn entry(key: &str, revision: u64) -> Value {
    json!({
        "key": key, "value": "AP8=", "encoding": "base64", "version": 3, "revision": revision,
        "created_at": "2026-11-20T10:00:00.000001Z", "updated_at": "2026-11-21T10:00:00.000002Z"
    })
}

fn body(expected: u64, items: &[Value]) -> String {
    json!({"if_applied_revision": expected, "items": items}).to_string()
}

#[tokio::test]
async fn entries_come_back_as_they_were() {
    let server = Server::start().await;
    let mut expiring = entry("b", 7);
    expiring["expires_at"] = "2026-12-01T00:00:00.000000Z".into();
    let items = [entry("a", 9), expiring];
    let answer = server.post_json(RESTORE, &body(0, &items)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"count": 2, "applied_revision": 9})), "{}", answer.text());
    assert_eq!(server.everything().await["results"], json!(items));
    // The same again, by a client that did not see the answer.
    let again = server.post_json("/kv-store/v1/restore", &body(0, &items)).await;
    assert_eq!(again.json(), json!({"count": 2, "applied_revision": 9}), "{}", again.text());
    let more = server.post_json(RESTORE, &body(9, &[entry("c", 8)])).await;
    assert_eq!(more.json(), json!({"count": 1, "applied_revision": 9}), "{}", more.text());
    let written = server.put("/kv-store/v1/kv/a/", "x").await.json();
    assert_eq!((&written["version"], &written["revision"]), (&json!(4), &json!(10)), "{written}");
}

#[tokio::test]
async fn a_store_that_was_written_to_is_not_restored_into() {
    let server = Server::start().await;
    server.put("/kv-store/v1/kv/a/", "x").await;
    let before = server.everything().await;
    let answer = server.post_json(RESTORE, &body(0, &[entry("b", 7)])).await;
    let problem = answer.problem(412, "precondition-failed");
    assert!(problem["detail"].as_str().unwrap().contains("last applied revision is 1, not 0"), "{problem}");
    let answer = server.post_json(RESTORE, &body(1, &[entry("b", 7), entry("a", 8)])).await;
    answer.problem(412, "precondition-failed");
    assert_eq!(answer.pointers(), ["/items/1/key"]);
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn every_fault_of_an_entry_is_named() {
    let server = Server::start().await;
    let with = |name: &str, value: Value| {
        let mut entry = entry("k", 7);
        entry[name] = value;
        entry
    };
    let without = |name: &str| {
        let mut entry = entry("k", 7);
        entry.as_object_mut().unwrap().remove(name);
        entry
    };
    let cases = [
        (with("key", json!("")), "/items/0/key"),
        (with("key", json!(1)), "/items/0/key"),
        (without("value"), "/items/0/value"),
        (with("value", json!("%%")), "/items/0/value"),
        (with("encoding", json!("hex")), "/items/0/encoding"),
        (without("version"), "/items/0/version"),
        (with("version", json!("1")), "/items/0/version"),
        (with("version", json!(0)), "/items/0"),
        (without("revision"), "/items/0/revision"),
        (with("revision", json!(1_u64 << 60)), "/items/0"),
        (with("created_at", json!("yesterday")), "/items/0/created_at"),
        (with("created_at", json!("2026-11-22T10:00:00Z")), "/items/0"),
        (without("updated_at"), "/items/0/updated_at"),
        (with("updated_at", json!("2026-11-21T10:00:00.0000001Z")), "/items/0/updated_at"),
        (with("updated_at", json!("2126-11-21T10:00:00Z")), "/items/0/updated_at"),
        (with("expires_at", json!(7)), "/items/0/expires_at"),
        (with("expires_at", json!("2026-11-01T00:00:00Z")), "/items/0"),
        (with("ttl", json!(7)), "/items/0/ttl"),
    ];
    for (entry, pointer) in cases {
        let answer = server.post_json(RESTORE, &body(0, std::slice::from_ref(&entry))).await;
        answer.problem(400, "bad-body");
        assert_eq!(answer.pointers(), [pointer], "{entry} was answered {}", answer.text());
    }
    for (body, pointers) in [
        ("{}".to_owned(), vec!["/if_applied_revision", "/items"]),
        (body(0, &[]), vec!["/items"]),
        (body(0, &[entry("a", 1), entry("a", 1)]), vec!["/items/1/key"]),
        (json!({"if_applied_revision": -1, "items": [entry("a", 1)]}).to_string(), vec!["/if_applied_revision"]),
    ] {
        let answer = server.post_json(RESTORE, &body).await;
        answer.problem(400, "bad-body");
        assert_eq!(answer.pointers(), pointers, "{body} was answered {}", answer.text());
    }
    assert_eq!(server.everything().await["count"], 0);
}

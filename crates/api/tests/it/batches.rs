//! Batches of puts.

use serde_json::{Value, json};

use crate::support::Server;

const BATCH: &str = "/kv-store/v1/kv/batch/";

#[tokio::test]
async fn a_batch_stores_all_its_items_in_order() {
    let server = Server::start().await;
    let body = json!({"items": [
        {"key": "b", "value": "2", "ttl": 10},
        {"key": "a", "value": "AP8=", "encoding": "base64"},
        {"key": "c", "value": "", "if_none_match": "*"},
    ]});
    let answer = server.post_json(BATCH, &body.to_string()).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
    let entries = answer.json();
    let keys: Vec<_> = entries.as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["b", "a", "c"]);
    assert_eq!(entries[0]["expires_at"], "2026-11-22T21:00:10.000000Z");
    assert_eq!(entries[1]["encoding"], "base64");
    assert_eq!(entries[0]["revision"], entries[2]["revision"]);
    assert_eq!(server.get("/kv-store/v1/kv/c/").await.json(), entries[2]);
    for path in ["/kv-store/v1/kv/batch", BATCH] {
        let minimal = server
            .call(
                "POST",
                path,
                &[("Prefer", "respond-async, Return=minimal")],
                body.to_string().replace("if_none_match", "if_match").as_bytes(),
            )
            .await;
        assert_eq!(minimal.json()["count"], 3, "a body of no media type is taken as JSON: {}", minimal.text());
        assert!(minimal.json()["revision"].is_u64());
        assert_eq!(minimal.header("preference-applied"), Some("return=minimal"));
    }
}

#[tokio::test]
async fn conditions_of_items_are_numbers_or_etags() {
    let server = Server::start().await;
    for form in [
        |revision: u64| json!(revision),
        |revision| json!(format!("\"{revision}\"")),
        |revision| json!(format!("{revision}")),
        |revision| json!(format!("\"{revision}-raw\"")),
        |_| json!("*"),
    ] {
        let revision = server.put("/kv-store/v1/kv/a/", "x").await.json()["revision"].as_u64().unwrap();
        let body = json!({"items": [{"key": "a", "value": "y", "if_match": form(revision)}]}).to_string();
        assert_eq!(server.post_json(BATCH, &body).await.status, 200, "{body}");
    }
    let before = server.everything().await;
    let body = json!({"items": [
        {"key": "new", "value": "1"},
        {"key": "a", "value": "1", "if_match": 1},
        {"key": "none", "value": "1", "if_match": "*"},
        {"key": "a2", "value": "1", "if_none_match": "*"},
    ]});
    let answer = server.post_json(BATCH, &body.to_string()).await;
    answer.problem(412, "precondition-failed");
    assert_eq!(answer.pointers(), ["/items/1", "/items/2"]);
    let details = answer.json()["errors"].clone();
    assert!(details[0]["detail"].as_str().unwrap().contains(&before["results"][0]["revision"].to_string()), "{details}");
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn an_idempotent_batch_is_single() {
    let server = Server::start().await;
    let headers = [("Idempotency-Key", "b-1"), ("Content-Type", "application/json")];
    let body = br#"{"items": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]}"#;
    let spelled_otherwise = br#"{"items":[{"value":"\u0031","key":"a"},{"key":"b","value":"2"}]}"#;
    let first = server.call("POST", BATCH, &headers, body).await;
    let second = server.call("POST", BATCH, &headers, spelled_otherwise).await;
    assert_eq!((second.status, second.json()), (200, first.json()), "{}", second.text());
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    let other = br#"{"items": [{"key": "a", "value": "1"}]}"#;
    server.call("POST", BATCH, &headers, other).await.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn every_fault_of_a_batch_is_reported_and_nothing_is_written() {
    let server = Server::start().await;
    server.put("/kv-store/v1/kv/kept/", "x").await;
    let before = server.everything().await;
    let body = r#"{"items": [
        {"key": "ok", "value": "1"},
        {"key": "", "value": "1"},
        {"key": "b", "value": 5},
        {"key": "c", "value": "1", "ttl": 0},
        {"key": "d", "value": "1", "ttl": 1.5},
        {"key": "e", "value": "1", "ttl": null},
        {"key": "f", "value": "%%", "encoding": "base64"},
        {"key": "g", "value": "1", "encoding": "hex"},
        {"value": "1"},
        {"key": "h"},
        {"key": "i", "value": "1", "extra": 1},
        {"key": "j", "value": "1", "value": "2"},
        {"key": "k", "value": "1", "if_match": 1, "if_none_match": "*"},
        {"key": "l", "value": "1", "if_match": "x"},
        {"key": "m", "value": "1", "if_none_match": "\"1\""},
        "text",
        {"key": "n\u0000", "value": "1"},
        {"key": "ok", "value": "1"},
        {"key": "o", "value": "1", "if_match": true}
    ]}"#;
    let answer = server.post_json(BATCH, body).await;
    let problem = answer.problem(400, "bad-body");
    let wanted = [
        "/items/1/key",
        "/items/2/value",
        "/items/3/ttl",
        "/items/4/ttl",
        "/items/5/ttl",
        "/items/6/value",
        "/items/7/encoding",
        "/items/8/key",
        "/items/9/value",
        "/items/10/extra",
        "/items/11/value",
        "/items/12/if_none_match",
        "/items/13/if_match",
        "/items/14/if_none_match",
        "/items/15",
        "/items/16/key",
        "/items/17/key",
        "/items/18/if_match",
    ];
    let mut found = answer.pointers();
    found.sort();
    let mut wanted: Vec<_> = wanted.into();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{problem:#}");
    let duplicate = problem["errors"].as_array().unwrap().iter().find(|fault| fault["pointer"] == "/items/17/key").unwrap();
    let detail = duplicate["detail"].as_str().unwrap();
    assert!(detail.contains("\"ok\"") && detail.contains("/items/0"), "the key and both positions are named: {detail}");
    assert_eq!(server.everything().await, before);
}

#[tokio::test]
async fn sizes_of_a_batch_are_bounded() {
    let server = Server::start().await;
    let of = |count: usize| {
        json!({"items": (0..count).map(|at| json!({"key": format!("k{at:05}"), "value": "v"})).collect::<Vec<_>>()}).to_string()
    };
    server.post_json(BATCH, &of(0)).await.problem(400, "bad-body");
    let long = server.post_json(BATCH, &of(10_001)).await;
    long.problem(400, "bad-body");
    assert_eq!(long.pointers(), ["/items"]);
    assert!(long.text().contains("10001") && long.text().contains("10000"), "{}", long.text());
    let millions = format!("{{\"items\": [{}{{}}]}}", "{},".repeat(1_000_000));
    server.post_json(BATCH, &millions).await.problem(400, "bad-body");
    let mut last_is_bad: Value = serde_json::from_str(&of(10_000)).unwrap();
    last_is_bad["items"][9_999]["ttl"] = json!(-1);
    let answer = server.post_json(BATCH, &last_is_bad.to_string()).await;
    answer.problem(400, "bad-body");
    assert_eq!(answer.pointers(), ["/items/9999/ttl"]);
    let all_bad = of(10_000).replace("\"v\"", "1");
    let answer = server.post_json(BATCH, &all_bad).await;
    let problem = answer.problem(400, "bad-body");
    assert_eq!(answer.pointers().len(), 100, "errors are bounded");
    assert!(problem["detail"].as_str().unwrap().contains("10000 faults"), "{problem}");
    assert_eq!(server.everything().await["count"], 0, "nothing was written");
    let answer = server.post_json(BATCH, &of(10_000)).await;
    assert_eq!((answer.status, answer.json().as_array().map(Vec::len)), (200, Some(10_000)));
    assert_eq!(server.everything().await["count"], 10_000);
}

#[tokio::test]
async fn a_batch_takes_no_condition_headers_and_no_other_media_type() {
    let server = Server::start().await;
    let body = br#"{"items": [{"key": "a", "value": "1"}]}"#;
    for name in ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "If-X"] {
        server.call("POST", BATCH, &[(name, "*"), ("Content-Type", "application/json")], body).await.problem(400, "bad-condition");
    }
    for media in ["text/plain", "application/octet-stream", "application/xml"] {
        server.call("POST", BATCH, &[("Content-Type", media)], body).await.problem(415, "unsupported-media-type");
    }
    server.call("POST", BATCH, &[("Content-Encoding", "gzip")], body).await.problem(415, "unsupported-media-type");
    server.post_json("/kv-store/v1/kv/batch/?limit=1", r#"{"items": []}"#).await.problem(400, "bad-query");
    assert_eq!(server.everything().await["count"], 0);
    assert_eq!(server.call("POST", BATCH, &[("Content-Type", "application/x-www-form-urlencoded")], body).await.status, 200);
}

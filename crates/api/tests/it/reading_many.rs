//! Reading many keys at once.

use serde_json::json;

use crate::support::Server;

const READ: &str = "/kv-store/v1/read/";

#[tokio::test]
async fn entries_come_in_the_order_of_the_keys() {
    let server = Server::start().await;
    server.put("/kv-store/v1/kv/a/", "1").await;
    server.put("/kv-store/v1/kv/b/", "2").await;
    let answer = server.post_json(READ, r#"{"keys": ["b", "none", "a", "b"]}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let results = answer.json()["results"].clone();
    let values: Vec<_> = results.as_array().unwrap().iter().map(|entry| entry["value"].clone()).collect();
    assert_eq!(values, [json!("2"), json!(null), json!("1"), json!("2")]);
    assert_eq!(server.post_json("/kv-store/v1/read", r#"{"keys": []}"#).await.json(), json!({"results": []}));
    let stale = server.call("POST", "/kv-store/v1/read/?consistency=stale", &[], br#"{"keys": ["a"]}"#).await;
    assert!(stale.header("kv-applied-revision").is_some(), "{}", stale.text());
}

#[tokio::test]
async fn bad_reads_are_refused() {
    let server = Server::start().await;
    for (body, pointers) in [
        (r#"{"keys": ["a", "", 5]}"#, &["/keys/1", "/keys/2"][..]),
        (r#"{"keys": "a"}"#, &["/keys"]),
        (r#"{}"#, &["/keys"]),
        (r#"[]"#, &[""]),
        (r#"{"keys": [], "more": 1}"#, &["/more"]),
        (r#"{"keys": [], "keys": []}"#, &["/keys"]),
    ] {
        let answer = server.post_json(READ, body).await;
        answer.problem(400, "bad-body");
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    let keys: Vec<String> = (0..1_001).map(|at| at.to_string()).collect();
    let answer = server.post_json(READ, &json!({"keys": keys}).to_string()).await;
    answer.problem(400, "bad-body");
    assert!(answer.text().contains("1000"), "the limit is named: {}", answer.text());
    assert_eq!(server.post_json(READ, &json!({"keys": keys[1..]}).to_string()).await.status, 200);
    server.post_json(READ, "{\"keys\": [").await.problem(400, "bad-json");
    server.call("POST", READ, &[("Content-Type", "text/plain")], b"{}").await.problem(415, "unsupported-media-type");
    server.post_json("/kv-store/v1/read/?limit=1", "{}").await.problem(400, "bad-query");
}

//! Pages of a key range.

use serde_json::{Value, json};

use crate::support::{Answer, Server};

fn keys(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.json();
    let results = page["results"].as_array().unwrap();
    assert_eq!(page["count"], results.len());
    assert_eq!(page["has_more"].as_bool().unwrap(), page.get("next_cursor").is_some(), "next_cursor is there exactly with has_more");
    results.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect()
}

async fn filled() -> Server {
    let server = Server::start().await;
    let items: Vec<Value> =
        ["a", "b1", "b2", "b3", "c", "é", "x y", "x\"y"].iter().map(|key| json!({"key": key, "value": format!("v-{key}")})).collect();
    assert_eq!(server.post_json("/kv-store/v1/kv/batch/", &json!({"items": items}).to_string()).await.status, 200);
    server
}

#[tokio::test]
async fn ranges_are_inclusive_and_take_every_option() {
    let server = filled().await;
    for (query, wanted) in [
        ("", vec!["a", "b1", "b2", "b3", "c", "x y", "x\"y", "é"]),
        ("?start=b1&end=b3", vec!["b1", "b2", "b3"]),
        ("?start=b2", vec!["b2", "b3", "c", "x y", "x\"y", "é"]),
        ("?end=b1", vec!["a", "b1"]),
        ("?prefix=b", vec!["b1", "b2", "b3"]),
        ("?prefix=b&start=b2", vec!["b2", "b3"]),
        ("?prefix=b&reverse=true", vec!["b3", "b2", "b1"]),
        ("?prefix=b&reverse=true&limit=2", vec!["b3", "b2"]),
        ("?limit=1", vec!["a"]),
        ("?limit=99999999999999999999999", vec!["a", "b1", "b2", "b3", "c", "x y", "x\"y", "é"]),
        ("?limit=10001&start=x", vec!["x y", "x\"y", "é"]),
        ("?start=x%20y&end=x+y", vec!["x y"]),
        ("?start=&end=&cursor=&prefix=c", vec!["c"]),
        ("?start=zz&end=zz", vec![]),
    ] {
        assert_eq!(keys(&server.get(&format!("/kv-store/v1/kv/{query}")).await), wanted, "{query}");
        assert_eq!(keys(&server.get(&format!("/kv-store/v1/kv{query}")).await), wanted, "without the slash: {query}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_by_their_cursor() {
    let server = filled().await;
    for options in ["limit=3", "limit=1&reverse=true", "limit=2&prefix=b", "limit=3&keys_only=true"] {
        let whole = keys(&server.get(&format!("/kv-store/v1/kv/?{}", options.split_once("&").map_or("", |(_, rest)| rest))).await);
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = server.get(&format!("/kv-store/v1/kv/?{options}&cursor={cursor}")).await;
            seen.extend(keys(&page));
            let page = page.json();
            let Some(next) = page.get("next_cursor") else { break };
            cursor = next.as_str().unwrap().bytes().map(|byte| format!("%{byte:02x}")).collect();
        }

        assert_eq!(seen, whole, "{options}");
    }
}

#[tokio::test]
async fn keys_only_leaves_out_the_values() {
    let server = filled().await;
    let page = server.get("/kv-store/v1/kv/?keys_only=true&limit=1").await.json();
    let entry = page["results"][0].as_object().unwrap();
    assert_eq!((entry["key"].as_str(), entry.contains_key("value")), (Some("a"), false));
    assert!(entry["revision"].is_u64() && entry["created_at"].is_string());
}

#[tokio::test]
async fn bad_parameters_are_refused() {
    let server = filled().await;
    for query in [
        "limit=abc",
        "limit=-1",
        "limit=0",
        "limit=",
        "limit=1.5",
        "limit=+",
        "start=b&end=a",
        "reverse=yes",
        "keys_only=1",
        "raw=true",
        "unknown=1",
        "limit=1&limit=1",
        "start=%zz",
        "start=%ff",
        "cursor=%00",
        "consistency=strong",
        "Limit=1",
        "start=%",
    ] {
        server.get(&format!("/kv-store/v1/kv/?{query}")).await.problem(400, "bad-query");
    }
    let long = "k".repeat(256);
    server.get(&format!("/kv-store/v1/kv/?start={long}")).await.problem(400, "bad-query");
    // Reading backwards was advised, and is refused alike.
    for reverse in ["", "&reverse=true"] {
        let swapped = server.get(&format!("/kv-store/v1/kv/?start=b&end=a{reverse}")).await.problem(400, "bad-query");
        let detail = swapped["detail"].as_str().unwrap();
        assert!(detail.contains("swap them") && !detail.contains("reverse=true"), "{detail}");
    }
    let both = server.get("/kv-store/v1/kv/?key=a&limit=1").await.problem(400, "bad-query");
    assert!(both["detail"].as_str().unwrap().contains("limit"), "{both}");
}

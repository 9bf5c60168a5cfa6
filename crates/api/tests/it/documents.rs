//! Health, metrics, the index, CORS, and the OpenAPI document.

use std::sync::Arc;

use kvstore_api::ApiOptions;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

use crate::support::{Server, Setup};

#[tokio::test]
async fn health_has_the_form_of_the_contract() {
    let server = Server::start().await;
    let answer = server.get("/kv-store/v1/health/").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "healthy");
    let cluster = &health["cluster"];
    assert_eq!((cluster["replication_enabled"].as_bool(), cluster["total_nodes"].as_u64()), (Some(false), Some(1)));
    assert_eq!((cluster["has_quorum"].as_bool(), cluster["can_accept_writes"].as_bool()), (Some(true), Some(true)));
    assert_eq!(cluster["leader"], "http://127.0.0.1:8000/kv-store/v1");
    assert_eq!(health["storage"]["state"], "ready");
    assert!(health["storage"]["latency_ms"].is_f64(), "{health}");
    assert_eq!(server.get("/readyz").await.text(), "ready\n");
    assert_eq!(server.get("/livez/").await.text(), "ok\n");
    assert_eq!(server.get("/").await.json()["schema"], "/kv-store/schema/");
}

#[tokio::test]
async fn metrics_count_operations_by_status() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    // The only test of this binary that installs a recorder.
    metrics::set_global_recorder(recorder).expect("no other recorder");
    let api = ApiOptions { render_metrics: Arc::new(move || handle.render()), ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    server.put("/kv-store/v1/kv/m/", "x").await;
    server.get("/kv-store/v1/kv/m/").await;
    server.get("/kv-store/v1/kv/m-none/").await;
    let answer = server.get("/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let text = answer.text();
    for line in [
        "kvstore_requests_total{operation=\"put_value\",status=\"201\"}",
        "kvstore_requests_total{operation=\"read_value\",status=\"200\"}",
        "kvstore_requests_total{operation=\"read_value\",status=\"404\"}",
        "kvstore_request_duration_seconds_count{operation=\"read_value\"}",
        "kvstore_requests_in_flight",
        "kvstore_in_flight_bytes",
        "kvstore_connections",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} in\n{text}");
    }
    assert!(!text.contains("m-none"), "no key is in the metrics");
}

#[tokio::test]
async fn the_document_is_the_reviewed_one() {
    let server = Server::start().await;
    let answer = server.get("/kv-store/schema/").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!("openapi", answer.text()) });
    for accept in ["application/yaml", "text/yaml", "application/json;q=0.5, application/yaml"] {
        let yaml = server.call("GET", "/kv-store/schema", &[("Accept", accept)], b"").await;
        assert_eq!(yaml.header("content-type"), Some("application/yaml"), "Accept: {accept}");
        assert!(yaml.text().starts_with("openapi: 3.1.0"), "{}", yaml.text());
    }
}

#[tokio::test]
async fn cors_is_off_unless_it_is_set() {
    let origin = [("Origin", "https://app.example")];
    let server = Server::start().await;
    assert_eq!(server.call("GET", "/livez", &origin, b"").await.header("access-control-allow-origin"), None);
    let api = ApiOptions { cors_origins: vec!["https://app.example".into()], ..ApiOptions::default() };
    let server = Server::with(Setup { api, ..Setup::default() }).await;
    let answer = server.call("GET", "/livez", &origin, b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("etag"));
    let preflight =
        [("Origin", "https://app.example"), ("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "if-match")];
    let answer = server.call("OPTIONS", "/kv-store/v1/kv/a/", &preflight, b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PUT"));
    let other = server.call("GET", "/livez", &[("Origin", "https://evil.example")], b"").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
}

/// A part of the document, or the shared one that it refers to.
fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    let Some(reference) = part["$ref"].as_str() else { return part };
    document.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is not there"))
}

/// All operations of the document, each with its method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    });
    operations.collect()
}

#[tokio::test]
async fn every_body_in_the_document_has_an_example() {
    let server = Server::start().await;
    let document = server.get("/kv-store/schema/").await.json();
    let mut seen = 0;
    for (name, operation) in operations(&document) {
        let answers = operation["responses"].as_object().unwrap();
        let of_answers = answers.iter().map(|(status, response)| (status.as_str(), &resolved(&document, response)["content"]));
        for (place, content) in of_answers.chain([("request", &operation["requestBody"]["content"])]) {
            for (media, content) in content.as_object().into_iter().flatten() {
                seen += 1;
                assert!(content["examples"].as_object().is_some_and(|shown| !shown.is_empty()), "{name}, {place}, {media}: no example");
                for shown in content["examples"].as_object().unwrap().values().filter(|_| media == "application/problem+json") {
                    assert_eq!(resolved(&document, shown)["value"]["status"].to_string(), place, "{name}: {shown}");
                }
            }
        }
        let ok = answers.iter().find(|(status, _)| status.starts_with('2')).map(|(_, response)| response);
        assert!(ok.is_some_and(|response| response["headers"]["X-Request-Id"].is_object()), "{name}: no headers of its answer");
        assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{name}: no summary");
    }
    assert!(seen > 100, "only {seen} bodies found");
}

#[tokio::test]
async fn problems_are_described_once() {
    let server = Server::start().await;
    let document = server.get("/kv-store/schema/").await.json();
    for (name, operation) in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let problem = &resolved(&document, response)["content"]["application/problem+json"]["schema"];
            assert!(problem.is_null() || problem["$ref"] == "#/components/schemas/Problem", "{name}, {status}: {problem}");
            let is_open = operation["security"] == serde_json::json!([{}]);
            assert!(status != "401" || !is_open, "{name} needs no token");
        }
    }
    let told = document["info"]["description"].as_str().unwrap();
    for example in document["components"]["examples"].as_object().unwrap().values() {
        let slug = example["value"]["type"].as_str().unwrap();
        assert!(told.contains(slug), "{slug} is not in the description");
    }
    assert!(!document["paths"].as_object().unwrap().keys().any(|path| path.contains('*')), "a wildcard is no path of OpenAPI");
}

/// What a batch, a page and a value look like in the document is what the server says, but for times.
#[tokio::test]
async fn examples_are_what_the_server_says() {
    fn members(value: &Value) -> Value {
        match value {
            Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), members(value))).collect(),
            Value::Array(list) => list.iter().map(members).collect(),
            Value::String(text) if text.starts_with("2026-11-22T2") => "a time".into(),
            Value::Number(_) => "a number".into(),
            other => other.clone(),
        }
    }
    let server = Server::start().await;
    let document = server.get("/kv-store/schema/").await.json();
    let examples = |method: &str, path: &str, place: &str| -> Value {
        let operation = &document["paths"][path][method];
        let body = if place == "request" { &operation["requestBody"] } else { &operation["responses"][place] };
        body["content"]["application/json"]["examples"].clone()
    };
    let text = |value: &Value| value["value"].to_string();

    let (put, path) = (examples("put", "/kv-store/v1/kv/{key}/", "request"), "/kv-store/v1/kv/user:1/");
    let answer = server.put_json(path, &text(&put["a_text"])).await;
    let shown = examples("put", "/kv-store/v1/kv/{key}/", "201");
    assert_eq!((answer.status, members(&answer.json())), (201, members(&shown["created"]["value"])));
    let read = examples("get", "/kv-store/v1/kv/{key}/", "200");
    assert_eq!(members(&server.get(path).await.json()), members(&read["a_text"]["value"]));
    assert_eq!(server.put_json("/kv-store/v1/kv/logo/", &text(&put["base64"])).await.status, 201);
    assert_eq!(members(&server.get("/kv-store/v1/kv/logo/").await.json()), members(&read["base64"]["value"]));
    assert_eq!(server.put_json("/kv-store/v1/kv/user:2/", r#"{"value": "Grace"}"#).await.status, 201);
    let pages = examples("get", "/kv-store/v1/kv/", "200");
    for (query, name) in
        [("prefix=user&limit=1", "a_page"), ("prefix=user&cursor=user:1", "last_page"), ("prefix=user&keys_only=true", "keys_only")]
    {
        let answer = server.get(&format!("/kv-store/v1/kv/?{query}")).await;
        assert_eq!(members(&answer.json()), members(&pages[name]["value"]), "{name}");
    }
    let batch = examples("post", "/kv-store/v1/kv/batch/", "request");
    let answer = server.post_json("/kv-store/v1/kv/batch/", &text(&batch["a_batch"])).await;
    assert_eq!(members(&answer.json()), members(&examples("post", "/kv-store/v1/kv/batch/", "200")["entries"]["value"]));
    let asked = examples("post", "/kv-store/v1/read/", "request")["keys"]["value"].to_string();
    assert_eq!(server.post_json("/kv-store/v1/read/", &asked).await.status, 200);
    let health = server.get("/kv-store/v1/health/").await.json();
    let shown = &examples("get", "/kv-store/v1/health/", "200")["healthy"]["value"];
    assert_eq!(health["cluster"], shown["cluster"]);
    let index = server.get("/").await.json();
    assert_eq!(index, examples("get", "/", "200")["paths"]["value"]);
}

//! Health, metrics, the index, CORS, and the OpenAPI document.

use std::sync::Arc;

use kvstore_api::ApiOptions;
use metrics_exporter_prometheus::PrometheusBuilder;

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

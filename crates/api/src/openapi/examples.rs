//! Examples of requests and of what is answered to them. The browser test and the tests of this crate hold them to what a server says.

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::{Content, RefOr, example::Example, path::Operation as Described};

use crate::urls::{Operation, Route};

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// One example: where it belongs, its name, what it shows, and the value.
struct Shown {
    media: &'static str,
    name: &'static str,
    summary: &'static str,
    value: Value,
}

fn shown(media: &'static str, name: &'static str, summary: &'static str, value: Value) -> Shown {
    Shown { media, name, summary, value }
}

/// Adds the examples of an operation.
pub(super) fn describe(described: &mut Described, route: &Route) {
    if let Some(RefOr::T(body)) = &mut described.request_body {
        for shown in of_request(route.operation) {
            if let Some(RefOr::T(content)) = body.content.get_mut(shown.media) {
                add(content, shown);
            }
        }
    }
    if route.method == Method::HEAD {
        return;
    }
    for (status, shown) in of_answers(route.operation) {
        if let Some(RefOr::T(response)) = described.responses.responses.get_mut(status)
            && let Some(RefOr::T(content)) = response.content.get_mut(shown.media)
        {
            add(content, shown);
        }
    }
}

fn add(content: &mut Content, shown: Shown) {
    let mut example = Example::new();
    example.summary = shown.summary.to_owned();
    example.value = Some(shown.value);
    content.examples.insert(shown.name.to_owned(), RefOr::T(example));
}

fn of_request(operation: Operation) -> Vec<Shown> {
    match operation {
        Operation::PutValue => vec![
            shown(JSON, "a_text", "A text", json!({ "value": "Ada" })),
            shown(JSON, "expiring", "For an hour", json!({ "value": "Ada", "ttl": 3600 })),
            shown(JSON, "base64", "Bytes that are not text", json!({ "value": "iVBORw0KGgo=", "encoding": "base64" })),
            shown(BYTES, "bytes", "The value, byte for byte", json!("Ada")),
        ],
        Operation::BatchPut => vec![
            shown(
                JSON,
                "a_batch",
                "Two values, one of them for an hour",
                json!({ "items": [
                    { "key": "fruit/apple", "value": "red" }, { "key": "fruit/lemon", "value": "yellow", "ttl": 3600 },
                ] }),
            ),
            shown(
                JSON,
                "conditions",
                "Only if the one has this revision and the other is absent",
                json!({ "items": [
                    { "key": "fruit/apple", "value": "green", "if_match": 42 }, { "key": "fruit/plum", "value": "blue", "if_none_match": "*" },
                ] }),
            ),
        ],
        Operation::Restore => vec![shown(
            JSON,
            "an_export",
            "Two entries into an empty store",
            json!({ "if_applied_revision": 0, "items": [entry("restored:1", "Ada", 3, 42), entry("restored:2", "Grace", 1, 40)] }),
        )],
        Operation::ReadMany => vec![shown(JSON, "keys", "Two keys", json!({ "keys": ["user:1", "user:2"] }))],
        _ => Vec::new(),
    }
}

fn of_answers(operation: Operation) -> Vec<(&'static str, Shown)> {
    match operation {
        Operation::ReadValue | Operation::HeadValue => of_read(),
        Operation::PutValue => vec![
            ("201", shown(JSON, "created", "The key was absent", entry("user:1", "Ada", 1, 42))),
            ("200", shown(JSON, "updated", "The key had a value", entry("user:1", "Ada Lovelace", 2, 43))),
        ],
        Operation::ReadRange | Operation::HeadRange => of_pages().into_iter().chain(of_read()).collect(),
        Operation::BatchPut => {
            let apple = entry("fruit/apple", "red", 1, 42);
            let lemon = with(entry("fruit/lemon", "yellow", 1, 42), "expires_at", "2026-11-22T22:00:00.000000Z");
            vec![
                ("200", shown(JSON, "entries", "The entries, in the order of the items", json!([apple, lemon]))),
                ("200", shown(JSON, "minimal", "With `Prefer: return=minimal`", json!({ "count": 2, "revision": 42 }))),
            ]
        }
        Operation::Restore => {
            vec![("200", shown(JSON, "restored", "Both are there", json!({ "count": 2, "applied_revision": 42 })))]
        }
        Operation::ReadMany => {
            vec![("200", shown(JSON, "found", "The second key is absent", json!({ "results": [entry("user:1", "Ada", 1, 42), null] })))]
        }
        Operation::Backup => vec![("200", shown("application/x-tar", "archive", "How it begins", json!("kvstore-backup.json")))],
        Operation::Health => vec![
            ("200", shown(JSON, "healthy", "A node alone", health(true))),
            ("503", shown(JSON, "unhealthy", "A node whose store has failed", health(false))),
        ],
        _ => of_documents(operation),
    }
}

fn of_documents(operation: Operation) -> Vec<(&'static str, Shown)> {
    let html = |title: &str| json!(format!("<!doctype html>\n<html lang=\"en\">\n<head>\n<title>{title}</title>\n…"));
    match operation {
        Operation::Livez => vec![("200", shown("text/plain", "alive", "It runs", json!("ok\n")))],
        Operation::Readyz => vec![
            ("200", shown("text/plain", "ready", "It can serve", json!("ready\n"))),
            ("503", shown("text/plain", "stopping", "It shuts down", json!("stopping\n"))),
        ],
        Operation::Metrics => {
            let line = "kvstore_requests_total{operation=\"read_value\",status=\"200\"} 17\n";
            vec![("200", shown("text/plain", "metrics", "One line of many", json!(line)))]
        }
        Operation::Schema => vec![
            ("200", shown(JSON, "json", "How it begins", json!({ "openapi": "3.1.0", "info": { "title": "kvstore" } }))),
            ("200", shown("application/yaml", "yaml", "How it begins", json!("openapi: 3.1.0\ninfo:\n  title: kvstore\n"))),
        ],
        Operation::Docs => vec![("200", shown("text/html", "page", "How it begins", html("kvstore: Swagger UI")))],
        Operation::Redoc => vec![("200", shown("text/html", "page", "How it begins", html("kvstore: ReDoc")))],
        Operation::Asset => vec![
            ("200", shown("text/javascript", "script", "How a script begins", json!("\"use strict\";\n"))),
            ("200", shown("text/css", "style", "How a style begins", json!("body { margin: 0; }\n"))),
            ("200", shown("image/svg+xml", "drawing", "How a drawing begins", json!("<svg xmlns=\"http://www.w3.org/2000/svg\">"))),
        ],
        Operation::Index => vec![
            ("200", shown(JSON, "paths", "For programs", index())),
            ("200", shown("text/html", "page", "For browsers", html("kvstore"))),
        ],
        _ => Vec::new(),
    }
}

fn of_read() -> Vec<(&'static str, Shown)> {
    let bytes = with(entry("logo", "iVBORw0KGgo=", 1, 44), "encoding", "base64");
    vec![
        ("200", shown(JSON, "a_text", "A text", entry("user:1", "Ada", 1, 42))),
        ("200", shown(JSON, "base64", "Bytes that are not text", bytes)),
        ("200", shown(BYTES, "bytes", "The value, byte for byte", json!("Ada"))),
    ]
}

fn of_pages() -> Vec<(&'static str, Shown)> {
    let (first, second) = (entry("user:1", "Ada", 1, 42), entry("user:2", "Grace", 1, 43));
    let without = |mut entry: Value| {
        entry.as_object_mut().and_then(|members| members.remove("value"));
        entry
    };
    let more = json!({ "count": 1, "results": [first], "has_more": true, "next_cursor": "user:1" });
    let keys = json!({ "count": 2, "results": [without(first.clone()), without(second.clone())], "has_more": false });
    let last = json!({ "count": 1, "results": [second], "has_more": false });
    vec![
        ("200", shown(JSON, "a_page", "A page with more after it", more)),
        ("200", shown(JSON, "last_page", "The last page", last)),
        ("200", shown(JSON, "keys_only", "With `keys_only=true`", keys)),
    ]
}

fn entry(key: &str, value: &str, version: u64, revision: u64) -> Value {
    let updated = if version == 1 { "2026-11-22T21:00:00.000000Z" } else { "2026-11-22T21:05:00.000000Z" };
    json!({
        "key": key, "value": value, "version": version, "revision": revision,
        "created_at": "2026-11-22T21:00:00.000000Z", "updated_at": updated,
    })
}

fn with(mut entry: Value, name: &str, value: &str) -> Value {
    if let Some(members) = entry.as_object_mut() {
        members.insert(name.to_owned(), value.into());
    }
    entry
}

fn health(healthy: bool) -> Value {
    let url = "http://127.0.0.1:8000/kv-store/v1";
    json!({
        "status": if healthy { "healthy" } else { "unhealthy" },
        "cluster": {
            "replication_enabled": false, "total_nodes": 1, "healthy_nodes": u8::from(healthy), "unhealthy_nodes": u8::from(!healthy),
            "required_for_quorum": 1, "has_quorum": healthy, "can_accept_writes": healthy, "automatic_failover_enabled": false,
            "leader": url, "nodes": [{ "url": url, "healthy": healthy, "state": if healthy { "ready" } else { "failed" } }],
        },
        "storage": {
            "backend": "embedded", "state": if healthy { "ready" } else { "failed" }, "latency_ms": healthy.then_some(0.012),
            "applied_revision": 42, "disk_free_bytes": 52_428_800_000_u64, "disk_used_bytes": 1_048_576,
        },
    })
}

fn index() -> Value {
    json!({
        "name": "kvstore", "version": env!("CARGO_PKG_VERSION"), "api": "http://127.0.0.1:8000/kv-store/v1",
        "health": "/kv-store/v1/health/", "schema": "/kv-store/schema/", "docs": "/kv-store/docs/", "redoc": "/kv-store/redoc/",
        "metrics": "/metrics",
    })
}

//! Banner, logs and metrics.

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, run, text};

#[test]
fn the_banners_curl_works_as_it_stands() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    let banner = server.said();
    assert!(banner.contains(data.to_str().expect("UTF-8")), "the data directory is not in {banner}");
    let line = banner.lines().find_map(|line| line.trim_start().strip_prefix("try ")).expect("a line with a curl");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("{} --silent --show-error --fail", line.trim())]);
    let entry: Value = serde_json::from_str(&expect_exit(&run(shell, b""), 0)).expect("an entry");
    assert_eq!((&entry["key"], &entry["value"]), (&"hello".into(), &"world".into()), "{entry}");
    assert_eq!(expect_exit(&server.client(&["get", "hello"], b""), 0), "world");
    server.stop();
}

#[test]
fn logs_are_json_where_no_terminal_reads_them() {
    let dir = TempDir::new().expect("a directory");
    let said = Server::start(&dir.path().join("data"), &[]).stop();
    let events: Vec<Value> =
        said.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for message in ["serving", "stopped"] {
        assert!(events.iter().any(|event| event["message"] == message && event["level"] == "INFO"), "no {message} in {said}");
    }
}

#[test]
fn the_metrics_of_each_tier_are_there() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    expect_exit(&server.client(&["get", "k"], b""), 0);
    let metrics = server.http_get("/metrics");
    for part in [
        "kvstore_requests_total{operation=\"put_value\",status=\"201\"} 1",
        "kvstore_request_duration_seconds_bucket{operation=\"put_value\",le=\"",
        "process_resident_memory_bytes ",
        "kvstore_build_info{version=\"",
    ] {
        assert!(metrics.contains(part), "{part} is not in {metrics}");
    }
    // The engine's gauges are published every now and then, the first time soon after the start.
    for subject in [
        "committer_queue",
        "group_batches_bucket",
        "entry_cache_hits",
        "block_cache",
        "memtable",
        "stall",
        "compaction",
        "wal_size",
        "disk_free",
        "table_files",
    ] {
        eventually(subject, || {
            let metrics = server.http_get("/metrics");
            metrics.lines().any(|line| line.starts_with("kvstore_") && line.contains(subject))
        });
    }
    server.stop();
}

#[test]
fn an_idle_server_is_small() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    expect_exit(&server.client(&["health"], b""), 0);
    let resident = server.memory_kib("VmRSS:");
    assert!(resident < 60 << 10, "an idle server holds {resident} KiB");
    server.stop();
}

#[test]
fn probes_answer() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    for path in ["/livez", "/readyz", "/kv-store/v1/health/"] {
        let answer = server.http_get(path);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    assert_eq!(text(server.http_get("/nothing").as_bytes()).split(' ').nth(1), Some("404"));
    server.stop();
}

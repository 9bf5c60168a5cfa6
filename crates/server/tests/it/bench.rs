//! `kvstore bench` as a user runs it: every workload, what it leaves behind, and what it refuses.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

const SHORT: &[&str] = &["bench", "--operations", "2000", "--records", "500", "-o", "json"];

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

fn bench(server: &Server, arguments: &[&str]) -> Value {
    let said = expect_exit(&server.client(&[SHORT, arguments].concat(), b""), 0);
    serde_json::from_str(&said).map_err(|error| format!("{said}: {error}")).expect("JSON")
}

/// The keys of the store, one a line.
fn keys(server: &Server) -> String {
    expect_exit(&server.client(&["list", "--keys-only", "-o", "plain"], b""), 0)
}

#[test]
fn every_workload_does_what_it_says_and_leaves_nothing() {
    let (server, _dir) = server();
    expect_exit(&server.client(&["put", "mine", "v"], b""), 0);
    for (workload, kinds) in [
        ("a", &["read", "update"][..]),
        ("b", &["read", "update"]),
        ("c", &["read"]),
        ("e", &["insert", "scan"]),
        ("f", &["read", "read-modify-write"]),
    ] {
        let report = bench(&server, &["--workload", workload]);
        assert_eq!((&report["workload"], &report["loop"]), (&workload.into(), &"closed".into()), "{report}");
        assert_eq!((&report["operations"], &report["errors"]), (&2000.into(), &0.into()), "{report}");
        assert_eq!(report["load"]["records"], 500, "{report}");
        let found = report["kinds"].as_object().expect("kinds");
        assert_eq!(found.keys().collect::<Vec<_>>(), kinds, "{report}");
        let count = |kind: &Value| kind["count"].as_u64().expect("a count");
        assert_eq!(found.values().map(count).sum::<u64>(), 2000, "{report}");
        for kind in found.values() {
            let at = |name: &str| kind["latency_us"][name].as_u64().expect("a latency");
            assert!(0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"), "{report}");
            let buckets = kind["buckets"].as_array().expect("buckets");
            assert_eq!(buckets.iter().map(count).sum::<u64>(), count(kind), "{report}");
            let ends = |bucket: &Value| (bucket["from_us"].as_u64().expect("a time"), bucket["to_us"].as_u64().expect("a time"));
            assert!(buckets.windows(2).all(|pair| ends(&pair[0]).1 == ends(&pair[1]).0), "{report}");
            assert!(buckets.iter().any(|bucket| ends(bucket).0 <= at("p50") && at("p50") < ends(bucket).1), "{report}");
        }
        if workload == "e" {
            assert!(found["scan"]["entries"].as_u64().expect("a count") > count(&found["scan"]), "{report}");
        }
        if workload == "f" {
            assert!(found["read-modify-write"]["retries"].is_u64(), "{report}");
        }
        assert_eq!(keys(&server), "mine\n", "workload {workload} left records, or took the user's");
    }
    server.stop();
}

#[test]
fn writers_of_one_record_begin_again_and_are_counted() {
    let (server, _dir) = server();
    let said = expect_exit(&server.client(&["bench", "--operations", "500", "--records", "1", "--workload", "f", "-o", "json"], b""), 0);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let kind = &report["kinds"]["read-modify-write"];
    assert!(kind["retries"].as_u64().expect("a count") > 0, "16 connections never met at one record: {report}");
    server.stop();
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let (server, _dir) = server();
    let report = bench(&server, &["--workload", "c", "--rate", "4000", "--distribution", "latest"]);
    assert_eq!((&report["loop"], &report["rate"], &report["operations"]), (&"open".into(), &4000.into(), &2000.into()), "{report}");
    assert!(report["seconds"].as_f64().expect("a time") >= 0.499, "2,000 operations at 4,000/s took less than half a second: {report}");
    server.stop();
}

#[test]
fn keys_of_others_are_neither_measured_nor_deleted() {
    let (server, _dir) = server();
    expect_exit(&server.client(&["put", "bench/theirs", "v"], b""), 0);
    let refused = server.client(SHORT, b"");
    expect_exit(&refused, 2);
    let said = text(&refused.stderr);
    assert!(said.contains("bench/theirs") && said.contains("--prefix"), "{said}");
    bench(&server, &["--prefix", "other/"]);
    assert_eq!(keys(&server), "bench/theirs\n");
    for (arguments, why) in [
        (&["--prefix", ""][..], "is empty"),
        (&["--no-load", "--prefix", "none/"], "leave out --no-load"),
        (&["--replace"], "bench/theirs"),
        (&["--connections", "0"], "1..=10000"),
        (&["--seconds", "1"], "--operations"),
    ] {
        let refused = server.client(&[SHORT, arguments].concat(), b"");
        expect_exit(&refused, 2);
        assert!(text(&refused.stderr).contains(why), "{arguments:?}: {}", text(&refused.stderr));
    }
    server.stop();
}

#[test]
fn kept_records_are_used_again_and_replaced_only_when_asked() {
    let (server, _dir) = server();
    bench(&server, &["--keep"]);
    assert_eq!(keys(&server).lines().filter(|key| key.starts_with("bench/user")).count(), 500);
    let refused = server.client(SHORT, b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("--no-load"), "{}", text(&refused.stderr));
    let report = bench(&server, &["--no-load", "--workload", "c", "--distribution", "uniform"]);
    assert!(report.get("load").is_none() && report["errors"] == 0, "{report}");
    assert_eq!(keys(&server).lines().count(), 500, "--no-load deletes nothing");
    bench(&server, &["--replace"]);
    assert_eq!(keys(&server), "");
    server.stop();
}

#[test]
fn ctrl_c_ends_the_run_with_a_report_and_deletes_the_records() {
    let (server, _dir) = server();
    let mut command = kvstore(&["bench", "--seconds", "3600", "--records", "500", "-o", "json", "--workload", "e"]);
    command.env("KVSTORE_URL", &server.url).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the command starts");
    // More than were loaded: the run has begun to insert.
    eventually("inserts", || keys(&server).lines().count() > 500);
    kill_process(Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid"), Signal::INT).expect("it is there");
    let said = expect_exit(&child.wait_with_output().expect("an end"), 130);
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert!(report["interrupted"] == true && report["operations"].as_u64().expect("a count") > 0, "{report}");
    assert_eq!(keys(&server), "");
    server.stop();
}

#[test]
fn a_person_gets_a_table_and_is_told_what_a_closed_loop_hides() {
    let (server, _dir) = server();
    let said = expect_exit(&server.client(&["bench", "--operations", "200", "--records", "50"], b""), 0);
    // A pipe gets the histograms too, one for each operation.
    for part in ["workload A on http://", "P99.9", "loaded 50 records", "hides queueing", "latency of read:\n", "latency of update:\n", "█"]
    {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let said = expect_exit(&server.client(&["bench", "--operations", "200", "--records", "50", "--rate", "10000"], b""), 0);
    assert!(said.contains("open loop") && !said.contains("hides"), "{said}");
    server.stop();
}

#[test]
fn a_server_that_is_not_there_is_said_so_with_what_to_do() {
    let output = run(kvstore(&["bench", "--url", "http://127.0.0.1:1"]), b"");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("can't reach the server") && said.contains("kvstore serve"), "{said}");
}

//! Imports that go on after a while, or after the worst moment to break off.

use std::{io::Write, process::Child};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    running::{Server, eventually, expect_exit, text},
    transfers::start,
};

fn kill(mut child: Child) {
    child.kill().expect("the import is there");
    child.wait().expect("it ended");
}

fn has_key(server: &Server, key: &str) -> bool {
    server.client(&["get", key], b"").status.success()
}

/// Puts a key that expires after so many seconds, and tells when.
fn expiry_of(server: &Server, key: &str, seconds: &str) -> String {
    expect_exit(&server.client(&["put", key, "v", "--ttl", seconds], b""), 0);
    let entry: Value = serde_json::from_str(&expect_exit(&server.client(&["get", key, "-o", "json"], b""), 0)).expect("JSON");
    entry.get("expires_at").and_then(Value::as_str).expect("an expiry").to_owned()
}

/// Expiries were counted from the first start of an import: what expired before it was resumed came to life again. Nor may a batch that
/// had arrived be stored again since its entries have less time to live now: others may have written to its keys.
#[test]
fn what_expires_before_an_import_is_resumed_stays_away() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let saved = dir.path().join("state");
    let saved = saved.to_str().expect("UTF-8");
    let later = expiry_of(&server, "later", "3600");
    let soon = expiry_of(&server, "marker", "3");
    let line = |n: usize| match n {
        // One that expires later, and one whose last word is that it expires before the import goes on.
        1 => format!("{{\"key\":\"k{n:05}\",\"value\":\"{n}\",\"expires_at\":\"{later}\"}}\n"),
        1_200 => format!("{{\"key\":\"gone\",\"value\":\"old\"}}\n{{\"key\":\"gone\",\"value\":\"new\",\"expires_at\":\"{soon}\"}}\n"),
        _ => format!("{{\"key\":\"k{n:05}\",\"value\":\"{n}\"}}\n"),
    };
    let lines: String = (0..1_500).map(line).collect();
    let (child, mut pipe) = start(&server, &["--state", saved]);
    pipe.write_all(lines.as_bytes()).expect("a part is read");
    eventually("a part is stored", || has_key(&server, "k00999"));
    kill(child);

    eventually("the marker expired", || !has_key(&server, "marker"));
    let output = server.client(&["import", "-", "--resume", "--state", saved], lines.as_bytes());
    let said = expect_exit(&output, 0);
    assert!(said.ends_with(", 1 had expired\n"), "{said}");
    assert!(!has_key(&server, "gone"), "an expired entry was brought back");
    let listed = expect_exit(&server.client(&["list", "--prefix", "k", "-o", "json"], b""), 0);
    assert_eq!(listed.lines().filter(|line| line.contains("\"version\":1,")).count(), 1_499, "none was stored twice: {listed}");
    server.stop();
}

fn entry(n: usize, updated_at: &str) -> String {
    format!(
        "{{\"key\":\"k{n:05}\",\"value\":\"v\",\"version\":1,\"revision\":{},\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"updated_at\":\"{updated_at}\"}}\n",
        n + 1
    )
}

/// The batch was sent again with what had been refused of it, which is no repeat: "something else was written".
#[test]
fn a_restore_that_passed_over_an_entry_goes_on_after_a_kill() {
    let dir = TempDir::new().expect("a directory");
    let lines: String =
        (0..1_500).map(|n| entry(n, if n == 500 { "2199-01-01T00:00:00.000000Z" } else { "2026-01-01T00:00:00.000000Z" })).collect();
    // The moment is there when the rest of the batch is stored, and the state does not say so yet. It may be missed.
    let was_met = (0..20).any(|attempt| {
        let server = Server::start(&dir.path().join(format!("data-{attempt}")), &[]);
        let saved = dir.path().join(format!("state-{attempt}"));
        let options = ["--with-metadata", "--skip-invalid", "--state", saved.to_str().expect("UTF-8")];
        let (child, mut pipe) = start(&server, &options);
        pipe.write_all(lines.as_bytes()).expect("a part is read");
        eventually("the rest of the batch is stored", || has_key(&server, "k00999"));
        kill(child);
        let state: Value = serde_json::from_slice(&std::fs::read(&saved).expect("a state")).expect("JSON");
        let output = server.client(&[&["import", "-", "--resume"], &options[..]].concat(), lines.as_bytes());
        assert_eq!(expect_exit(&output, 0), "1499 entries stored, 1 skipped\n", "{}", text(&output.stderr));
        server.stop();
        state["tail"].is_null()
    });
    assert!(was_met, "the moment was missed each time");
}

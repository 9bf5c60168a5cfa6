//! `kvstore export`: what it writes, where, and how it goes on after it broke off.

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, expect_exit, text};

/// A server with as many entries, of texts and of bytes.
fn server(entries: usize) -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let lines: String = (0..entries)
        .map(|n| match n % 3 {
            0 => format!("{{\"key\":\"k{n:05}\",\"value\":\"/w==\",\"encoding\":\"base64\"}}\n"),
            1 => format!("{{\"key\":\"k{n:05}\",\"value\":\"a \\\"quoted\\\"\\nline\"}}\n"),
            _ => format!("{{\"key\":\"k{n:05}\",\"value\":\"{}\"}}\n", "v".repeat(n % 500)),
        })
        .collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    (server, dir)
}

#[test]
fn an_export_is_what_was_imported_in_the_order_of_keys() {
    let (server, dir) = server(12_000);
    let exported = server.client(&["export"], b"");
    let lines = expect_exit(&exported, 0);
    assert_eq!(text(&exported.stderr), "12000 entries exported\n");
    assert_eq!(lines.lines().count(), 12_000);
    assert!(lines.lines().is_sorted(), "the keys are in order");
    assert_eq!(lines.lines().next(), Some("{\"key\":\"k00000\",\"value\":\"/w==\",\"encoding\":\"base64\"}"));
    let other = Server::start(&dir.path().join("other"), &[]);
    expect_exit(&other.client(&["import", "-"], lines.as_bytes()), 0);
    assert!(expect_exit(&other.client(&["export"], b""), 0) == lines, "the export of the import differs");
    let part = expect_exit(&server.client(&["export", "--prefix", "k00", "--start", "k00990", "--end", "k01005"], b""), 0);
    assert_eq!(part.lines().count(), 10, "{part}");
    other.stop();
    server.stop();
}

#[test]
fn metadata_is_kept_where_it_is_asked_for() {
    let (server, _dir) = server(3);
    let lines = expect_exit(&server.client(&["export", "--with-metadata"], b""), 0);
    let listed = expect_exit(&server.client(&["list", "-o", "json"], b""), 0);
    let parsed = |text: &str| text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>();
    assert_eq!(parsed(&lines), parsed(&listed));
    assert!(parsed(&lines).iter().all(|entry| entry["version"] == 1 && entry["updated_at"].is_string()), "{lines}");
    server.stop();
}

#[test]
fn a_store_is_restored_exactly_into_an_empty_one_and_only_there() {
    let (server, dir) = server(5_000);
    // Versions, revisions and times that differ, an expiry, and a hole in the revisions.
    for key in ["k00001", "k00002", "k00001", "zz"] {
        expect_exit(&server.client(&["put", key, "again", "--ttl", "100000"], b""), 0);
    }
    expect_exit(&server.client(&["delete", "zz"], b""), 0);
    let file = dir.path().join("all.ndjson.zst");
    let path = file.to_str().expect("UTF-8");
    expect_exit(&server.client(&["export", "--with-metadata", path], b""), 0);
    let lines = expect_exit(&server.client(&["export", "--with-metadata"], b""), 0);

    let other = Server::start(&dir.path().join("other"), &[]);
    expect_exit(&other.client(&["import", "--dry-run", "--with-metadata", path], b""), 0);
    assert_eq!(expect_exit(&other.client(&["import", "--with-metadata", path], b""), 0), "5000 entries stored\n");
    assert!(expect_exit(&other.client(&["export", "--with-metadata"], b""), 0) == lines, "the restored store differs");
    // Again: all of it is there.
    expect_exit(&other.client(&["import", "--with-metadata", path], b""), 0);
    let put = expect_exit(&other.client(&["put", "k00001", "later"], b""), 0);
    assert!(put.contains("version 4"), "{put}");
    let refused = other.client(&["import", "--with-metadata", path], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("something else was written"), "{}", text(&refused.stderr));
    // Lines without metadata are no entries.
    let third = Server::start(&dir.path().join("third"), &[]);
    let refused = third.client(&["import", "--with-metadata", "-"], b"{\"key\":\"a\",\"value\":\"1\"}\n");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("line 1: it has no version"), "{}", text(&refused.stderr));
    for server in [server, other, third] {
        server.stop();
    }
}

#[test]
fn large_values_take_the_pages_that_they_need() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let value = "v".repeat(3 << 20);
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        expect_exit(&server.client(&["put", key, "-"], value.as_bytes()), 0);
    }
    let lines = expect_exit(&server.client(&["export"], b""), 0);
    assert_eq!(lines.lines().count(), 7);
    assert!(lines.lines().all(|line| line.len() > value.len()), "a value is cut");
    server.stop();
}

#[test]
fn a_file_that_broke_off_is_gone_on_with_after_its_last_whole_line() {
    let (server, dir) = server(5_000);
    for metadata in [&[][..], &["--with-metadata"]] {
        let whole = expect_exit(&server.client(&[&["export"], metadata].concat(), b""), 0);
        let file = dir.path().join("part");
        let path = file.to_str().expect("UTF-8");
        for cut in [0, 1, 40, whole.len() / 3, whole.len() / 2 + 7, whole.len() - 1, whole.len()] {
            std::fs::write(&file, &whole.as_bytes()[..cut]).expect("a file");
            let output = server.client(&[&["export", path, "--resume"], metadata].concat(), b"");
            expect_exit(&output, 0);
            assert!(std::fs::read_to_string(&file).expect("the file") == whole, "cut at {cut}: the file differs from a whole export");
        }
        // It is not gone on with in another form, and not replaced unless that is said.
        let other: &[&str] = if metadata.is_empty() { &["--with-metadata"] } else { &[] };
        let output = server.client(&[&["export", path, "--resume"], other].concat(), b"");
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains("metadata"), "{}", text(&output.stderr));
        let output = server.client(&["export", path], b"");
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains("--resume") && text(&output.stderr).contains("--force"), "{}", text(&output.stderr));
        expect_exit(&server.client(&[&["export", path, "--force"], metadata].concat(), b""), 0);
    }
    let packed = dir.path().join("part.zst");
    let output = server.client(&["export", packed.to_str().expect("UTF-8"), "--resume"], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("compressed"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn a_full_disk_is_an_error_that_says_what_to_do() {
    let (server, _dir) = server(2_000);
    let output = server.client(&["export", "/dev/full"], b"");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("No space left on device") && said.contains("make room"), "{said}");
    let output = server.client(&["export", "/nowhere/file"], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("/nowhere/file"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let (server, dir) = server(1_000);
    let file = dir.path().join("nothing");
    let output = server.client(&["export", "--dry-run", file.to_str().expect("UTF-8")], b"");
    assert_eq!(expect_exit(&output, 0), "1000 entries would be exported\n");
    assert!(!file.exists(), "a dry run made a file");
    server.stop();
}

//! `kvstore import`: good lines, bad lines, and what is stored after each.

use tempfile::TempDir;

use crate::running::{Server, expect_exit, kvstore, run, text};

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

#[test]
fn more_than_one_batch_is_stored_and_later_lines_win() {
    let (server, dir) = server();
    let mut lines: String = (0..2_500).map(|n| format!("{{\"key\":\"k{n:04}\",\"value\":\"{n}\"}}\n")).collect();
    lines.push_str("\n{\"key\":\"k0000\",\"value\":\"first\"}\n{\"key\":\"k0000\",\"value\":\"/w==\",\"encoding\":\"base64\"}");
    let file = dir.path().join("lines.ndjson");
    std::fs::write(&file, lines).expect("a file");
    let output = server.client(&["import", file.to_str().expect("UTF-8")], b"");
    assert_eq!(expect_exit(&output, 0), "2502 entries stored\n");
    assert_eq!(text(&output.stderr), "", "no bar where there is no terminal");
    assert_eq!(expect_exit(&server.client(&["list", "--keys-only"], b""), 0).lines().count(), 2_500);
    assert_eq!(server.client(&["get", "k0000"], b"").stdout, b"\xff");
    server.stop();
}

#[test]
fn what_was_listed_can_be_imported() {
    let (server, _dir) = server();
    expect_exit(&server.client(&["put", "k", "-"], b"\xff\x00"), 0);
    let listed = expect_exit(&server.client(&["list", "-o", "json"], b""), 0);
    expect_exit(&server.client(&["delete", "k"], b""), 0);
    expect_exit(&server.client(&["import", "-"], listed.as_bytes()), 0);
    assert_eq!(server.client(&["get", "k"], b"").stdout, b"\xff\x00");
    server.stop();
}

#[test]
fn an_import_of_nothing_stores_nothing() {
    let (server, _dir) = server();
    assert_eq!(expect_exit(&server.client(&["import", "-"], b"\n\n"), 0), "0 entries stored\n");
    server.stop();
}

#[test]
fn of_many_lines_with_few_keys_the_last_of_each_wins() {
    let (server, _dir) = server();
    let lines: String = (0..20_000).map(|n| format!("{{\"key\":\"k{}\",\"value\":\"{n}\"}}\n", n % 7)).collect();
    assert_eq!(expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0), "20000 entries stored\n");
    let listed = expect_exit(&server.client(&["list"], b""), 0);
    let expected: String = (0..7).map(|key| format!("k{key}\t{}\n", (0..20_000).rev().find(|n| n % 7 == key).expect("a number"))).collect();
    assert_eq!(listed, expected);
    server.stop();
}

#[test]
fn a_key_that_comes_again_in_a_later_batch_is_not_overtaken() {
    let (server, _dir) = server();
    // The same thousand keys, batch after batch: were two of them under way together, either could win.
    let lines: String = (0..40_000).map(|n| format!("{{\"key\":\"k{:03}\",\"value\":\"{n}\"}}\n", n % 1_000)).collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    let listed = expect_exit(&server.client(&["list"], b""), 0);
    for (key, line) in listed.lines().enumerate() {
        assert_eq!(line, format!("k{key:03}\t{}", 39_000 + key));
    }
    server.stop();
}

#[test]
fn compressed_files_are_imported_by_their_names_and_a_pipe_by_its_bytes() {
    let (server, dir) = server();
    let lines: String = (0..3_000).map(|n| format!("{{\"key\":\"k{n:04}\",\"value\":\"{n}\"}}\n")).collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    for name in ["all.ndjson.gz", "all.ndjson.zst"] {
        let file = dir.path().join(name);
        let path = file.to_str().expect("UTF-8");
        expect_exit(&server.client(&["export", path], b""), 0);
        let packed = std::fs::read(&file).expect("the file");
        assert!(packed.len() < lines.len() / 2, "{name} has {} bytes", packed.len());
        assert_eq!(expect_exit(&server.client(&["import", path], b""), 0), "3000 entries stored\n");
        assert_eq!(expect_exit(&server.client(&["import", "-"], &packed), 0), "3000 entries stored\n");
        assert!(!dir.path().join(format!("{name}.import-state")).exists(), "the state of a complete import is left behind");
    }
    server.stop();
}

#[test]
fn a_dry_run_checks_every_line_and_stores_nothing() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("lines");
    std::fs::write(&file, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"\"}\n\n{\"key\":\"b\",\"value\":\"2\"}\nx\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    // No server is asked.
    let output = run(kvstore(&["import", "--dry-run", path, "--url", "http://127.0.0.1:1"]), b"");
    assert_eq!(expect_exit(&output, 2), "5 read: 2 would be stored, 0 had expired, 2 can't be stored\n");
    let said = text(&output.stderr);
    assert!(said.contains("line 2: ") && said.contains("line 5: "), "{said}");
    let output = run(kvstore(&["import", "--dry-run", "-"]), b"{\"key\":\"a\",\"value\":\"1\"}\n");
    expect_exit(&output, 0);
    assert_eq!(std::fs::read_dir(dir.path()).expect("the folder").count(), 1, "a dry run left a file");
}

#[test]
fn what_expired_is_not_stored_and_what_expires_still_does() {
    let (server, _dir) = server();
    let lines =
        "{\"key\":\"gone\",\"value\":\"1\",\"expires_at\":\"2020-01-01T00:00:00Z\"}\n{\"key\":\"soon\",\"value\":\"2\",\"ttl\":1000}\n";
    assert_eq!(expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0), "1 entry stored, 1 had expired\n");
    let exported = expect_exit(&server.client(&["export"], b""), 0);
    assert!(exported.contains("\"key\":\"soon\"") && exported.contains("expires_at") && !exported.contains("gone"), "{exported}");
    expect_exit(&server.client(&["delete", "soon"], b""), 0);
    expect_exit(&server.client(&["import", "-"], exported.as_bytes()), 0);
    let again = expect_exit(&server.client(&["get", "soon", "--json"], b""), 0);
    assert!(again.contains("expires_at"), "{again}");
    server.stop();
}

#[test]
fn progress_for_a_program_is_a_line_of_json() {
    let (server, dir) = server();
    let file = dir.path().join("lines");
    let lines: String = (0..5_000).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"v\"}}\n")).collect();
    std::fs::write(&file, &lines).expect("a file");
    let output = server.client(&["import", "--progress", "json", file.to_str().expect("UTF-8")], b"");
    expect_exit(&output, 0);
    let last: serde_json::Value =
        text(&output.stderr).lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("a line of JSON");
    assert_eq!((&last["event"], &last["entries"], &last["bytes"]), (&"end".into(), &5_000.into(), &lines.len().into()), "{last}");
    assert!(last["bytes_total"] == lines.len() && last["entries_per_second"].is_u64(), "{last}");
    server.stop();
}

#[test]
fn an_import_from_a_pipe_with_a_name_keeps_no_state_beside_it() {
    let (server, _dir) = server();
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let mut shell = std::process::Command::new("bash");
    let line = format!("{binary} import <(echo '{{\"key\":\"a\",\"value\":\"1\"}}') && {binary} import /dev/stdin");
    shell.args(["-c", &line]).env("KVSTORE_URL", &server.url);
    let output = run(shell, b"{\"key\":\"b\",\"value\":\"2\"}\n");
    assert_eq!(expect_exit(&output, 0), "1 entry stored\n1 entry stored\n");
    assert_eq!(text(&output.stderr), "");
    server.stop();
}

//! `kvstore import`: good lines, bad lines, and what is stored after each.

use tempfile::TempDir;

use crate::running::{Server, expect_exit, text};

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
fn a_bad_line_is_named_and_those_before_it_are_stored() {
    let (server, _dir) = server();
    let good = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";
    let bad = [
        "{",
        "[]",
        "{\"key\":\"\",\"value\":\"\"}",
        "{\"key\":\"k\"}",
        "{\"key\":\"k\",\"value\":\"v\",\"ttl\":-1}",
        "{\"key\":\"k\",\"valeu\":\"v\"}",
    ];
    for line in bad {
        let output = server.client(&["import", "-"], format!("{good}{line}\n{{\"key\":\"after\",\"value\":\"3\"}}\n").as_bytes());
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains("line 3") && said.contains("2 entries are stored"), "{line} said {said}");
    }
    assert_eq!(expect_exit(&server.client(&["list", "--keys-only"], b""), 0), "a\nb\n");
    server.stop();
}

#[test]
fn an_import_of_nothing_stores_nothing() {
    let (server, _dir) = server();
    assert_eq!(expect_exit(&server.client(&["import", "-"], b"\n\n"), 0), "0 entries stored\n");
    server.stop();
}

#[test]
fn a_value_over_the_servers_limit_is_refused_with_its_line() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--max-value-bytes", "10"]);
    let output = server.client(&["import", "-"], b"{\"key\":\"a\",\"value\":\"12345678901\"}\n");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("from line 1 on") && said.contains("not stored") && said.contains("0 entries are stored"), "{said}");
    server.stop();
}

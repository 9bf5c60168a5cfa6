//! The verbs of the client: what they print, and how they exit.

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, expect_exit, kvstore, run, text};

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

#[test]
fn a_value_comes_back_byte_for_byte() {
    let (server, _dir) = server();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for key in ["plain", "a/b", "a//b", "..", "batch", "é %zz ?&#", "ends/"] {
        expect_exit(&server.client(&["put", key, "-"], &bytes), 0);
        let got = server.client(&["get", key], b"");
        assert_eq!(got.status.code(), Some(0), "{key}: {}", text(&got.stderr));
        assert!(got.stdout == bytes, "{key} came back with {} bytes that differ", got.stdout.len());
    }
    let listed = expect_exit(&server.client(&["list", "-o", "json", "--keys-only"], b""), 0);
    assert_eq!(listed.lines().count(), 7, "{listed}");
    expect_exit(&server.client(&["delete", ".."], b""), 0);
    expect_exit(&server.client(&["get", ".."], b""), 1);
    server.stop();
}

#[test]
fn put_takes_its_value_from_the_line_a_file_or_stdin() {
    let (server, dir) = server();
    let file = dir.path().join("value");
    std::fs::write(&file, "from a file").expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    assert!(expect_exit(&server.client(&["put", "k", "-5"], b""), 0).starts_with("created \"k\" version 1 revision "));
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "-5");
    assert!(expect_exit(&server.client(&["put", "k", "--file", file], b""), 0).starts_with("updated \"k\" version 2"));
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "from a file");
    expect_exit(&server.client(&["put", "k"], b"from a pipe"), 0);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "from a pipe");
    expect_exit(&server.client(&["put", "k", "x", "--file", file], b""), 2);
    expect_exit(&server.client(&["put", "k", "--file", "/nowhere"], b""), 2);
    expect_exit(&server.client(&["put", "", "x"], b""), 2);
    expect_exit(&server.client(&["put", "k", "x", "--ttl", "0"], b""), 2);
    server.stop();
}

/// In cron or a unit stdin is /dev/null: a forgotten value replaced what was there by nothing.
#[test]
fn a_forgotten_value_is_not_an_empty_one() {
    let (server, dir) = server();
    expect_exit(&server.client(&["put", "k", "kept"], b""), 0);
    let refused = server.client(&["put", "k"], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("`kvstore put KEY ''`"), "{}", text(&refused.stderr));
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "kept");
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").expect("a file");
    for meant in [&["put", "k", ""][..], &["put", "k", "-"], &["put", "k", "--file", empty.to_str().expect("UTF-8")]] {
        expect_exit(&server.client(&["put", "k", "kept"], b""), 0);
        expect_exit(&server.client(meant, b""), 0);
        assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "", "{meant:?}");
    }
    server.stop();
}

#[test]
fn conditions_and_expiry_reach_the_store() {
    let (server, _dir) = server();
    expect_exit(&server.client(&["put", "k", "1", "--if-absent", "--ttl", "1000"], b""), 0);
    let entry: Value = serde_json::from_str(&expect_exit(&server.client(&["get", "k", "--json"], b""), 0)).expect("JSON");
    assert_eq!((&entry["key"], &entry["value"], &entry["version"]), (&"k".into(), &"1".into(), &1.into()), "{entry}");
    assert!(entry["expires_at"].is_string(), "{entry}");
    let revision = entry["revision"].to_string();

    let refused = server.client(&["put", "k", "2", "--if-absent"], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).starts_with("error: "), "{}", text(&refused.stderr));
    expect_exit(&server.client(&["delete", "k", "--if-match", "999999"], b""), 2);
    expect_exit(&server.client(&["put", "k", "2", "--if-match", &revision], b""), 0);
    expect_exit(&server.client(&["put", "k", "3", "--if-match", &revision], b""), 2);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "2");
    server.stop();
}

#[test]
fn list_selects_orders_and_escapes() {
    let (server, _dir) = server();
    for (key, value) in [("a", "1"), ("b1", "two\tparts\n"), ("b2", "\u{1b}[31mred"), ("c", "4")] {
        expect_exit(&server.client(&["put", key, value], b""), 0);
    }
    let list = |arguments: &[&str]| expect_exit(&server.client(&[&["list"], arguments].concat(), b""), 0);
    assert_eq!(list(&[]), "a\t1\nb1\ttwo\\tparts\\n\nb2\t\\u{1b}[31mred\nc\t4\n");
    assert_eq!(list(&["--prefix", "b", "--keys-only"]), "b1\nb2\n");
    assert_eq!(list(&["--start", "b1", "--end", "b2", "--keys-only", "--reverse"]), "b2\nb1\n");
    assert_eq!(list(&["--limit", "1", "--keys-only"]), "a\n");
    assert_eq!(list(&["--prefix", "nothing"]), "");
    let nothing = server.client(&["list", "--limit", "0"], b"");
    expect_exit(&nothing, 2);
    assert!(text(&nothing.stderr).contains("1 at least"), "{}", text(&nothing.stderr));
    let table = list(&["-o", "table", "--limit", "3"]);
    assert!(table.contains("KEY") && table.contains("b2") && !table.contains('\u{1b}'), "{table}");
    // To swap them is the way in both directions; it was said that reading backwards is another.
    for reverse in [&[][..], &["--reverse"]] {
        let refused = server.client(&[&["list", "--start", "b2", "--end", "a"], reverse].concat(), b"");
        expect_exit(&refused, 2);
        assert!(text(&refused.stderr).contains("swap them; --reverse reads"), "{}", text(&refused.stderr));
    }
    assert_eq!(list(&["--start", "a", "--end", "b1", "--keys-only", "--reverse"]), "b1\na\n");
    server.stop();
}

#[test]
fn an_absent_key_is_exit_1_with_a_message() {
    let (server, _dir) = server();
    for verb in ["get", "delete"] {
        let output = server.client(&[verb, "nobody"], b"");
        assert_eq!(expect_exit(&output, 1), "");
        assert!(text(&output.stderr).contains("there is no key \"nobody\""), "{}", text(&output.stderr));
    }
    server.stop();
}

#[test]
fn health_is_the_nodes_own_word() {
    let (server, _dir) = server();
    let document: Value = serde_json::from_str(&expect_exit(&server.client(&["health"], b""), 0)).expect("JSON");
    assert_eq!(document["status"], "healthy", "{document}");
    assert_eq!(document["cluster"]["total_nodes"], 1, "{document}");
    // It was JSON through a pipe whatever was asked for.
    let lines = expect_exit(&server.client(&["health", "-o", "text"], b""), 0);
    let line = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!((line("status "), line("cluster.total_nodes ")), (Some("healthy"), Some("1")), "{lines}");
    server.stop();
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_to_do() {
    let cases: [(&[&str], &str); 8] = [
        (&[], "Usage"),
        (&["frobnicate"], "unrecognized"),
        (&["get"], "KEY"),
        (&["get", "k", "--url", "localhost:8000"], "http://localhost:8000"),
        (&["get", "k", "--url", "https://localhost"], "http://"),
        (&["get", "k", "--url", "http://127.0.0.1:1"], "kvstore serve"),
        (&["import", "/nowhere"], "/nowhere"),
        (&["get", &"x".repeat(256)], "255"),
    ];
    for (arguments, advice) in cases {
        let output = run(kvstore(arguments), b"");
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains(advice), "{arguments:?} said {}", text(&output.stderr));
    }
}

/// These ended with what is wrong, and not with what to do.
#[test]
fn errors_of_the_server_and_of_files_say_what_to_do_next() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--max-value-bytes", "10"]);
    let elsewhere = format!("{}/foo", server.url);
    let cases: [(&[&str], &str); 5] = [
        (&["put", "k", "eleven bytes"], "--max-value-bytes"),
        (&["put", "k", "--file", "/nowhere"], "name a file that is there"),
        (&["batch", "/nowhere"], "name a file that is there"),
        (&["import", "/nowhere"], "name a file that is there"),
        (&["get", "k", "--url", &elsewhere], "give --url (or KVSTORE_URL) the address of a kvstore alone"),
    ];
    for (arguments, advice) in cases {
        let output = server.client(arguments, b"");
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains(advice), "{arguments:?} said {}", text(&output.stderr));
    }
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    let unwritable = server.client(&["get", "k", "--file", "/nowhere/at/all"], b"");
    expect_exit(&unwritable, 2);
    assert!(text(&unwritable.stderr).contains("name a file in a directory"), "{}", text(&unwritable.stderr));
    server.stop();
}

/// It took 60 seconds, and could not be told to take less.
#[test]
fn a_server_that_is_silent_is_given_up_on_when_the_user_says() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let output = run(kvstore(&["get", "k", "--url", &url, "--timeout", "1"]), b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("it took too long; ") && text(&output.stderr).contains("--timeout"), "{}", text(&output.stderr));
    expect_exit(&run(kvstore(&["get", "k", "--url", &url, "--timeout", "0"]), b""), 2);
}

#[test]
fn an_empty_url_in_the_environment_is_none() {
    let mut command = kvstore(&["get", "k"]);
    command.env("KVSTORE_URL", "");
    let output = run(command, b"");
    assert!(!text(&output.stderr).contains("has no scheme"), "{}", text(&output.stderr));
    // Nothing was said of a server: the default is asked, whatever it answers here.
    let mut command = kvstore(&["get", "k", "--url", ""]);
    command.env("KVSTORE_URL", "");
    let output = run(command, b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("has no scheme"), "{}", text(&output.stderr));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (server, _dir) = server();
    let lines: String = (0..5_000).map(|n| format!("{{\"key\":\"k{n:05}\",\"value\":\"{}\"}}\n", "v".repeat(200))).collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("set -o pipefail; {binary} list | head -n 1")]).env("KVSTORE_URL", &server.url);
    let output = run(shell, b"");
    assert!(expect_exit(&output, 0).starts_with("k00000\t"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    server.stop();
}

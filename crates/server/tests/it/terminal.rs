//! What a person sees: the same commands on a terminal.

use tempfile::TempDir;

use crate::running::{Server, expect_exit, run};

/// Runs a command line of the client on a terminal of its own, and gives all that it showed.
fn on_a_terminal(server: &Server, arguments: &str) -> String {
    ending_on_a_terminal(server, arguments, 0)
}

/// The same, where it ends with this code.
fn ending_on_a_terminal(server: &Server, arguments: &str, code: i32) -> String {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_kvstore"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    // `script` runs the line with $SHELL, or with a plain sh where that is not set: the quoting here is bash's.
    script.env("KVSTORE_URL", &server.url).env("TERM", "xterm").env("SHELL", "/bin/bash");
    let output = run(script, b"");
    expect_exit(&output, code)
}

#[test]
fn an_import_shows_how_far_it_is() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let file = dir.path().join("lines.ndjson");
    let lines: String = (0..20_000).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{}\"}}\n", "v".repeat(500))).collect();
    std::fs::write(&file, lines).expect("a file");
    let shown = on_a_terminal(&server, &format!("import '{}'", file.display()));
    assert!(shown.contains(" %") && shown.contains("MiB") && shown.contains(" entries"), "{shown:?}");
    assert!(shown.contains("20000 entries stored"), "{shown:?}");
    server.stop();
}

#[test]
fn an_import_from_a_redis_tells_the_time_left_from_its_count_of_keys() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let (_redis, port) = crate::import_foreign::redis(dir.path());
    let sets: String = (0..20_000).map(|n| format!("SET k{n} {n}\n")).collect();
    crate::import_foreign::redis_cli(port, &[], sets.as_bytes());
    let shown = on_a_terminal(&server, &format!("import --from-redis redis://127.0.0.1:{port}/0"));
    assert!(shown.contains(" %") && shown.contains("/20,000 keys") && shown.contains(" left"), "{shown:?}");
    // Nobody has counted what an export will find.
    let shown = on_a_terminal(&server, "export --dry-run");
    assert!(!shown.contains(" left") && shown.contains(" entries ") && shown.contains("/s"), "{shown:?}");
    server.stop();
}

#[test]
fn a_backup_and_a_check_show_how_far_they_are() {
    let dir = TempDir::new().expect("a directory");
    let server = crate::backup::filled(&dir.path().join("data"), &[]);
    let copy = dir.path().join("copy");
    let shown = on_a_terminal(&server, &format!("backup '{}' --rate-mb 10", copy.display()));
    assert!(shown.contains(" %") && shown.contains("MiB/s") && shown.contains(" left"), "{shown:?}");
    assert!(shown.contains("backed up revision 12 ("), "{shown:?}");
    let shown = on_a_terminal(&server, &format!("check '{}'", copy.display()));
    assert!(shown.contains(" %") && shown.contains("sound: "), "{shown:?}");
    server.stop();
}

#[test]
fn nothing_stored_can_steer_the_terminal() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    expect_exit(&server.client(&["put", "evil\u{1b}]0;key\u{7}", "a\u{1b}[2Jb\nc"], b""), 0);
    for command in ["list", "get $'evil\\x1b]0;key\\x07'"] {
        let shown = on_a_terminal(&server, command);
        // Colours of the table's own would be fine, but the value's sequences must not come through.
        assert!(!shown.contains("\u{1b}[2J") && !shown.contains("\u{1b}]0;"), "{command} let through {shown:?}");
        assert!(shown.contains("\\u{1b}[2Jb"), "{command} showed {shown:?}");
    }
    server.stop();
}

/// What steers a terminal in one character, and what turns text around or hides it. Written for bash.
const EVIL: &str = r"\xc2\x9b31m\xe2\x80\xaeabc\x7f";

#[track_caller]
fn expect_harmless(command: &str, shown: &str) {
    assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{7f}']), "{command} let through {shown:?}");
}

/// JSON does not escape them, so U+009B reached the terminal from `-o json` and `export`.
#[test]
fn json_on_a_terminal_cannot_steer_it_and_is_the_same_json() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let evil = "\u{9b}31m\u{202e}abc\u{7f}";
    expect_exit(&server.client(&["put", &format!("k{evil}"), &format!("v{evil}")], b""), 0);
    for command in ["list -o json", &format!("get $'k{EVIL}' -o json"), "export --progress none"] {
        let shown = on_a_terminal(&server, command);
        expect_harmless(command, &shown);
        // What `export` says at its end comes after the entry.
        let mut documents = serde_json::Deserializer::from_str(&shown).into_iter::<serde_json::Value>();
        let entry = documents.next().expect("a document").map_err(|error| format!("{command}: {error}: {shown:?}")).expect("JSON");
        assert_eq!((&entry["key"], &entry["value"]), (&format!("k{evil}").into(), &format!("v{evil}").into()), "{command}: {shown:?}");
    }
    for command in ["list", "list -o plain", &format!("get $'k{EVIL}'")] {
        expect_harmless(command, &on_a_terminal(&server, command));
    }
    // A pipe gets what is stored.
    assert!(expect_exit(&server.client(&["list", "-o", "json"], b""), 0).contains(evil));
    server.stop();
}

#[test]
fn errors_cannot_steer_the_terminal() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let file = dir.path().join("lines");
    std::fs::write(&file, "{\"key\":\"a\",\"a\u{9b}31m\u{202e}\u{7f}\":1}\n").expect("a file");
    let file = file.display();
    for (command, code, said) in [
        (format!("import '{file}' --dry-run"), 2, r"a\u{9b}31m\u{202e}\u{7f}"),
        (format!("import '{file}' --dry-run --progress json"), 2, r"a\u009b31m\u202e\u007f"),
        (format!("batch '{file}'"), 2, r"a\u{9b}31m\u{202e}\u{7f}"),
        (format!("get $'k{EVIL}'"), 1, r"k\u{9b}31m"),
        (format!("get --nothing$'{EVIL}'"), 2, r"--nothing\u{9b}31m"),
    ] {
        let shown = ending_on_a_terminal(&server, &command, code);
        expect_harmless(&command, &shown);
        assert!(shown.contains(said), "{command} showed {shown:?}");
    }
    server.stop();
}

#[test]
fn a_table_says_that_there_is_more() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let lines: String = (0..150).map(|n| format!("{{\"key\":\"k{n:03}\",\"value\":\"v\"}}\n")).collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    let shown = on_a_terminal(&server, "list");
    assert!(shown.contains("k099") && !shown.contains("k100") && shown.contains("there are more"), "{shown}");
    server.stop();
}

/// Times were broken into two lines, each row had a rule, and a long key pushed the rest aside.
#[test]
fn a_table_has_a_line_for_each_entry_and_fits_into_80_columns() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let (long, words) = ("k".repeat(200), "some words ".repeat(20));
    for key in ["a", "a key of some length/with/parts/in/it", &long] {
        for (suffix, value) in [("1", "v"), ("2", "a value that is longer than the column"), ("3", &*words)] {
            expect_exit(&server.client(&["put", &format!("{key}{suffix}"), value], b""), 0);
        }
    }
    let shown = on_a_terminal(&server, "list");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 2 + 9, "a header, a rule, and a line for each entry: {shown}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["KEY", "VALUE", "VERSION", "REVISION", "UPDATED"], "{shown}");
    for line in &lines[2..] {
        let words: Vec<_> = line.split_whitespace().rev().take(3).collect();
        // 2026-01-02T03:04:05Z
        assert!(words[0].len() == 20 && words[0].ends_with('Z') && words[2] == "1", "{line}");
    }
    assert!(lines[2].contains(" v ") && lines[4].contains("some words") && lines[10].contains("kkkk…"), "{shown}");
    let keys = on_a_terminal(&server, "list -k");
    assert!(!keys.contains("VALUE") && keys.lines().count() == 2 + 9, "{keys}");
    server.stop();
}

#[test]
fn a_benchmark_shows_how_it_goes_and_how_latencies_lie() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let shown = on_a_terminal(&server, "bench --seconds 1 --records 1000");
    assert!(shown.contains("operations/s now, p99 ") && shown.contains("loading"), "{shown:?}");
    assert!(shown.contains('█') && shown.contains(" µs to "), "{shown:?}");
    server.stop();
}

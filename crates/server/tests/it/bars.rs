//! Progress on a terminal: it fits, and it stays away from what is shown itself.

use tempfile::TempDir;

use crate::{
    backup::filled,
    running::{Server, expect_exit, run},
};

/// What a command of the client shows on a terminal of so many columns.
fn on_a_terminal_of(columns: usize, server: &Server, arguments: &str) -> String {
    let line = format!("stty cols {columns}; {} {arguments}", env!("CARGO_BIN_EXE_kvstore"));
    let mut script = std::process::Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env("KVSTORE_URL", &server.url).env("TERM", "xterm").env("SHELL", "/bin/bash");
    expect_exit(&run(script, b""), 0)
}

/// The lines that were drawn, without the sequences between them and what clears the rest of a line.
fn frames(shown: &str) -> Vec<String> {
    let mut text = String::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        text.push('\r');
        rest = after.trim_start_matches(|character: char| !character.is_ascii_alphabetic()).get(1..).unwrap_or_default();
    }
    text.push_str(rest);
    let is_frame = |line: &&str| line.contains(['█', '░']) || line.contains("/s");
    text.split(['\r', '\n']).filter(is_frame).map(|line| line.trim_end().to_owned()).collect()
}

/// An import's bar took 101 columns and a check's 97, so that each frame began another line; and a rate had "674,448.9413/s".
#[test]
fn no_frame_is_wider_than_the_terminal() {
    let dir = TempDir::new().expect("a directory");
    let server = filled(&dir.path().join("data"), &[]);
    let lines: String = (0..20_000).map(|n| format!("{{\"key\":\"k{n}\",\"value\":\"{}\"}}\n", "v".repeat(500))).collect();
    let file = dir.path().join("lines.ndjson");
    std::fs::write(&file, lines).expect("a file");
    for columns in [80, 50] {
        let place = |name: &str| dir.path().join(format!("{name}-{columns}")).display().to_string();
        for command in [
            format!("import '{}'", file.display()),
            format!("export '{}'", place("all")),
            format!("backup '{}'", place("copy")),
            format!("restore '{}' --data-dir '{}'", place("copy"), place("restored")),
            format!("check '{}'", place("copy")),
        ] {
            let shown = on_a_terminal_of(columns, &server, &command);
            let frames = frames(&shown);
            assert!(!frames.is_empty(), "{command} showed no progress: {shown:?}");
            for frame in frames {
                assert!(frame.chars().count() < columns, "{command} on {columns} columns: {frame:?}");
                let rates = frame.split_whitespace().filter(|word| word.ends_with("/s") && !word.ends_with("B/s"));
                assert!(rates.into_iter().all(|rate| !rate.contains('.')), "{command}: {frame:?}");
            }
        }
    }
    server.stop();
}

/// The bar was drawn into the entries.
#[test]
fn an_export_to_a_terminal_shows_its_entries_alone() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let lines: String = (0..20_000).map(|n| format!("{{\"key\":\"k{n:05}\",\"value\":\"v\"}}\n")).collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    let shown = on_a_terminal_of(80, &server, "export");
    assert!(shown.replace("\r\n", "\n") == format!("{lines}20000 entries exported\n"), "something else was drawn");
    server.stop();
}

//! Transfers that are broken off: the server goes away, or the client is killed. Nothing is lost, and nothing stored twice.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Output, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, text};

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("{{\"key\":\"k{n:05}\",\"value\":\"{n}\"}}\n")).collect()
}

/// An import from a pipe that the test fills.
pub(crate) fn start(server: &Server, arguments: &[&str]) -> (Child, ChildStdin) {
    let mut command = kvstore(&[&["import", "-"], arguments].concat());
    command.env("KVSTORE_URL", &server.url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the import starts");
    let pipe = child.stdin.take().expect("a pipe");
    (child, pipe)
}

fn finish(child: Child, pipe: ChildStdin) -> Output {
    drop(pipe);
    child.wait_with_output().expect("the import ends")
}

/// Every key is there with its value, and was written once.
fn assert_each_once(server: &Server, entries: usize) {
    let listed = expect_exit(&server.client(&["list", "-o", "json"], b""), 0);
    assert_eq!(listed.lines().count(), entries);
    for (n, line) in listed.lines().enumerate() {
        let start = format!("{{\"key\":\"k{n:05}\",\"value\":\"{n}\",\"version\":1,");
        assert!(line.starts_with(&start), "{line} does not begin with {start}");
    }
}

fn has_key(server: &Server, n: usize) -> bool {
    server.client(&["get", &format!("k{n:05}")], b"").status.success()
}

fn state(file: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

#[test]
fn an_import_goes_on_when_the_server_restarts_in_its_middle() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let mut server = Server::start(&data, &[]);
    let listen = server.url.trim_start_matches("http://").to_owned();
    let (mut child, mut pipe) = start(&server, &[]);
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    pipe.write_all(lines(0..10_000).as_bytes()).expect("a part is read");
    eventually("a first part is stored", || has_key(&server, 4_000));
    server.signal(Signal::KILL);
    server.wait();
    // No more than the client takes while nothing is answered.
    pipe.write_all(lines(10_000..13_000).as_bytes()).expect("a part is read");
    // The client must have met its absence before it is back.
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("trying again for up to 120 s"), "{line}");
    let mut command = kvstore(&["serve", "--listen", &listen, "--data-dir"]);
    command.arg(&data);
    let server = Server::start_command(command);
    pipe.write_all(lines(13_000..30_000).as_bytes()).expect("the rest is read");
    let output = finish(child, pipe);
    assert_eq!(expect_exit(&output, 0), "30000 entries stored\n");
    line.clear();
    said.read_line(&mut line).expect("a line");
    assert_eq!(line, "the server answers again\n");
    assert_each_once(&server, 30_000);
    server.stop();
}

#[test]
fn a_server_that_stays_away_ends_the_import_with_what_to_do() {
    let dir = TempDir::new().expect("a directory");
    let mut server = Server::start(&dir.path().join("data"), &[]);
    let (child, mut pipe) = start(&server, &["--retry-for", "1", "--state", dir.path().join("state").to_str().expect("UTF-8")]);
    pipe.write_all(lines(0..2_000).as_bytes()).expect("a part is read");
    eventually("a first part is stored", || has_key(&server, 999));
    server.signal(Signal::KILL);
    server.wait();
    // More than a pipe holds: the import may have ended before it has read it.
    let _ = pipe.write_all(lines(2_000..10_000).as_bytes());
    let output = finish(child, pipe);
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("trying again for up to 1 s"), "{said}");
    assert!(said.contains("; the import stopped, ") && said.contains("--resume"), "{said}");
}

#[test]
fn a_killed_import_is_resumed_without_loss_or_repeat() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let (saved, whole) = (dir.path().join("state"), dir.path().join("whole"));
    let (saved_path, whole_path) = (saved.to_str().expect("UTF-8"), whole.to_str().expect("UTF-8"));
    std::fs::write(&whole, lines(0..20_000)).expect("a file");

    let (mut child, mut pipe) = start(&server, &["--state", saved_path]);
    pipe.write_all(lines(0..10_000).as_bytes()).expect("a part is read");
    eventually("a part is confirmed", || state(&saved).is_some_and(|state| state["totals"]["lines"].as_u64() > Some(0)));
    // What is confirmed in the file lags behind what is stored.
    pipe.write_all(lines(10_000..15_000).as_bytes()).expect("a part is read");
    eventually("more is stored", || has_key(&server, 13_000));
    child.kill().expect("the import is there");
    child.wait().expect("it ended");

    // The same bytes, from a file this time.
    let output = server.client(&["import", whole_path, "--resume", "--state", saved_path], b"");
    assert_eq!(expect_exit(&output, 0), "20000 entries stored\n");
    assert!(text(&output.stderr).contains("going on after line "), "{}", text(&output.stderr));
    assert!(!saved.exists(), "the state of a complete import is left behind");
    assert_each_once(&server, 20_000);
    // Without a state an import begins at the beginning.
    expect_exit(&server.client(&["import", whole_path, "--resume", "--state", saved_path], b""), 0);
    server.stop();
}

#[test]
fn a_state_counts_for_its_own_input_and_its_own_server() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let (saved, input) = (dir.path().join("state"), dir.path().join("input"));
    let (saved_path, path) = (saved.to_str().expect("UTF-8"), input.to_str().expect("UTF-8"));
    // A wrong line leaves the state.
    std::fs::write(&input, format!("{}x\n{}", lines(0..3_000), lines(3_000..4_000))).expect("a file");
    let output = server.client(&["import", path, "--state", saved_path], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("line 3001: "), "{}", text(&output.stderr));

    let resume = |server: &Server| server.client(&["import", path, "--resume", "--state", saved_path], b"");
    std::fs::write(&input, lines(1..4_000)).expect("a file");
    let output = resume(&server);
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("not the one whose import broke off"), "{}", text(&output.stderr));
    let other = Server::start(&dir.path().join("other"), &[]);
    let output = resume(&other);
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains(&server.url), "{}", text(&output.stderr));
    other.stop();

    // The line is mended; what was stored before it is as it was.
    std::fs::write(&input, lines(0..4_000)).expect("a file");
    assert_eq!(expect_exit(&resume(&server), 0), "4000 entries stored\n");
    assert_each_once(&server, 4_000);
    std::fs::write(&saved, "{}").expect("a file");
    expect_exit(&resume(&server), 2);
    let output = server.client(&["import", "-", "--resume"], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("--state"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn a_signal_ends_an_import_and_says_how_to_go_on() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let saved = dir.path().join("state");
    let saved_path = saved.to_str().expect("UTF-8");
    let (child, mut pipe) = start(&server, &["--state", saved_path]);
    pipe.write_all(lines(0..5_000).as_bytes()).expect("a part is read");
    eventually("a part is stored", || has_key(&server, 3_000));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, Signal::INT).expect("the import is there");
    let output = child.wait_with_output().expect("the import ends");
    drop(pipe);
    expect_exit(&output, 130);
    assert!(text(&output.stderr).contains("--resume"), "{}", text(&output.stderr));
    let output = server.client(&["import", "-", "--resume", "--state", saved_path], lines(0..6_000).as_bytes());
    assert_eq!(expect_exit(&output, 0), "6000 entries stored\n");
    assert_each_once(&server, 6_000);
    server.stop();
}

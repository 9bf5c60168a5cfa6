//! `kvstore doctor`: what it finds on a machine that is well, and on one that is not.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup::{names, on_a_small_disk},
    running::{Server, expect_exit, kvstore, run, text},
};

fn doctor(data: &Path, arguments: &[&str]) -> Output {
    let mut command = kvstore(&["doctor", "--data-dir"]);
    command.arg(data).args(arguments);
    run(command, b"")
}

/// A port that was free a moment ago.
fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address").to_string()
}

/// The level, the detail and the advice of one check.
fn of(output: &Output, code: i32, check: &str) -> (String, String, String) {
    let document: Value = serde_json::from_str(&expect_exit(output, code)).expect("JSON");
    let field = |found: &Value, name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let checks = document.get("checks").and_then(Value::as_array).expect("a list").iter();
    let found = checks.filter(|found| field(found, "check") == check).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{check} in {document}");
    let field = |name: &str| found.first().map(|found| field(found, name)).unwrap_or_default();
    (field("level"), field("detail"), field("advice"))
}

#[test]
fn a_machine_that_is_well_has_no_problem_and_nothing_is_left_on_it() {
    let dir = TempDir::new().expect("a directory");
    let output = doctor(&dir.path().join("data"), &["--listen", &free_port()]);
    let said = expect_exit(&output, 0);
    for check in ["settings", "port", "access", "data", "space", "filesystem", "sync", "files", "memory", "clock"] {
        let line = said.lines().find(|line| line.split_whitespace().nth(1) == Some(check));
        assert!(line.is_some_and(|line| !line.starts_with("PROBLEM")), "{check} in {said}");
    }
    assert!(said.contains("a sync takes 0.") && said.contains("0 problems"), "{said}");
    assert_eq!(names(dir.path()), Vec::<String>::new(), "something was left");
}

#[test]
fn a_server_that_runs_is_found_and_is_no_problem() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start_with(&data, &[], &[("KVSTORE_TOKEN", "a-token-that-is-long-enough")]);
    let address = server.url.trim_start_matches("http://");
    let output = doctor(&data, &["--listen", address, "-o", "json"]);
    let pid = server.pid().as_raw_nonzero().to_string();
    let (level, detail, _) = of(&output, 0, "port");
    assert!(level == "ok" && detail.contains("a kvstore that is well") && detail.contains(&pid), "{detail}");
    let (level, detail, _) = of(&output, 0, "data");
    assert!(level == "ok" && detail.contains("in use by process") && detail.contains(&pid), "{detail}");

    // At another address the same directory could not be served.
    let (level, detail, advice) = of(&doctor(&data, &["--listen", &free_port(), "-o", "json"]), 1, "data");
    assert!(level == "problem" && detail.contains(&pid) && advice.contains("stop it"), "{detail}: {advice}");
    server.stop();
    let (level, detail, _) = of(&doctor(&data, &["--listen", &free_port(), "-o", "json"]), 0, "data");
    assert!(level == "ok" && detail.contains("holds the store"), "{detail}");
}

#[test]
fn a_port_of_another_program_is_a_problem() {
    let dir = TempDir::new().expect("a directory");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let answering = std::thread::spawn(move || {
        // Something else than kvstore answers there.
        let (mut stream, _) = listener.accept().expect("a connection");
        std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n").expect("sent");
    });
    let (level, detail, advice) = of(&doctor(&dir.path().join("data"), &["--listen", &address, "-o", "json"]), 1, "port");
    assert!(level == "problem" && detail.contains(&std::process::id().to_string()) && advice.contains("--listen"), "{detail}: {advice}");
    answering.join().expect("it was asked");
    let (level, detail, _) =
        of(&doctor(&dir.path().join("data"), &["--listen", "192.0.2.1:8000", "--token", "0123456789abcdef", "-o", "json"]), 1, "port");
    assert!(level == "problem" && detail.contains("192.0.2.1"), "{detail}");
}

#[test]
fn a_directory_that_can_not_be_used_is_a_problem_with_advice() {
    let dir = TempDir::new().expect("a directory");
    let port = free_port();
    let look = |data: &Path| of(&doctor(data, &["--listen", &port, "-o", "json"]), 1, "data");
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).expect("a directory");
    fs::write(foreign.join("thesis.tex"), "words").expect("a file");
    let (_, detail, advice) = look(&foreign);
    assert!(detail.contains("not a kvstore data directory") && advice.contains("directory of its own"), "{detail}: {advice}");
    fs::write(foreign.join("IDENTITY"), "kvstore format 9\nid 00\n").expect("a file");
    let (_, detail, _) = look(&foreign);
    assert!(detail.contains("format 9"), "{detail}");
    let (_, detail, _) = look(&foreign.join("thesis.tex"));
    assert!(detail.contains("not a directory"), "{detail}");
    let (_, detail, _) = look(Path::new("/dev/null/data"));
    assert!(detail.contains("can't be made in /dev/null"), "{detail}");
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let (level, detail, _) = of(&doctor(&empty, &["--listen", &port, "-o", "json"]), 0, "data");
    assert!(level == "ok" && detail.contains("is empty"), "{detail}");
    assert_eq!(names(&empty), Vec::<String>::new(), "something was left");
}

#[test]
fn memory_files_and_the_token_are_held_against_the_settings() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let port = free_port();
    let (level, detail, advice) = of(&doctor(&data, &["--listen", &port, "--memory-mb", "100000000", "-o", "json"]), 1, "memory");
    assert!(level == "problem" && advice.contains("--memory-mb"), "{detail}: {advice}");
    let (level, detail, _) = of(&doctor(&data, &["--listen", &port, "--max-connections", "100000000", "-o", "json"]), 0, "files");
    assert_eq!(level, "warning", "{detail}");
    let (level, _, advice) = of(&doctor(&data, &["--listen", "0.0.0.0:0", "--insecure-no-auth", "-o", "json"]), 0, "access");
    assert!(level == "warning" && advice.contains("KVSTORE_TOKEN"), "{advice}");
    let (level, detail, _) = of(&doctor(&data, &["--listen", &port, "--token", "short", "-o", "json"]), 0, "access");
    assert!(level == "warning" && detail.contains("can be guessed") && !detail.contains("short"), "{detail}");
}

#[test]
fn settings_that_serve_would_refuse_are_a_problem() {
    let dir = TempDir::new().expect("a directory");
    let (level, detail, advice) = of(&doctor(&dir.path().join("data"), &["--listen", "0.0.0.0:0", "-o", "json"]), 1, "settings");
    assert!(level == "problem" && detail.contains("KVSTORE_TOKEN") && advice.contains("kvstore config"), "{detail}: {advice}");
    let mut command = kvstore(&["doctor", "--listen", &free_port()]);
    command.current_dir(dir.path()).env("KVSTORE_MEMRY_MB", "100");
    let said = expect_exit(&run(command, b""), 0);
    assert!(said.contains("WARNING  settings") && said.contains("KVSTORE_MEMRY_MB"), "{said}");
}

#[test]
fn a_small_disk_in_memory_is_both_said() {
    let dir = TempDir::new().expect("a directory");
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).expect("a directory");
    let line = format!("'{}' doctor --data-dir {}/data --listen {} -o json", env!("CARGO_BIN_EXE_kvstore"), disk.display(), free_port());
    let output = run(on_a_small_disk(&disk, &line, ""), b"");
    let (level, detail, _) = of(&output, 1, "space");
    assert!(level == "problem" && detail.contains("puts are refused"), "{detail}");
    let (level, detail, _) = of(&output, 1, "filesystem");
    assert!(level == "warning" && detail.starts_with("tmpfs is memory"), "{detail}");
    assert_eq!(text(&output.stderr), "");
}

/// Root may write there, and no directory can be made.
#[test]
fn a_directory_in_proc_can_not_be_made() {
    let output = doctor(Path::new("/proc/kvstore/data"), &["--listen", &free_port(), "-o", "json"]);
    let (level, detail, advice) = of(&output, 1, "data");
    assert!(level == "problem" && detail.contains("can't be made in /proc") && advice.contains("--data-dir"), "{detail}: {advice}");
}

//! Starting, stopping, dying and coming back; exit codes.

use std::{
    io::{Read, Write},
    path::Path,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

fn serve_fails(data_dir: &Path, code: i32) -> String {
    let mut command = kvstore(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data_dir);
    let output = run(command, b"");
    expect_exit(&output, code);
    text(&output.stderr)
}

#[test]
fn data_outlives_an_orderly_stop() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();
    let server = Server::start(&data, &[]);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
    server.stop();
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    for round in 0..3 {
        let mut server = Server::start(&data, &[]);
        for earlier in 0..round {
            assert_eq!(expect_exit(&server.client(&["get", &format!("k{earlier}")], b""), 0), earlier.to_string());
        }
        expect_exit(&server.client(&["put", &format!("k{round}"), &round.to_string()], b""), 0);
        server.signal(Signal::KILL);
        assert_eq!(server.wait().code(), None, "killed");
    }
}

#[test]
fn a_directory_in_use_is_refused_and_its_owner_goes_on() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    assert!(serve_fails(&data, 3).contains("in use"));
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();
}

#[test]
fn a_directory_that_cannot_be_used_is_refused() {
    let dir = TempDir::new().expect("a directory");
    let foreign = dir.path().join("foreign");
    std::fs::create_dir(&foreign).expect("a directory");
    std::fs::write(foreign.join("thesis.tex"), "words").expect("a file");
    assert!(serve_fails(&foreign, 3).contains("--data-dir"));
    assert_eq!(std::fs::read_dir(&foreign).expect("it is there").count(), 1, "something was left in a foreign directory");

    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    assert!(serve_fails(&file, 3).contains("--data-dir"));
    // Nobody can write there, root included.
    assert!(serve_fails(Path::new("/proc/kvstore-data"), 3).contains("--data-dir"));
}

#[test]
fn a_read_only_directory_is_refused_and_left_as_it_was() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();

    // Root may write where the mode forbids it, so the server is run by a user who owns nothing here.
    let set_mode = |mode: &str| expect_exit(&run(shell(&format!("chmod -R {mode} '{}'", dir.path().display())), b""), 0);
    set_mode("a-w,a+rX");
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let serve = format!("exec '{binary}' serve --listen 127.0.0.1:0 --data-dir '{}'", data.display());
    let output = if rustix::process::getuid().is_root() {
        let copy = dir.path().join("kvstore");
        set_mode("u+w");
        std::fs::copy(binary, &copy).expect("a copy that another user can run");
        set_mode("a-w,a+rX");
        let serve = serve.replace(binary, copy.to_str().expect("UTF-8"));
        run(shell(&format!("exec setpriv --reuid=65534 --regid=65534 --clear-groups bash -c \"{serve}\"")), b"")
    } else {
        run(shell(&serve), b"")
    };
    set_mode("u+w");
    expect_exit(&output, 3);
    assert!(text(&output.stderr).contains("--data-dir"), "{}", text(&output.stderr));
    let server = Server::start(&data, &[]);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
    server.stop();
}

fn shell(line: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", line]);
    shell
}

#[test]
fn a_port_in_use_has_an_exit_code_of_its_own() {
    let dir = TempDir::new().expect("a directory");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut command = kvstore(&["serve", "--listen", &address, "--data-dir"]);
    command.arg(dir.path().join("data"));
    let output = run(command, b"");
    expect_exit(&output, 6);
    assert!(text(&output.stderr).contains("--listen"), "{}", text(&output.stderr));
    assert!(!dir.path().join("data").exists(), "a server that never served left a data directory");
}

#[test]
fn damaged_data_has_an_exit_code_of_its_own() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();
    let manifests: Vec<_> = walk(&data).into_iter().filter(|path| name_of(path).starts_with("MANIFEST-")).collect();
    assert_eq!(manifests.len(), 1, "{manifests:?}");
    let mut bytes = std::fs::read(&manifests[0]).expect("a manifest");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&manifests[0], &bytes).expect("it can be written");
    assert!(serve_fails(&data, 4).contains("damaged"));
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Sends the head of a PUT and half of its body, and waits until the server counts the request.
fn half_a_put(server: &Server) -> std::net::TcpStream {
    let mut stream = server.connect();
    stream
        .write_all(b"PUT /kv-store/v1/kv/slow/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nfirst")
        .expect("half a request is sent");
    eventually("the request is under way", || {
        let metrics = server.http_get("/metrics");
        // One of them is the request for the metrics themselves.
        metrics
            .lines()
            .any(|line| line.strip_prefix("kvstore_requests_in_flight ").is_some_and(|n| n.trim().parse::<f64>().is_ok_and(|n| n >= 2.0)))
    });
    stream
}

#[test]
fn a_request_under_way_is_finished_before_the_end() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let mut server = Server::start(&data, &[]);
    let mut stream = half_a_put(&server);
    server.signal(Signal::TERM);
    server.wait_for("shutting down");
    stream.write_all(b"again").expect("the rest is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    let server = Server::start(&data, &[]);
    assert_eq!(expect_exit(&server.client(&["get", "slow"], b""), 0), "firstagain");
    server.stop();
}

#[test]
fn a_request_that_does_not_end_does_not_hold_the_shutdown_for_ever() {
    let dir = TempDir::new().expect("a directory");
    let mut server = Server::start(&dir.path().join("data"), &["--drain-ms", "200"]);
    let _stream = half_a_put(&server);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = TempDir::new().expect("a directory");
    let mut server = Server::start(&dir.path().join("data"), &["--drain-ms", "600000"]);
    let _stream = half_a_put(&server);
    server.signal(Signal::INT);
    server.wait_for("shutting down");
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(130), "{}", server.said());
}

#[test]
fn a_write_that_fails_ends_the_process_and_what_was_acknowledged_stays() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    // No file may grow past 2 MiB: the log's next write fails in the middle, as it would on a broken disk.
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let line = format!("trap '' XFSZ; ulimit -f 2048; exec '{binary}' serve --listen 127.0.0.1:0 --data-dir '{}'", data.display());
    let mut server = Server::start_command(shell(&line));
    let value = vec![b'x'; 100_000];
    let mut acknowledged = 0;
    let failed = loop {
        let output = server.client(&["put", &format!("k{acknowledged:03}"), "-"], &value);
        if output.status.code() != Some(0) {
            break text(&output.stderr);
        }
        acknowledged += 1;
        assert!(acknowledged < 100, "no write failed");
    };
    assert!(failed.contains("may have taken effect"), "a failed write was reported as {failed}");
    assert_eq!(server.wait().code(), Some(5), "{}", server.said());
    assert!(server.said().contains("the store failed"), "{}", server.said());

    let server = Server::start(&data, &[]);
    let listed = expect_exit(&server.client(&["list", "--keys-only"], b""), 0);
    let present = listed.lines().count();
    assert!(
        acknowledged > 0 && (acknowledged..=acknowledged + 1).contains(&present),
        "{acknowledged} were acknowledged, {present} are there"
    );
    server.stop();
}

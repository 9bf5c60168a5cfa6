//! `kvstore backup` of a running server: what is in it, what it leaves behind, and what ends it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use kvstore_client::{BatchItem, Client};
use kvstore_types::Key;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

/// A server with some megabytes that can't be made smaller.
pub(crate) fn filled(data: &Path, arguments: &[&str]) -> Server {
    let server = Server::start(data, arguments);
    for number in 0..12_u8 {
        let mut noise = vec![0; 1 << 20];
        getrandom::fill(&mut noise).expect("random bytes");
        expect_exit(&server.client(&["put", &format!("noise/{number}"), "-"], &noise), 0);
    }
    server
}

fn checkpoints(data: &Path) -> usize {
    std::fs::read_dir(data.join("checkpoints")).map_or(0, Iterator::count)
}

/// Names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .expect("a directory")
        .map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Writes numbers in order, each in one batch under three keys, until it is told to stop.
struct Writer {
    acknowledged: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(url: &str) -> Self {
        let (acknowledged, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (acknowledged, over, client) = (Arc::clone(&acknowledged), Arc::clone(&over), Client::new(url, None).expect("a URL"));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    for number in 1.. {
                        let item = |key: String, value: Vec<u8>| {
                            let key = Key::new(&key).expect("a key");
                            BatchItem { key, value: value.into(), ttl: None, condition: None }
                        };
                        // One value lies in its record and one apart.
                        let large = format!("{number:08}").into_bytes().repeat(1_000);
                        let items = [
                            item("small".into(), number.to_string().into()),
                            item("large".into(), large),
                            item(format!("log/{number:08}"), vec![]),
                        ];
                        client.batch(&items, None).await.expect("a batch is applied");
                        acknowledged.store(number, Ordering::SeqCst);
                        if over.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                });
            }
        });
        Self { acknowledged, over, thread }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// The last number that was acknowledged.
    fn stop(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("every batch was applied");
        self.acknowledged.load(Ordering::SeqCst)
    }
}

#[test]
fn what_was_acknowledged_before_a_backup_is_in_it_and_it_is_one_consistent_prefix() {
    let dir = TempDir::new().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let server = filled(&data, &[]);
    let writer = Writer::start(&server.url);
    eventually("some numbers are written", || writer.acknowledged() > 200);
    let before = writer.acknowledged();
    let said = expect_exit(&server.client(&["backup", copy.to_str().expect("UTF-8"), "--rate-mb", "20"], b""), 0);
    let after = writer.acknowledged();
    assert!(after > before, "nothing was written while the backup ran");
    eventually("some more numbers are written", || writer.acknowledged() > after + 200);
    writer.stop();
    server.stop();
    assert_eq!(checkpoints(&data), 0, "the copy that was read is gone");

    std::fs::remove_dir_all(&data).expect("wiped");
    let restored = run(restore(&copy, &data), b"");
    let restored = expect_exit(&restored, 0);
    let revision = said.strip_prefix("backed up revision ").and_then(|rest| rest.split_whitespace().next()).expect("a revision");
    assert!(restored.starts_with(&format!("restored revision {revision} ")), "backed up {revision}, and then {restored}");

    let server = Server::start(&data, &[]);
    let small: u64 = expect_exit(&server.client(&["get", "small"], b""), 0).parse().expect("a number");
    assert!((before..=after + 1).contains(&small), "{before} was acknowledged before, {after} after, and the backup has {small}");
    let large = server.client(&["get", "large"], b"").stdout;
    assert_eq!(large, format!("{small:08}").into_bytes().repeat(1_000), "both keys of a batch");
    let logged = expect_exit(&server.client(&["list", "--prefix", "log/", "--keys-only"], b""), 0);
    let expected: String = (1..=small).map(|number| format!("log/{number:08}\n")).collect();
    assert!(logged == expected, "all numbers up to {small} and no more: {} lines", logged.lines().count());
    assert_eq!(server.client(&["get", "noise/7"], b"").stdout.len(), 1 << 20, "what lay in tables before");
    server.stop();
}

pub(crate) fn restore(backup: &Path, data: &Path) -> std::process::Command {
    let mut command = kvstore(&["restore"]);
    command.arg(backup).arg("--data-dir").arg(data);
    command
}

#[test]
fn a_backup_goes_into_a_new_or_empty_directory_and_leaves_nothing_beside_it() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::create_dir(path("empty")).expect("a directory");
    for name in ["new", "empty"] {
        expect_exit(&server.client(&["backup", &path(name)], b""), 0);
        let found = names(Path::new(&path(name)));
        assert_eq!(found, ["db", "kvstore-backup.b3", "kvstore-backup.json"], "{name}");
    }
    assert_eq!(names(dir.path()), ["data", "empty", "new"]);
    for name in ["new", "data", "new/kvstore-backup.json", "nowhere/else"] {
        let refused = server.client(&["backup", &path(name)], b"");
        expect_exit(&refused, 3);
        assert!(text(&refused.stderr).contains(&path(name)), "{name}: {}", text(&refused.stderr));
    }
    std::fs::create_dir(path("later.partial")).expect("a directory");
    let refused = server.client(&["backup", &path("later")], b"");
    expect_exit(&refused, 3);
    assert!(text(&refused.stderr).contains("later.partial"), "{}", text(&refused.stderr));
    server.stop();
    let unreachable = server_is_gone(&path("unreachable"), 2);
    assert!(unreachable.contains("kvstore serve"), "{unreachable}");
    assert!(!dir.path().join("unreachable.partial").exists());
}

/// What a backup says that no server answers.
fn server_is_gone(target: &str, code: i32) -> String {
    let output = run(kvstore(&["backup", target, "--url", "http://127.0.0.1:1"]), b"");
    expect_exit(&output, code);
    text(&output.stderr)
}

/// The server made a copy for a client that had nowhere to put it, and refused the next client until it saw that the first was gone.
#[test]
fn a_directory_that_can_not_be_made_is_refused_before_the_server_is_asked() {
    let dir = TempDir::new().expect("a directory");
    let said = server_is_gone(&dir.path().join("nowhere/else").display().to_string(), 3);
    assert!(said.contains("nowhere/else.partial"), "{said}");
}

/// The copy was written beside the link, or on the disk above a mount, and could not be given its name in the end.
#[test]
fn a_backup_does_not_take_the_place_of_a_link() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    std::fs::create_dir(dir.path().join("elsewhere")).expect("a directory");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &link).expect("a link");
    let refused = server.client(&["backup", &link.display().to_string()], b"");
    expect_exit(&refused, 3);
    assert!(text(&refused.stderr).contains("name a new directory in it"), "{}", text(&refused.stderr));
    assert_eq!(names(dir.path()), ["data", "elsewhere", "link"]);
    let inside = link.join("backup");
    expect_exit(&server.client(&["backup", &inside.display().to_string()], b""), 0);
    server.stop();
}

#[test]
fn a_backup_needs_the_token() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_with(&dir.path().join("data"), &[], &[("KVSTORE_TOKEN", "secret-token")]);
    let target = dir.path().join("copy");
    let target = target.to_str().expect("UTF-8");
    let refused = server.client(&["backup", target], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("KVSTORE_TOKEN"), "{}", text(&refused.stderr));
    expect_exit(&server.client(&["backup", target, "--token", "secret-token"], b""), 0);
    server.stop();
}

#[test]
fn a_server_without_room_on_its_disk_makes_no_copies() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--free-space-floor-mb", "1000000000"]);
    let refused = server.client(&["backup", dir.path().join("copy").to_str().expect("UTF-8")], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("make room on the disk"), "{}", text(&refused.stderr));
    assert_eq!(names(dir.path()), ["data"]);
    server.stop();
}

/// Begins a backup that would take a quarter of a minute, and waits for its head.
fn slow_backup(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(b"GET /kv-store/v1/backup/?rate_mb=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a request is sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head of an answer");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 200 "), "{}", text(&head));
    stream
}

#[test]
fn one_backup_at_a_time_and_a_client_that_goes_away_gives_its_turn_back() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = filled(&data, &[]);
    let first = slow_backup(&server);
    assert_eq!(checkpoints(&data), 1);
    let target = dir.path().join("copy");
    let target = target.to_str().expect("UTF-8");
    let second = server.client(&["backup", target], b"");
    expect_exit(&second, 2);
    assert!(text(&second.stderr).contains("under way already"), "{}", text(&second.stderr));
    drop(first);
    eventually("the copy of the client that went away is removed", || checkpoints(&data) == 0);
    expect_exit(&server.client(&["backup", target], b""), 0);
    server.stop();
}

#[test]
fn a_shutdown_does_not_wait_for_a_backup_for_ever() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let mut server = filled(&data, &["--drain-ms", "200"]);
    let target = dir.path().join("copy");
    let mut command = kvstore(&["backup", target.to_str().expect("UTF-8"), "--rate-mb", "1"]);
    command.env("KVSTORE_URL", &server.url);
    let client = std::thread::spawn(move || run(command, b""));
    eventually("the backup is under way", || dir.path().join("copy.partial").join("db").exists());
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.said());
    let output = client.join().expect("the client ends");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("broke off"), "{}", text(&output.stderr));
    assert_eq!(names(dir.path()), ["data"], "a backup that broke off left something");
    assert_eq!(checkpoints(&data), 0, "the server left the copy that it read");
}

#[test]
fn a_copy_that_a_killed_server_left_is_removed_at_the_next_start() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let mut server = filled(&data, &[]);
    let _backup = slow_backup(&server);
    server.signal(Signal::KILL);
    server.wait();
    assert_eq!(checkpoints(&data), 1);
    let server = Server::start(&data, &[]);
    assert_eq!(checkpoints(&data), 0);
    server.stop();
}

#[test]
fn a_signal_ends_the_client_and_removes_what_had_come() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = filled(&data, &[]);
    let mut command = kvstore(&["backup", dir.path().join("copy").to_str().expect("UTF-8"), "--rate-mb", "1"]);
    command.env("KVSTORE_URL", &server.url);
    let mut client = command.stderr(std::process::Stdio::piped()).spawn().expect("the client starts");
    eventually("the backup is under way", || dir.path().join("copy.partial").join("db").exists());
    let pid = Pid::from_raw(i32::try_from(client.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("the process is there");
    assert_eq!(client.wait().expect("it ends").code(), Some(130));
    assert_eq!(names(dir.path()), ["data"]);
    eventually("the server has removed its copy", || checkpoints(&data) == 0);
    server.stop();
}

/// The archive is plain tar: what another client has stored can be unpacked and restored.
#[test]
fn an_archive_that_another_client_fetched_is_restored() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    let copy: PathBuf = dir.path().join("copy");
    std::fs::create_dir(&copy).expect("a directory");
    let line = format!("set -o pipefail; curl -sf {}/kv-store/v1/backup/ | tar -xf - -C '{}'", server.url, copy.display());
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &line]);
    expect_exit(&run(shell, b""), 0);
    server.stop();
    expect_exit(&run(restore(&copy, &dir.path().join("restored")), b""), 0);
    let server = Server::start(&dir.path().join("restored"), &[]);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
    server.stop();
}

#[test]
fn a_full_disk_is_said_and_what_had_come_is_removed() {
    let dir = TempDir::new().expect("a directory");
    let server = filled(&dir.path().join("data"), &[]);
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).expect("a directory");
    let binary = env!("CARGO_BIN_EXE_kvstore");
    let line = format!("'{binary}' backup {0}/copy; code=$?; ls -A {0}; exit $code", disk.display());
    let output = run(on_a_small_disk(&disk, &line, &server.url), b"");
    assert_eq!(expect_exit(&output, 3), "", "nothing is left on the disk");
    assert!(text(&output.stderr).contains("No space left on device"), "{}", text(&output.stderr));
    server.stop();
}

/// A shell that sees a file system of 4 MiB at `disk`. Nobody else sees it, and it goes with the shell.
pub(crate) fn on_a_small_disk(disk: &Path, line: &str, url: &str) -> std::process::Command {
    let mut command = std::process::Command::new("unshare");
    if !rustix::process::getuid().is_root() {
        command.arg("--map-root-user");
    }
    let line = format!("mount -t tmpfs -o size=4m none '{}' && {line}", disk.display());
    command.args(["--mount", "bash", "-c", &line]).env("KVSTORE_URL", url).env_remove("KVSTORE_TOKEN");
    command
}

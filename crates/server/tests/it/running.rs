//! A running server, started and stopped as a user would, and commands that talk to it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// No command takes longer, on however busy a machine.
const COMMAND_MAX: Duration = Duration::from_secs(300);
const BINARY: &str = env!("CARGO_BIN_EXE_kvstore");

/// The binary with an environment of its own: settings of the machine must not reach it.
pub(crate) fn kvstore(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a command to its end. One that does not come to it is killed, so that the test tells what it said.
pub(crate) fn run(mut command: Command, stdin: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let bytes = stdin.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that ends early leaves its input unread.
        let _ = pipe.write_all(&bytes);
    });
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        if end.recv_timeout(COMMAND_MAX) == Err(RecvTimeoutError::Timeout) {
            // It may have ended just now.
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().expect("the command ends");
    drop(ended);
    watcher.join().expect("the watcher ends");
    writer.join().expect("the input is written");
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts how a command ended, and gives its stdout.
#[track_caller]
pub(crate) fn expect_exit(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "stdout: {}\nstderr: {}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What the server has said, and whether it has closed its mouth.
#[derive(Default)]
struct Said {
    text: String,
    closed: bool,
}

/// A server in a process of its own.
pub(crate) struct Server {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    pub(crate) url: String,
}

impl Server {
    /// Starts `serve` on a free port and waits for its banner.
    pub(crate) fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        Self::start_with(data_dir, arguments, &[])
    }

    pub(crate) fn start_with(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = kvstore(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(data_dir).args(arguments).envs(environment.iter().copied());
        Self::start_command(command)
    }

    /// Starts a server by a command of the test's own.
    pub(crate) fn start_command(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the server starts");
        let stderr = child.stderr.take().expect("a pipe");
        let said = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || listen(BufReader::new(stderr), &said)
        });
        let mut server = Self { child, said, url: String::new() };
        let banner = server.wait_for("stop     Ctrl-C");
        let line = banner.lines().find(|line| line.trim_start().starts_with("API")).expect("the banner has the API's URL");
        server.url = line.split_whitespace().last().expect("a URL").trim_end_matches("/kv-store/v1/").to_owned();
        server
    }

    /// Waits until the server has said this, and gives all that it said.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        let (said, changed) = &*self.said;
        let guard = said.lock().expect("no panic while listening");
        let waiting = |said: &mut Said| !said.closed && !said.text.contains(part);
        let (guard, timeout) = changed.wait_timeout_while(guard, DEADLINE, waiting).expect("no panic while listening");
        assert!(!timeout.timed_out() && guard.text.contains(part), "the server did not say {part:?}, but: {}", guard.text);
        guard.text.clone()
    }

    pub(crate) fn said(&self) -> String {
        self.said.0.lock().expect("no panic while listening").text.clone()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there");
    }

    /// Waits for the process to end by itself or by a signal sent before.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let (said, changed) = &*self.said;
        let guard = said.lock().expect("no panic while listening");
        let (said, timeout) = changed.wait_timeout_while(guard, DEADLINE, |said| !said.closed).expect("no panic while listening");
        assert!(!timeout.timed_out(), "the server did not end, and said {}", said.text);
        drop(said);
        self.child.wait().expect("an exit status")
    }

    /// Asks for an orderly end and asserts that it is one.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.wait();
        let said = self.said();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    /// Runs a command of the client against this server.
    pub(crate) fn client(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut command = kvstore(arguments);
        command.env("KVSTORE_URL", &self.url);
        run(command, stdin)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).expect("the server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        stream
    }

    /// The whole answer to a GET, head and body.
    pub(crate) fn http_get(&self, path: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("the request is sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        text(&bytes)
    }

    /// A line of the process's status in /proc, in KiB.
    pub(crate) fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a line of /proc/<pid>/status");
        line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(mut reader: impl BufRead, (said, changed): &(Mutex<Said>, Condvar)) {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).unwrap_or(0);
        let mut guard = said.lock().expect("no panic while listening");
        guard.closed = read == 0;
        guard.text.push_str(&String::from_utf8_lossy(&line));
        changed.notify_all();
        if read == 0 {
            return;
        }
    }
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

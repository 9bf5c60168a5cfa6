//! `Guarded`: a server process beside a shell that waits for our end of a pipe to close. So the server ends, and its folder goes,
//! also where the test panics or is killed, or keeps the server in a `static`. The kernel ends the server should the shell be killed.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::{Pid, kill_process};

use crate::wait::wait_until;

/// What a server is told.
pub type Signal = rustix::process::Signal;

/// How long a server may take to end.
const END_MAX: Duration = Duration::from_secs(60);

/// Arguments: the signal that ends the server if nothing else is said, the folder, the command.
/// What it reads: a signal, and `keep` where the folder is to stay.
const SCRIPT: &str = r#"
signal=$1 folder=$2; shift 2
setpriv --pdeathsig "$signal" -- "$@" </dev/null >&2 &
server=$!
echo $server
exec >&2
read -r asked keep || asked=$signal
kill -s "$asked" $server 2>/dev/null
wait $server
[ "$keep" = keep ] || rm -rf -- "$folder"
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Guarded {
    shell: Child,
    pid: Pid,
}

impl Guarded {
    /// Starts a command whose output goes to `log`. `signal` ends it, by name and without SIG; `folder` goes with it.
    pub(crate) fn start(command: &[String], signal: &str, folder: &Path, log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log).with_context(|| format!("opening {}", log.display()))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "guard", signal]).arg(folder).args(command);
        // A process group of its own: Ctrl-C at the tests must not end the shell before it has cleaned up.
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        let mut shell = shell.spawn().context("starting a shell")?;
        let mut line = String::new();
        BufReader::new(shell.stdout.take().context("the shell's output")?).read_line(&mut line)?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).context("the server's process id")?;
        Ok(Self { shell, pid })
    }

    /// The server's process id.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("sending {signal:?} to process {:?}", self.pid))
    }

    /// Whether the server has ended, by itself or by a signal.
    pub(crate) fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap_or_default();
        // The state follows the name, which is in brackets. An ended process stays until the shell asks for it.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    /// Ends the server with this signal, waits for its end, and keeps its folder.
    pub(crate) fn end(mut self, signal: &str) -> Result<()> {
        let pipe = self.shell.stdin.as_mut().context("the pipe to the shell")?;
        writeln!(pipe, "{signal} keep").context("telling the shell")?;
        // A process that was stopped takes no other signal but SIGKILL.
        self.signal(Signal::CONT).ok();
        wait_until("the end of a server", END_MAX, || Ok(self.shell.try_wait()?.is_some()))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        if !self.has_ended() {
            self.signal(Signal::CONT).ok();
        }
        wait_until("the end of a server", END_MAX, || Ok(self.shell.try_wait()?.is_some())).ok();
    }
}

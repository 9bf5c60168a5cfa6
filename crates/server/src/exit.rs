//! `Exit`: every code that the binary exits with, and how an error is shown before it does.

use std::io::{ErrorKind, Write};

use kvstore_storage::{BackupError, OpenError};

use crate::{
    commands::{escape_json, harmless},
    told::Document,
};

/// Why the process ends. Scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did what was asked; of a server: it was told to stop, and stopped in order.
    Ok = 0,
    /// The key is absent (`get`, `delete`), the node says it is unhealthy (`health`), or there is a problem (`doctor`).
    Absent = 1,
    /// Wrong usage or settings, a server that can't be reached, or a request that it refused.
    Error = 2,
    /// `serve`, `backup`, `restore`, `check`: a directory can't be used: in use, not writable, full, not ours, of a newer version.
    DataDir = 3,
    /// `serve`, `backup`, `restore`, `check`: the data is damaged.
    Damaged = 4,
    /// `serve`: a write or sync failed while running, so what it left behind is not known.
    StoreFailed = 5,
    /// `serve`: the address can't be listened on.
    Listen = 6,
    /// A signal cut it short; of `serve`: the second one.
    Killed = 130,
}

/// The list for `kvstore --help`.
pub(crate) const HELP: &str = "Exit codes: 0 done; 1 there is no such key, the node is unhealthy, or there is a problem; 2 wrong usage, or the \
server can't be reached or refused; 3 a directory can't be used; 4 the data is damaged; 5 a write or sync failed; 6 the address can't be \
listened on; 130 a signal cut it short. Each command's --help has its own.";

/// The list for `kvstore get --help` and `kvstore delete --help`.
pub(crate) const KEY_HELP: &str = "Exit codes: 0 done; 1 there is no such key; 2 wrong usage, or the server can't be reached or refused.";

/// The list for the help of the other verbs that ask a server.
pub(crate) const CLIENT_HELP: &str = "Exit codes: 0 done; 2 wrong usage, or the server can't be reached or refused.";

/// The list for `kvstore health --help`.
pub(crate) const HEALTH_HELP: &str =
    "Exit codes: 0 the node is healthy; 1 the node says that it is not; 2 wrong usage, or the server can't be reached or refused.";

/// The list for `kvstore import --help` and `kvstore export --help`.
pub(crate) const TRANSFER_HELP: &str = "Exit codes: 0 done; 2 wrong usage, entries that can't be read, written or stored, or the server can't be \
reached or refused; 130 a signal cut it short.";

/// The list for the help of the verbs that take settings and do not serve.
pub(crate) const SETTINGS_HELP: &str = "Exit codes: 0 done; 2 wrong usage or settings, or a database that can't be reached or refused.";

/// The list for the help of the verbs that tell of the binary alone.
pub(crate) const LOCAL_HELP: &str = "Exit codes: 0 done; 2 wrong usage, or an output that can't be written.";

/// The list for `kvstore backup --help` and `kvstore restore --help`.
pub(crate) const BACKUP_HELP: &str = "Exit codes: 0 done; 2 wrong usage, or the server can't be reached, refused, or broke off; 3 a directory \
can't be used: it holds something, is full, or is not a backup that this version reads; 4 the backup is damaged; 130 a signal cut it short.";

/// The list for `kvstore serve --help`.
pub(crate) const SERVE_HELP: &str = "Exit codes: 0 stopped by a signal; 2 wrong usage or settings; 3 the data directory can't be used; \
4 the data is damaged; 5 a write or sync failed while running; 6 the address can't be listened on; 130 a second signal cut the shutdown short.\n\
Settings: flags go before the environment, the environment before the file, the file before the defaults.";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Fatal {
    exit: Exit,
    message: String,
}

impl Fatal {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }
}

impl From<OpenError> for Fatal {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::InUse(_)
            | OpenError::Unusable { .. }
            | OpenError::NotOurs(_)
            | OpenError::HoldsData(_)
            | OpenError::Newer { .. } => Exit::DataDir,
            OpenError::Damaged(_) => Exit::Damaged,
            OpenError::Cache(_) => Exit::Error,
            OpenError::Database(_) => Exit::Error,
            OpenError::Other(_) => Exit::DataDir,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<BackupError> for Fatal {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Open(error) => error.into(),
            BackupError::Damaged(_) => Self::new(Exit::Damaged, error.to_string()),
            BackupError::Format { .. } | BackupError::Read { .. } | BackupError::Write { .. } => {
                Self::new(Exit::DataDir, error.to_string())
            }
        }
    }
}

/// Whether our output could not be written since nobody reads it any more.
pub(crate) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(closed)
}

/// Shows the help that was asked for, or says what is wrong with a command line.
pub(crate) fn refuse(error: &clap::Error) -> Exit {
    // It repeats what was typed, and a script may have typed what others stored.
    let text = error.to_string();
    let shown = harmless(&text);
    // Nothing is left to do if the output is closed.
    let _ = if shown == text { error.print() } else { write!(std::io::stderr(), "{shown}") };
    if error.use_stderr() { Exit::Error } else { Exit::Ok }
}

/// Shows an error on stderr and says how to exit.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    if is_closed_pipe(error) {
        // Whoever read our output has seen enough (`kvstore list | head`).
        return Exit::Ok;
    }
    // Nothing is left to do if stderr is closed too.
    let _ = writeln!(std::io::stderr(), "error: {}", harmless(&format!("{error:#}")));
    error.downcast_ref::<Fatal>().map_or(Exit::Error, |fatal| fatal.exit)
}

/// Shows an error on stderr as a line of JSON, and says how to exit.
pub(crate) fn report_json(error: &anyhow::Error) -> Exit {
    if is_closed_pipe(error) {
        return Exit::Ok;
    }
    let exit = error.downcast_ref::<Fatal>().map_or(Exit::Error, |fatal| fatal.exit);
    let document = serde_json::to_string(&Document::of(error, exit)).map(|document| escape_json(&document));
    let _ = writeln!(std::io::stderr(), "{}", document.unwrap_or_else(|_| harmless(&format!("error: {error:#}"))));
    exit
}

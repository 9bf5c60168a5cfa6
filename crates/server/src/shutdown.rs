//! Signals: the first asks for an orderly shutdown, the second ends the process at once.

use std::io::Write;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// Both signals, registered: none is lost from here on.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn register() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for a signal and says which it was.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Cancels the token at the first signal, and exits at the second.
    pub(crate) async fn watch(mut self, shutdown: CancellationToken) {
        let name = self.next().await;
        tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
        shutdown.cancel();
        let name = self.next().await;
        let _ = writeln!(std::io::stderr(), "second signal ({name}): exiting at once");
        std::process::exit(Exit::Killed as i32);
    }
}

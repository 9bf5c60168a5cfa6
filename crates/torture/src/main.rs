//! `kvstore-torture`: breaks a real `kvstore serve` in every way this machine allows, and checks what was promised.
//!
//! Each part is a file or folder: kill -9, histories, the order of sync and answer, power loss, I/O errors, a full disk. What the clients did is
//! written down in a journal, and `verify` compares it with what the store holds afterwards; `linear` judges histories. It knows the server as a process and over
//! HTTP (through the client crate) only. Whatever it starts, mounts or writes is gone when it ends.

mod cli;
mod full_disk;
mod ha;
mod histories;
mod io_errors;
mod journal;
mod kill;
mod linear;
mod mount;
mod observe;
mod postgres;
mod power_loss;
mod repeat;
mod round;
mod server;
mod summary;
mod sync_order;
mod value;
mod verify;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let parts = tokio::select! {
        parts = cli::run(&cli) => parts,
        // Leaving this scope ends what the parts started.
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminated() => Err(anyhow::anyhow!("terminated")),
    };
    match parts {
        Ok(summary) => summary.print(),
        Err(error) => {
            summary::say(&format!("torture stopped: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Waits for SIGTERM; for ever, if it cannot be caught.
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

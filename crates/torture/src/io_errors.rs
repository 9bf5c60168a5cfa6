//! I/O errors: a preloaded library makes writes or syncs of the log fail from a chosen moment on. The outcome of what was being written
//! is unknown then, and must be told so; the server must end, and what was acknowledged must be there when it starts again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kvstore_client::WriteOutcome;

use crate::cli::{Setup, not_run};
use crate::journal::Op;
use crate::round::Rounds;
use crate::server::Launch;
use crate::summary::Report;
use crate::workload::{Shared, is_applied, request};

/// The library's source, compiled when this part runs.
const SHIM: &str = include_str!("../shim/fail.c");

/// What fails, as the library reads it from the trigger file.
const FAULTS: [&str; 5] = ["write EIO", "write ENOSPC", "torn EIO", "sync EIO", "sync ENOSPC"];

/// `Exit::StoreFailed` of the server.
const STORE_FAILED: i32 = 5;

const LOAD: Duration = Duration::from_millis(300);

/// A server that has lost its log must end within this.
const END_MAX: Duration = Duration::from_secs(10);

pub(crate) async fn run(setup: &Setup) -> anyhow::Result<Report> {
    let library = match compile(&setup.scratch).await {
        Ok(library) => library,
        Err(error) => return not_run(format!("the library that fails cannot be compiled: {error:#}")),
    };
    let mut rounds = Rounds::default();
    for (round, fault) in (1..).zip(FAULTS) {
        alone(setup, &library, fault, &mut rounds.faults).await?;
        under_load(setup, &library, fault, round, &mut rounds).await?;
        if !rounds.faults.is_empty() {
            break;
        }
    }
    let counted = format!("{} faults, each under one write and under load: {}; {}", 2 * FAULTS.len(), FAULTS.join(", "), rounds.text());
    Ok(Report::of(rounds.faults, counted))
}

async fn compile(scratch: &Path) -> anyhow::Result<PathBuf> {
    let (source, library) = (scratch.join("fail.c"), scratch.join("fail.so"));
    std::fs::write(&source, SHIM)?;
    let arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"].map(Path::new);
    let output = tokio::process::Command::new("cc").args(arguments).args([&library, &source]).stdin(Stdio::null()).output().await?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(library)
}

fn launch(setup: &Setup, library: &Path, name: &str) -> (Launch, PathBuf) {
    let trigger = setup.scratch.join(format!("{name}.trigger"));
    let launch = Launch::new(&setup.binary, setup.scratch.join(name), setup.scratch.join(format!("{name}.log")))
        .environment("LD_PRELOAD", library)
        .environment("TORTURE_TRIGGER", &trigger);
    (launch, trigger)
}

/// One write meets the error for certain: its outcome must be told as unknown.
async fn alone(setup: &Setup, library: &Path, fault: &str, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let (launch, trigger) = launch(setup, library, &format!("alone-{}", fault.replace(' ', "-")));
    let mut server = launch.start().await?;
    request::put(&server.client, "before", "1".into()).await?;
    std::fs::write(&trigger, fault)?;
    match request::put(&server.client, "during", "2".into()).await {
        Ok(()) => faults.push(format!("{fault}: the write that met it was acknowledged")),
        Err(error) => {
            // 504, or a connection that broke.
            let told = error.outcome() == WriteOutcome::Unknown && matches!(error.status(), None | Some(504));
            if !told {
                faults.push(format!("{fault}: the write that met it should be told as unknown, and was told: {error:?}"));
            }
        }
    }
    expect_end(&mut server, fault, faults).await?;
    std::fs::remove_file(&trigger)?;
    let server = launch.start().await?;
    if request::get(&server.client, "before").await?.as_deref() != Some(b"1".as_slice()) {
        faults.push(format!("{fault}: the write before it is gone"));
    }
    server.kill().await
}

async fn under_load(setup: &Setup, library: &Path, fault: &str, round: u32, rounds: &mut Rounds) -> anyhow::Result<()> {
    let (launch, trigger) = launch(setup, library, "load");
    let mut server = launch.start().await?;
    let load = rounds.load(std::slice::from_ref(&server.client));
    Rounds::until_all_kinds(&load, LOAD).await?;
    std::fs::write(&trigger, fault)?;
    let since = std::time::Instant::now();
    expect_end(&mut server, fault, &mut rounds.faults).await?;
    let (ops, shared) = rounds.crashed(load).await;
    rounds.faults.extend(untrue(fault, since, &ops, &shared));
    std::fs::remove_file(&trigger)?;
    let server = launch.start().await?;
    rounds.check(&server.client, round, &ops).await?;
    server.kill().await
    // The repeats of this check are compared by the next round.
}

async fn expect_end(server: &mut crate::server::Server, fault: &str, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    let status = server.ended().await?;
    if status.code() != Some(STORE_FAILED) {
        faults.push(format!("{fault}: the server ended with {status}, not with code {STORE_FAILED}"));
    }
    if begun.elapsed() > END_MAX {
        faults.push(format!("{fault}: the server took {:?} to end", begun.elapsed()));
    }
    Ok(())
}

/// Answers that cannot be true: 500, 507 or a success to a request that began when the log already failed.
fn untrue(fault: &str, since: std::time::Instant, ops: &[Op], shared: &Shared) -> Vec<String> {
    let acknowledged = ops.iter().filter(|op| op.invoked_at > since && is_applied(op));
    let mut faults: Vec<String> =
        acknowledged.map(|op| format!("{fault}: operation {} began after it and was acknowledged", op.id)).collect();
    let failures = shared.failures.lock();
    let wrong = failures.iter().filter(|(_, status)| matches!(status, 500 | 507));
    faults.extend(wrong.map(|(op, status)| format!("{fault}: operation {op} was answered {status}")));
    faults
}

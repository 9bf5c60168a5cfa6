//! Whether every acknowledgement came after a sync that covers it: the server runs under strace, and the trace is read.
//! A trace from which a sync was taken out must be found wanting, each time.

mod analyse;
#[cfg(test)]
mod tests;
mod trace;

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use bytes::Bytes;
use kvstore_client::Client;
use tokio::task::JoinSet;

use crate::cli::{Setup, not_run};
use crate::server::Launch;
use crate::summary::Report;
use crate::workload::request;
use analyse::Verdict;

/// Writes one after the other; each fifth is deleted again, and followed by a batch.
const SEQUENTIAL: usize = 60;

/// Tasks that write at the same time, and writes of each.
const TASKS: usize = 16;
const WRITES: usize = 20;

pub(crate) async fn run(setup: &Setup) -> anyhow::Result<Report> {
    match tokio::process::Command::new("strace").args(["-f", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status().await {
        Ok(status) if status.success() => {}
        Ok(status) => return not_run(format!("strace cannot trace here: {status}")),
        Err(error) => return not_run(format!("strace cannot be started: {error}")),
    }
    let trace = setup.scratch.join("sync.trace");
    let mut launch = Launch::new(&setup.binary, setup.scratch.join("sync"), setup.scratch.join("sync.log"));
    launch.under = strace(&trace);
    let server = launch.start().await?;
    let acknowledged = write(&server.client).await?;
    server.stop().await?;
    let text = std::fs::read(&trace).context("the trace cannot be read")?;
    let text = String::from_utf8_lossy(&text);
    let verdict = analyse::analyse(&text);
    let mut faults = verdict.faults.clone();
    if verdict.covered + verdict.faults.len() != acknowledged {
        faults.push(format!("{acknowledged} writes were acknowledged, and the trace shows {}", verdict.covered + verdict.faults.len()));
    }
    faults.extend(doctor(&text, &verdict));
    let counted = format!(
        "{} acknowledgements, each after a sync that covers it ({} syncs); a doctored trace was found out",
        verdict.covered, verdict.syncs
    );
    Ok(Report::of(faults, counted))
}

/// Keys are in the data of the log's writes and in the answers' `KV-Key`, so the strings must be whole; `-D` leaves the server
/// our child, and `-yy` names files and sockets.
fn strace(trace: &Path) -> Vec<OsString> {
    let calls = "trace=write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,sync_file_range,msync";
    let mut words: Vec<OsString> =
        ["strace", "-D", "-f", "-ttt", "-yy", "-s", "1048576", "-e", calls, "-e", "signal=none", "-o"].map(OsString::from).into();
    words.push(trace.as_os_str().to_owned());
    words
}

/// Writes under keys that occur once each. Returns how many requests were acknowledged.
async fn write(client: &Client) -> anyhow::Result<usize> {
    let mut acknowledged = 0;
    for n in 0..SEQUENTIAL {
        let key = format!("sync-one-{n:06}-");
        request::put(client, &key, value(&key, 40 + 100 * n)).await?;
        acknowledged += 1;
        if n % 5 == 0 {
            anyhow::ensure!(request::delete(client, &key).await?, "{key} was not there to delete");
            request::batch(client, &[format!("sync-batch-{n:06}-a"), format!("sync-batch-{n:06}-b")]).await?;
            acknowledged += 2;
        }
    }
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            for n in 0..WRITES {
                let key = format!("sync-many-{task:02}-{n:06}-");
                request::put(&client, &key, value(&key, 200)).await?;
            }
            anyhow::Ok(WRITES)
        });
    }
    while let Some(written) = tasks.join_next().await {
        acknowledged += written??;
    }
    Ok(acknowledged)
}

/// A value that begins with its key: where a block of the log ends inside the key, the trace still shows it whole once.
fn value(key: &str, length: usize) -> Bytes {
    let mut value = key.as_bytes().to_vec();
    value.resize(length.max(key.len()), b'v');
    value.into()
}

/// Takes the syncs out of the trace: no acknowledgement may pass then.
fn doctor(text: &str, verdict: &Verdict) -> Option<String> {
    let without: String = text.lines().filter(|line| !line.contains("sync(")).flat_map(|line| [line, "\n"]).collect();
    let doctored = analyse::analyse(&without);
    let found = doctored.faults.len();
    let wanted = verdict.covered + verdict.faults.len();
    (found != wanted || found == 0)
        .then(|| format!("without its syncs the trace shows {found} faults, and should show {wanted}: the check does not check"))
}

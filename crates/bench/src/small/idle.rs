//! The memory of a server that was just started over an empty directory with its default settings.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use crate::{child::ProcessMemory, kvstore::Kvstore, report::Report, targets};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_MAX: Duration = Duration::from_secs(15);
/// A change of less than this between two looks counts as rest.
const REST_BYTES: u64 = 64 << 10;

pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let server = Kvstore::start(bench.setup()).await?;
    let memory = at_rest(server.pid()).await?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let detail = format!("resident, mapped files included; {:.1} MB of it anonymous", mb(memory.anonymous));
    report.judge(targets::IDLE, mb(memory.resident), detail);
    server.stop().await
}

/// Waits until memory stands still, or gives up waiting: what is there then is what counts.
async fn at_rest(pid: u32) -> Result<ProcessMemory> {
    let started = Instant::now();
    let mut last = ProcessMemory::of(pid)?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = ProcessMemory::of(pid)?;
        if now.resident.abs_diff(last.resident) < REST_BYTES || started.elapsed() > LOOK_MAX {
            return Ok(now);
        }
        last = now;
    }
}

//! SIGKILL at random moments under load, on the same data again and again.

use std::time::Duration;

use rand::Rng as _;

use crate::cli::Setup;
use crate::round::Rounds;
use crate::server::Launch;
use crate::summary::{Report, say};

/// The load runs for this long at least, at random between the two, before the kill.
const LOAD_MS: std::ops::Range<u64> = 200..1_800;

/// Progress is told once in so many cycles.
const TOLD_EVERY: u32 = 20;

pub(crate) async fn run(setup: &Setup, cycles: u32) -> anyhow::Result<Report> {
    let launch = Launch::new(&setup.binary, setup.scratch.join("kill"), setup.scratch.join("kill.log"));
    let mut rounds = Rounds::default();
    let mut slowest = Duration::ZERO;
    let mut server = launch.start().await?;
    for cycle in 1..=cycles {
        let load = rounds.load(std::slice::from_ref(&server.client));
        let least = Duration::from_millis(rand::rng().random_range(LOAD_MS));
        Rounds::until_all_kinds(&load, least).await?;
        server.kill().await?;
        let (ops, _) = rounds.crashed(load).await;
        server = launch.start().await?;
        slowest = slowest.max(server.started_in);
        rounds.check(&server.client, cycle, &ops).await?;
        if !rounds.faults.is_empty() {
            break;
        }
        if cycle % TOLD_EVERY == 0 {
            say(&format!("kill -9: {cycle} of {cycles} cycles, {} requests acknowledged", rounds.counts.total()));
        }
    }
    let status = server.stop().await?;
    if !status.success() {
        rounds.faults.push(format!("after the last cycle the server ended with {status} on SIGTERM"));
    }
    let counted = format!("{cycles} cycles, slowest restart {slowest:.2?}; {}", rounds.text());
    Ok(Report::of(rounds.faults, counted))
}

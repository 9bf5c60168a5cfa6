//! Latencies from an open loop: each server at fixed shares of the peak that it has just shown under the same load, so that all are
//! as busy as each other, and none is asked for what it can't do.

use anyhow::{Context, Result};

use super::{
    Bench,
    closed_loops::{MIX_HALF, plan},
    servers::Servers,
};
use crate::{
    load::{Keys, Latencies, Load, Operation, Pace, Plan, Sample, Server},
    progress::progress,
    report::{Latency, Report},
    workload::KEYS,
};

const CONNECTIONS: usize = 64;
const PERCENT_OF_PEAK: &[u32] = &[10, 50, 80];
const QUICK_PERCENT_OF_PEAK: &[u32] = &[50];
/// A run is so many times as long as one for a rate: the last percentiles need requests.
const LONGER: u32 = 2;

pub(super) async fn measure(bench: &Bench<'_>, servers: &mut Servers<'_>, report: &mut Report) -> Result<()> {
    let loads = [
        ("GET, random keys", plan(Operation::Get, Keys::Uniform(KEYS)), servers.readers()),
        ("durable PUT, random keys", plan(Operation::Put, Keys::Uniform(KEYS)), servers.writers()),
        (MIX_HALF.0, MIX_HALF.1, servers.writers()),
    ];
    for (name, plan, taking_part) in loads {
        let mut peaks = Vec::new();
        for (peer, server) in taking_part {
            progress!("{name} on {peer}: the peak");
            let load = Load { server, plan, connections: CONNECTIONS, pace: Pace::Closed };
            let found = load.run_for(bench.schedule.time).await.with_context(|| format!("{name} on {peer}"))?;
            peaks.push((peer, server, found.sample()?.per_second));
        }
        let shares = if bench.is_quick() { QUICK_PERCENT_OF_PEAK } else { PERCENT_OF_PEAK };
        for percent in shares {
            for (peer, server, peak) in &peaks {
                let per_second = peak * f64::from(*percent) / 100.0;
                progress!("{name} on {peer} at {per_second:.0} a second");
                let found = run(bench, *server, plan, per_second).await;
                let found = found.with_context(|| format!("{name} on {peer} at {per_second:.0} a second"))?;
                let row =
                    |load: String, sample| Latency { load, peer, connections: CONNECTIONS, percent_of_peak: *percent, per_second, sample };
                report.latencies.extend(rows(name, &found)?.into_iter().map(|(load, sample)| row(load, sample)));
            }
        }
    }
    servers.check().await
}

async fn run(bench: &Bench<'_>, server: Server, plan: Plan, per_second: f64) -> Result<Latencies> {
    let load = Load { server, plan, connections: CONNECTIONS, pace: Pace::Open(per_second) };
    let time = if bench.is_quick() { bench.schedule.time } else { bench.schedule.time * LONGER };
    load.run_for(time).await
}

/// Reads and writes apart where there are both: their latencies have little to do with each other.
fn rows(name: &str, found: &Latencies) -> Result<Vec<(String, Sample)>> {
    if found.reads.is_empty() || found.writes.is_empty() {
        return Ok(vec![(name.to_owned(), found.sample()?)]);
    }
    let part = |of| Sample::of(of, found.seconds, found.usage);
    Ok(vec![(format!("GET of {name}"), part(&found.reads)), (format!("PUT of {name}"), part(&found.writes))])
}

//! Random durable PUT where every key's record must be read from disk first, against the same load on few keys; and PUT to a few
//! hot keys beside each, from an open loop: cold work must not hold them up.

use anyhow::{Context, Result};

use super::{Bench, SMALL_KEYS, VALUE_BYTES, finite, memory::Follow};
use crate::{
    kvstore::Kvstore,
    load::{Keys, Load, Operation, Pace, Plan, Sample},
    progress::progress,
    report::{Measurement, REQUESTS, Report},
    targets,
};

const CONNECTIONS: usize = 64;
const HOT_KEYS: u64 = 16;
const HOT_CONNECTIONS: usize = 4;
const HOT_PER_SECOND: f64 = 200.0;
const MANY: &str = "random durable PUT under the cap";
const FEW: &str = "the same on 100,000 keys";
const HOT_MANY: &str = "PUT to 16 hot keys beside the first";
const HOT_FEW: &str = "PUT to 16 hot keys beside the second";

pub(super) async fn measure(bench: &Bench<'_>, server: &Kvstore<'_>, memory: &mut Follow, report: &mut Report) -> Result<()> {
    let cgroup = bench.cgroup("few-keys")?;
    let few = bench.loaded(&cgroup, SMALL_KEYS.min(bench.settings.entries)).await?;
    memory.begin("writes");
    let mut found = [const { (Vec::new(), Vec::new()) }; 2];
    for round in 1..=bench.schedule.rounds {
        progress!("{MANY}, round {round}");
        for ((server, keys), (puts, hot)) in [(server, bench.settings.entries), (&few, SMALL_KEYS)].into_iter().zip(&mut found) {
            let (put, hot_put) = load(bench, server, keys.min(bench.settings.entries)).await?;
            puts.push(put);
            hot.push(hot_put);
        }
        memory.round();
    }
    few.stop().await?;

    let [(many, hot_many), (few, hot_few)] = &found;
    let many = Measurement::of(MANY, "kvstore", CONNECTIONS, REQUESTS, many);
    let few = Measurement::of(FEW, "kvstore", CONNECTIONS, REQUESTS, few);
    let hot_many = Measurement::of(HOT_MANY, "kvstore", HOT_CONNECTIONS, REQUESTS, hot_many);
    let hot_few = Measurement::of(HOT_FEW, "kvstore", HOT_CONNECTIONS, REQUESTS, hot_few);

    let ratio = many.over(&few);
    let rate = finite(ratio.median(), "the rate of PUT")?;
    report.judge(targets::LARGE_PUT, rate, ratio.to_string());
    let p99 = finite(hot_many.p99_us / hot_few.p99_us, "p99 of PUT to hot keys")?;
    let detail = format!("{:.2} ms against {:.2} ms, from the intended times", hot_many.p99_us / 1e3, hot_few.p99_us / 1e3);
    report.judge(targets::LARGE_HOT_PUT, p99, detail);
    report.measurements.extend([many, few, hot_many, hot_few]);
    Ok(())
}

/// Both loads on one server at once.
async fn load(bench: &Bench<'_>, server: &Kvstore<'_>, keys: u64) -> Result<(Sample, Sample)> {
    let load = |keys, connections, pace| {
        let plan = Plan { operation: Operation::Put, keys, value_bytes: VALUE_BYTES };
        Load { server: server.server(), plan, connections, pace }
    };
    let puts = load(Keys::Uniform(keys), CONNECTIONS, Pace::Closed);
    let hot = load(Keys::Cycle(HOT_KEYS), HOT_CONNECTIONS, Pace::Open(HOT_PER_SECOND));
    let (puts, hot) = tokio::join!(puts.run_for(bench.schedule.time), hot.run_for(bench.schedule.time));
    Ok((puts?.sample()?, hot.context("PUT to hot keys")?.sample()?))
}

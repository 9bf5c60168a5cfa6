//! Each peer in turn, several times over, so that a machine that slows down slows down all of them.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{
    load::{Load, Pace, Plan, Sample, Server, pgbench::Pgbench, redis_benchmark::RedisBenchmark},
    progress::progress,
    report::{Measurement, Report, Unit},
};

/// How a peer is loaded.
pub(crate) enum Runner {
    Own(Server, Plan),
    Redis(RedisBenchmark),
    Pgbench(Pgbench),
}

/// A peer with its load.
pub(crate) struct Contender {
    pub(crate) peer: &'static str,
    /// The name of its load; that of the group, or of what the group is compared with.
    pub(crate) load: String,
    pub(crate) unit: Unit,
    pub(crate) runner: Runner,
}

/// How long and how often, and over how many connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) connections: &'static [usize],
}

impl Runner {
    /// What loads it.
    pub(crate) const fn generator(&self) -> &'static str {
        match self {
            Self::Own(..) => "kvstore-bench",
            Self::Redis(_) => "redis-benchmark",
            Self::Pgbench(_) => "pgbench",
        }
    }

    async fn run(&mut self, connections: usize, time: Duration) -> Result<Sample> {
        match self {
            Self::Own(server, plan) => {
                let load = Load { server: *server, plan: *plan, connections, pace: Pace::Closed };
                load.run_for(time).await?.sample()
            }
            Self::Redis(redis) => redis.run(connections, time).await,
            Self::Pgbench(pgbench) => pgbench.run(connections, time).await,
        }
    }
}

/// Runs the contenders in turn, in the opposite order in every second round, and adds a measurement of each to the report.
pub(crate) async fn alternate(contenders: &mut [Contender], connections: usize, schedule: Schedule, report: &mut Report) -> Result<()> {
    let mut samples = vec![Vec::new(); contenders.len()];
    for round in 0..schedule.rounds {
        let mut turn: Vec<_> = contenders.iter_mut().zip(&mut samples).collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        for (contender, found) in turn {
            progress!("{} on {}, {connections} connections, round {}", contender.load, contender.peer, round + 1);
            let sample = contender.runner.run(connections, schedule.time).await;
            found.push(sample.with_context(|| format!("{} on {} with {connections} connections", contender.load, contender.peer))?);
        }
    }
    for (contender, found) in contenders.iter().zip(&samples) {
        let measured = Measurement::of(&contender.load, contender.peer, connections, contender.unit, found);
        report.measurements.push(Measurement { generator: contender.runner.generator(), ..measured });
    }
    Ok(())
}

/// The middle value; the mean of the middle two where there is no one middle. Nothing has no median.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}

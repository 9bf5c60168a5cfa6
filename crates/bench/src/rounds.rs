//! Each peer in turn, several times over, so that a machine that slows down slows down all of them.

use anyhow::{Context, Result};

use crate::{
    load::{Sample, redis_benchmark::RedisBenchmark, wrk::Wrk},
    progress::progress,
    report::{Measurement, Report, Unit},
};

/// How a peer is loaded.
pub(crate) enum Runner {
    Wrk(Wrk),
    Redis(RedisBenchmark),
}

/// A peer with its load.
pub(crate) struct Contender {
    pub(crate) peer: &'static str,
    /// The name of its load; that of the group, or of what the group is compared with.
    pub(crate) load: String,
    pub(crate) unit: Unit,
    pub(crate) runner: Runner,
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
}

impl Runner {
    async fn run(&mut self, connections: usize, seconds: u64) -> Result<Sample> {
        match self {
            Self::Wrk(wrk) => wrk.run(connections, seconds).await,
            Self::Redis(redis) => redis.run(connections, seconds).await,
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
            let sample = contender.runner.run(connections, schedule.seconds).await;
            found.push(sample.with_context(|| format!("{} on {} with {connections} connections", contender.load, contender.peer))?);
        }
    }
    for (contender, found) in contenders.iter().zip(&samples) {
        report.measurements.push(Measurement::of(&contender.load, contender.peer, connections, contender.unit, found));
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

//! Figures of a load: at the rate that came about, or at a rate that was set.

use std::fmt;

use serde::Serialize;

use crate::{load::Sample, rounds::median, usage::Usage};

/// One load on one peer at one number of connections, as fast as it answers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) load: String,
    pub(crate) peer: &'static str,
    pub(crate) connections: usize,
    pub(crate) generator: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// What the generator tells no percentile of, and what was not watched, is left out.
    pub(crate) p90_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) usage: Option<Usage>,
    /// Processor time of the server for one request.
    pub(crate) server_us: Option<f64>,
}

/// Latencies of one load on one peer at a fixed rate, from the intended times.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) load: String,
    pub(crate) peer: &'static str,
    pub(crate) connections: usize,
    pub(crate) percent_of_peak: u32,
    /// The rate of the whole load, of which a row may tell a part only.
    pub(crate) per_second: f64,
    pub(crate) sample: Sample,
}

/// What a rate counts, and how many of it one request holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) per_request: f64,
}

/// How many times as fast one load was as another, round by round.
///
/// The rounds of both lie beside each other in time: a machine that is slow for a while is so in both parts of a round, but need not
/// be so in the median rounds of both.
#[derive(Debug)]
pub(crate) struct Ratio {
    /// The median rates.
    ours: f64,
    theirs: f64,
    rounds: Vec<f64>,
}

impl Ratio {
    /// That of the middle round, which counts; NaN without rounds.
    pub(crate) fn median(&self) -> f64 {
        median(&self.rounds)
    }
}

/// How the ratio came about.
impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} against {:.0} a second; by rounds", self.ours, self.theirs)?;
        self.rounds.iter().try_for_each(|ratio| write!(f, " {ratio:.2}"))
    }
}

/// One per request.
pub(crate) const REQUESTS: Unit = Unit { name: "requests", per_request: 1.0 };

impl Measurement {
    /// This load's rate over another's.
    pub(crate) fn over(&self, other: &Self) -> Ratio {
        let rounds = self.rounds.iter().zip(&other.rounds).map(|(ours, theirs)| ours / theirs).collect();
        Ratio { ours: self.median, theirs: other.median, rounds }
    }

    /// Sums up the rounds of a load.
    pub(crate) fn of(load: &str, peer: &'static str, connections: usize, unit: Unit, samples: &[Sample]) -> Self {
        let all = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<f64>>();
        let middle = |of: fn(&Sample) -> Option<f64>| -> Option<f64> {
            let told: Option<Vec<f64>> = samples.iter().map(of).collect();
            told.filter(|told| !told.is_empty()).map(|told| median(&told))
        };
        let rounds: Vec<f64> = all(|sample| sample.per_second).into_iter().map(|rate| rate * unit.per_request).collect();
        Self {
            load: load.to_owned(),
            peer,
            connections,
            generator: "kvstore-bench",
            unit: unit.name,
            median: median(&rounds),
            rounds,
            p50_us: median(&all(|sample| sample.p50_us)),
            p99_us: median(&all(|sample| sample.p99_us)),
            p90_us: middle(|sample| sample.p90_us),
            p999_us: middle(|sample| sample.p999_us),
            usage: usage(samples),
            server_us: middle(|sample| sample.usage.map(|usage| usage.server_cores * 1e6 / sample.per_second)),
        }
    }
}

/// The middle of the processors' shares, and the memory of the last round.
fn usage(samples: &[Sample]) -> Option<Usage> {
    let told: Vec<Usage> = samples.iter().map(|sample| sample.usage).collect::<Option<_>>()?;
    let middle = |of: fn(&Usage) -> f64| median(&told.iter().map(of).collect::<Vec<f64>>());
    let last = told.last()?;
    Some(Usage { server_cores: middle(|usage| usage.server_cores), generator_cores: middle(|usage| usage.generator_cores), ..*last })
}

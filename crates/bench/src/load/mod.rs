//! Load generators. One of our own drives every HTTP server, and Redis where redis-benchmark can't: in a closed loop for rates, in
//! an open loop for latencies at a fixed rate. Its requests are put together from prepared parts, its answers are read no further
//! than their status and length, and all of it is one thread: what it takes of the processors, the server does not get.

mod connection;
mod dialects;
mod generator;
#[cfg(test)]
mod generator_tests;
pub(crate) mod loader;
mod pace;
pub(crate) mod pgbench;
mod reader;
pub(crate) mod redis_benchmark;
mod requests;
mod timer;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    dialects::{BatchAnswer, Dialect},
    generator::{Latencies, Load},
    pace::{Pace, Stop},
    requests::{Keys, Operation, Plan},
};
use crate::usage::Usage;

/// Where a load goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) port: u16,
    /// The process that is watched meanwhile.
    pub(crate) pid: u32,
    pub(crate) dialect: Dialect,
}

/// What one run of a generator found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// What not every generator tells.
    pub(crate) p90_us: Option<f64>,
    pub(crate) p999_us: Option<f64>,
    pub(crate) usage: Option<Usage>,
}

impl Sample {
    /// Sums up latencies in microseconds that came about within so many seconds.
    pub(crate) fn of(latencies: &Histogram<u64>, seconds: f64, usage: Usage) -> Self {
        let at = |share: f64| latencies.value_at_quantile(share) as f64;
        Self {
            requests: latencies.len(),
            per_second: latencies.len() as f64 / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p90_us: Some(at(0.9)),
            p999_us: Some(at(0.999)),
            usage: Some(usage),
        }
    }
}

//! Load generators. Closed loops (wrk, redis-benchmark) for rates, an open loop for latencies under load.

pub(crate) mod loader;
pub(crate) mod open_loop;
pub(crate) mod redis_benchmark;
mod timer;
pub(crate) mod wrk;
pub(crate) mod wrk_scripts;

use serde::{Deserialize, Serialize};

/// What one run of a closed-loop generator found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

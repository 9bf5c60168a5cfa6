//! An open-loop generator: requests have intended send times at a fixed rate, whatever the server does, and latency counts from
//! the intended time. So a stall is charged to every request that it delayed, not to the one that met it (Gil Tene,
//! "How NOT to Measure Latency"). The naive figure, from the actual sending, is kept beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use super::timer::Timer;
use crate::http::Http;

/// How far a run may fall behind before it is given up.
const BEHIND_MAX: Duration = Duration::from_secs(60);
/// The longest latency that is told apart, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;

/// A run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLoop {
    pub(crate) port: u16,
    /// Requests that can be under way at one time. One that finds none free waits, and the wait is counted.
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
    /// The run ends after this, or earlier by [`Stop`].
    pub(crate) limit: Duration,
}

/// What to send: method, path and body of the n-th request.
pub(crate) type Make = dyn Fn(u64) -> (Method, String, Bytes) + Send + Sync;

/// Ends a run early: nothing intended after that moment is sent, everything before it is.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    start: Instant,
    end_nanos: Arc<AtomicU64>,
}

impl Stop {
    /// A run that starts now and ends after `limit`, unless [`Stop::now`] is called.
    pub(crate) fn after(limit: Duration) -> Self {
        Self { start: Instant::now(), end_nanos: Arc::new(AtomicU64::new(nanos(limit))) }
    }

    /// Ends the run.
    pub(crate) fn now(&self) {
        self.end_nanos.fetch_min(nanos(self.start.elapsed()), Ordering::Relaxed);
    }

    fn is_past(&self, due: Duration) -> bool {
        nanos(due) >= self.end_nanos.load(Ordering::Relaxed)
    }
}

/// Latencies of a run, in microseconds.
pub(crate) struct Latencies {
    pub(crate) from_intended: Histogram<u64>,
    pub(crate) from_sent: Histogram<u64>,
}

impl Latencies {
    fn new() -> Result<Self> {
        let empty = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Self { from_intended: empty.clone(), from_sent: empty })
    }

    fn add(&mut self, other: &Self) -> Result<()> {
        self.from_intended.add(&other.from_intended)?;
        self.from_sent.add(&other.from_sent)?;
        Ok(())
    }

    /// A percentile from the intended times.
    pub(crate) fn percentile_us(&self, percent: f64) -> f64 {
        self.from_intended.value_at_quantile(percent / 100.0) as f64
    }
}

impl OpenLoop {
    /// Runs to the end. An answer that is not 2xx fails the run.
    pub(crate) async fn run(&self, stop: Stop, make: Arc<Make>) -> Result<Latencies> {
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..self.connections {
            let worker = Worker { http: Http::connect(self.port).await?, timer: Timer::new()?, per_second: self.per_second };
            workers.spawn(worker.run(stop.clone(), Arc::clone(&next), Arc::clone(&make)));
        }
        let collect = async {
            let mut all = Latencies::new()?;
            while let Some(done) = workers.join_next().await {
                all.add(&done??)?;
            }
            Ok(all)
        };
        tokio::time::timeout(self.limit + BEHIND_MAX, collect).await.with_context(|| format!("more than {BEHIND_MAX:?} behind"))?
    }
}

struct Worker {
    http: Http,
    timer: Timer,
    per_second: f64,
}

impl Worker {
    async fn run(mut self, stop: Stop, next: Arc<AtomicU64>, make: Arc<Make>) -> Result<Latencies> {
        let mut found = Latencies::new()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_secs_f64(number as f64 / self.per_second);
            let intended = stop.start + due;
            if stop.is_past(due) {
                return Ok(found);
            }
            self.timer.wait_until(intended).await?;
            if stop.is_past(due) {
                return Ok(found);
            }
            let sent = Instant::now();
            self.send(&*make, number).await?;
            let done = Instant::now();
            found.from_intended.saturating_record(micros(done - intended));
            found.from_sent.saturating_record(micros(done - sent));
        }
    }

    async fn send(&mut self, make: &Make, number: u64) -> Result<()> {
        let (method, path, body) = make(number);
        let request = self.http.request(method, &path, body)?;
        let answer = self.http.send(request).await?;
        if !(answer.status == StatusCode::OK || answer.status == StatusCode::CREATED) {
            bail!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        Ok(())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "open_loop_tests.rs"]
mod tests;

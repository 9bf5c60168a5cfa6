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
use tokio::{sync::Semaphore, task::JoinSet};

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
        let plan = *self;
        // On a thread of its own, where a task wakes another without a system call: what the generator takes of the processors, the
        // server does not get.
        let run = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(plan.run_here(stop, make))
        });
        run.await?
    }

    async fn run_here(self, stop: Stop, make: Arc<Make>) -> Result<Latencies> {
        let pace = Arc::new(Pace { stop, per_second: self.per_second, due: Semaphore::new(0), next: AtomicU64::new(0) });
        let mut tasks = JoinSet::new();
        for _ in 0..self.connections {
            let worker = Worker { http: Http::connect(self.port).await?, pace: Arc::clone(&pace) };
            tasks.spawn(worker.run(Arc::clone(&make)));
        }
        tasks.spawn({
            let pace = Arc::clone(&pace);
            async move {
                pace.keep(self.connections).await?;
                Latencies::new()
            }
        });
        let collect = async {
            let mut all = Latencies::new()?;
            while let Some(done) = tasks.join_next().await {
                all.add(&done??)?;
            }
            Ok(all)
        };
        tokio::time::timeout(self.limit + BEHIND_MAX, collect).await.with_context(|| format!("more than {BEHIND_MAX:?} behind"))?
    }
}

/// When requests are due.
struct Pace {
    stop: Stop,
    per_second: f64,
    /// A permit for each request that is due and not sent yet.
    due: Semaphore,
    /// The number of the next request to be sent.
    next: AtomicU64,
}

impl Pace {
    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// Lets requests go when they are due, one timer for all of them, and in the end the workers too.
    async fn keep(&self, workers: usize) -> Result<()> {
        let timer = Timer::new()?;
        let mut released = 0;
        while !self.stop.is_past(self.due(released)) {
            timer.wait_until(self.stop.start + self.due(released)).await?;
            let elapsed = self.stop.start.elapsed();
            while self.due(released) <= elapsed && !self.stop.is_past(self.due(released)) {
                self.due.add_permits(1);
                released += 1;
            }
        }
        // Each worker finds a number that is past the end.
        self.due.add_permits(workers);
        Ok(())
    }

    /// The next request once it is due, with the time at which it should have been sent; `None` at the end.
    async fn next(&self) -> Result<Option<(u64, Instant)>> {
        self.due.acquire().await?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = self.due(number);
        Ok((!self.stop.is_past(due)).then(|| (number, self.stop.start + due)))
    }
}

struct Worker {
    http: Http,
    pace: Arc<Pace>,
}

impl Worker {
    async fn run(mut self, make: Arc<Make>) -> Result<Latencies> {
        let mut found = Latencies::new()?;
        while let Some((number, intended)) = self.pace.next().await? {
            let sent = Instant::now();
            self.send(&*make, number).await?;
            let done = Instant::now();
            found.from_intended.saturating_record(micros(done - intended));
            found.from_sent.saturating_record(micros(done - sent));
        }
        Ok(found)
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

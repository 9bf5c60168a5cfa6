//! The run: each connection does one operation after the other until the pace says that it is over.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use indicatif::ProgressBar;
use kvstore_client::Client;
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    distribution::Chooser,
    operation::perform,
    pace::{Limit, Pace},
    records::Records,
    report::micros,
    tally::Tally,
    workload::Workload,
};

/// How often progress is shown.
const TICK: Duration = Duration::from_millis(500);
/// How long a connection stays away after a request that can't be answered now.
const PAUSE: Duration = Duration::from_millis(50);

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) chooser: Chooser,
    pub(super) records: Arc<Records>,
    pub(super) limit: Limit,
    pub(super) rate: Option<f64>,
    pub(super) seed: u64,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    pub(super) took: Duration,
    /// In an open loop: operations that were due and never sent.
    pub(super) unsent: u64,
}

impl Plan {
    /// Runs to the end, or until it is stopped; operations under way are waited for.
    pub(super) async fn run(&self, clients: &[Client], bar: &ProgressBar, stop: &CancellationToken) -> anyhow::Result<Outcome> {
        let tally = Arc::new(Mutex::new(Tally::new(self.workload.mix())?));
        let pace = Pace::start(self.limit, self.rate, clients.len())?;
        let mut workers = JoinSet::new();
        for (number, client) in (0_u64..).zip(clients) {
            let random = StdRng::seed_from_u64(self.seed.wrapping_add(number));
            workers.spawn(work(self.clone(), client.clone(), Arc::clone(&pace), Arc::clone(&tally), random));
        }
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + TICK, TICK);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled(), if !stop.is_cancelled() => pace.stop(),
                done = workers.join_next() => match done {
                    Some(done) => done.context("a connection's task ended")?,
                    None => break,
                },
                _ = ticks.tick() => {
                    let (done, p99) = tally.lock().take_recent();
                    let rate = done as f64 / looked.elapsed().as_secs_f64().max(0.001);
                    looked = Instant::now();
                    bar.set_message(format!("{rate:.0} operations/s now, p99 {} now", micros(p99)));
                    self.show_position(bar, &pace, &tally);
                }
            }
        }
        let (took, unsent) = (pace.elapsed(), pace.unsent());
        let tally = tally.lock().clone();
        Ok(Outcome { tally, took, unsent })
    }

    fn show_position(&self, bar: &ProgressBar, pace: &Pace, tally: &Mutex<Tally>) {
        match self.limit {
            Limit::Operations(operations) => {
                bar.set_length(operations);
                let tally = tally.lock();
                bar.set_position(tally.done() + tally.failed());
            }
            Limit::Time(time) => {
                bar.set_length(time.as_millis() as u64);
                bar.set_position(pace.elapsed().min(time).as_millis() as u64);
            }
        }
    }
}

async fn work(plan: Plan, client: Client, pace: Arc<Pace>, tally: Arc<Mutex<Tally>>, mut random: StdRng) {
    while let Some(from) = pace.next().await {
        let kind = plan.workload.draw(&mut random);
        let result = perform(kind, &client, &plan.records, &plan.chooser, &mut random).await;
        let failed = result.is_err();
        tally.lock().add(kind, from.elapsed(), result);
        // A server that is gone or overloaded is not asked as fast as it refuses. In an open loop the rate sees to that.
        if failed && plan.rate.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

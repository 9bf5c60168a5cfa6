//! The sweeper: turns expired entries into tombstones, and removes tombstones and idempotency records that have had their time.
//!
//! Each change is conditional on the revision that was seen, so a row that somebody writes meanwhile stays; and every node may sweep.
//! It also looks at the database's clock, since it reads it each time.

use std::{sync::Arc, time::Duration};

use kvstore_types::{
    Timestamp,
    limits::{IDEMPOTENCY_KEPT_SECONDS, RECLAIM_ITEMS_MAX, TOMBSTONE_SECONDS},
};
use tokio::task::JoinHandle;

use super::{Shared, clock_watch::ClockWatch, read::retried, rows};
use crate::{StoreError, metrics::CommitterMetrics};

/// Adding up the records reads all of them: once in so many rounds, which is ten minutes.
const ROUNDS_PER_SUM: u32 = 600;

/// What one round leaves to the next.
pub(super) struct Rounds {
    clock: ClockWatch,
    idempotency_bytes: u64,
    until_sum: u32,
    /// Records of this stamp and before are more than are kept.
    over: i64,
}

impl Rounds {
    pub(super) const fn new(idempotency_bytes: u64) -> Self {
        Self { clock: ClockWatch::new(), idempotency_bytes, until_sum: 0, over: i64::MIN }
    }
}

/// The task; it ends with this handle.
pub(super) struct Sweeper(Option<JoinHandle<()>>);

impl Sweeper {
    pub(super) fn start(shared: &Arc<Shared>, every: Option<Duration>, mut rounds: Rounds) -> Self {
        let shared = Arc::downgrade(shared);
        Self(every.map(|every| {
            tokio::spawn(async move {
                let metrics = CommitterMetrics::default();
                let mut ticks = tokio::time::interval(every);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Some(shared) = shared.upgrade() else { return };
                    match shared.sweep(&mut rounds).await {
                        Ok(reclaimed) => metrics.reclaimed(reclaimed),
                        // The next round will do it; whoever needs the database says that it is away.
                        Err(error) => tracing::debug!(%error, "expired entries were not reclaimed"),
                    }
                }
            })
        }))
    }

    pub(super) fn stop(&self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// One round, within its limits. Says how many entries were reclaimed.
    async fn sweep(&self, rounds: &mut Rounds) -> Result<usize, StoreError> {
        let clock = retried!(self, lease => lease.query_one(&lease.statements.clock, &[]))?;
        let database = rows::column(&clock, 0)?;
        rounds.clock.look(database);
        let now = self.time.at(database);
        let limit = rows::bigint(RECLAIM_ITEMS_MAX as u64);
        let due = retried!(self, lease => lease.query(&lease.statements.due, &[&now.as_micros(), &limit]))?;
        let (mut expired, mut tombstones) = (Vec::new(), Vec::new());
        for row in &due {
            let named = (rows::column::<&str>(row, 0)?, rows::column::<i64>(row, 1)?);
            if rows::column(row, 2)? { tombstones.push(named) } else { expired.push(named) }
        }
        // In the order in which writers lock them.
        expired.sort_unstable();
        tombstones.sort_unstable();
        if !expired.is_empty() {
            let (keys, revisions): (Vec<_>, Vec<_>) = expired.iter().copied().unzip();
            let until = now.plus_seconds(TOMBSTONE_SECONDS).as_micros();
            retried!(self, lease => lease.limited(lease.execute(&lease.statements.bury, &[&keys, &revisions, &until])))?;
        }
        if !tombstones.is_empty() {
            let (keys, revisions): (Vec<_>, Vec<_>) = tombstones.into_iter().unzip();
            retried!(self, lease => lease.limited(lease.execute(&lease.statements.remove, &[&keys, &revisions, &now.as_micros()])))?;
        }
        self.forget_requests(now, rounds).await?;
        if !expired.is_empty() {
            self.save_time().await?;
        }
        Ok(expired.len())
    }

    /// Removes idempotency records that have ended or are too many.
    async fn forget_requests(&self, now: Timestamp, rounds: &mut Rounds) -> Result<(), StoreError> {
        if rounds.until_sum == 0 {
            // Also where it fails: it must not be tried each round.
            rounds.until_sum = ROUNDS_PER_SUM;
            let kept = rows::bigint(rounds.idempotency_bytes);
            let over = retried!(self, lease => lease.query_one(&lease.statements.requests_over, &[&kept]))?;
            rounds.over = rows::column::<Option<i64>>(&over, 0)?.unwrap_or(i64::MIN);
        }
        rounds.until_sum -= 1;
        let ended = now.as_micros().saturating_sub(rows::bigint(IDEMPOTENCY_KEPT_SECONDS * 1_000_000)).max(rounds.over);
        let limit = rows::bigint(RECLAIM_ITEMS_MAX as u64);
        retried!(self, lease => lease.limited(lease.execute(&lease.statements.remove_requests, &[&ended, &limit]))).map(drop)
    }

    /// Saves the greatest time seen: what has expired must stay absent, should the database's clock go back and all nodes restart.
    pub(super) async fn save_time(&self) -> Result<(), StoreError> {
        let seen = self.time.seen().as_micros();
        retried!(self, lease => lease.limited(lease.execute(&lease.statements.save_time, &[&seen]))).map(drop)
    }
}

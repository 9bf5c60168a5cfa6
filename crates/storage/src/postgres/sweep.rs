//! The sweeper: turns expired entries into tombstones, and removes tombstones and idempotency records that have had their time.
//!
//! Each change is conditional on the revision that was seen, so a row that somebody writes meanwhile stays; and every node may sweep.

use std::{sync::Arc, time::Duration};

use kvstore_types::limits::{IDEMPOTENCY_KEPT_SECONDS, RECLAIM_ITEMS_MAX, TOMBSTONE_SECONDS};
use tokio::task::JoinHandle;

use super::{Shared, read::retried, rows};
use crate::{StoreError, metrics::CommitterMetrics};

/// The task; it ends with this handle.
pub(super) struct Sweeper(Option<JoinHandle<()>>);

impl Sweeper {
    pub(super) fn start(shared: &Arc<Shared>, every: Option<Duration>) -> Self {
        let shared = Arc::downgrade(shared);
        Self(every.map(|every| {
            tokio::spawn(async move {
                let metrics = CommitterMetrics::default();
                let mut ticks = tokio::time::interval(every);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let Some(shared) = shared.upgrade() else { return };
                    match shared.sweep().await {
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
    async fn sweep(&self) -> Result<usize, StoreError> {
        let clock = retried!(self, lease => lease.query_one(&lease.statements.clock, &[]))?;
        let now = self.time.at(rows::column(&clock, 0)?);
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
            retried!(self, lease => lease.execute(&lease.statements.bury, &[&keys, &revisions, &until]))?;
        }
        if !tombstones.is_empty() {
            let (keys, revisions): (Vec<_>, Vec<_>) = tombstones.into_iter().unzip();
            retried!(self, lease => lease.execute(&lease.statements.remove, &[&keys, &revisions, &now.as_micros()]))?;
        }
        let ended = now.as_micros().saturating_sub(rows::bigint(IDEMPOTENCY_KEPT_SECONDS * 1_000_000));
        retried!(self, lease => lease.execute(&lease.statements.remove_requests, &[&ended, &limit]))?;
        if !expired.is_empty() {
            self.save_time().await?;
        }
        Ok(expired.len())
    }

    /// Saves the greatest time seen: what has expired must stay absent, should the database's clock go back and all nodes restart.
    pub(super) async fn save_time(&self) -> Result<(), StoreError> {
        let seen = self.time.seen().as_micros();
        retried!(self, lease => lease.execute(&lease.statements.save_time, &[&seen])).map(drop)
    }
}

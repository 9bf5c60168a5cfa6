//! `Cached`: the Store. Single keys are read through Redis; pages, and reads of many keys, are snapshots of the authority's, so they
//! go to it, and so does every write, once it is under cover.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kvstore_types::{
    Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, WriteBatch,
    limits::CACHE_VALUE_BYTES_MAX,
};
use tokio::task::AbortHandle;

use super::{
    authority::Authority,
    checks::Checks,
    chores::{Chore, Chores},
    compare::Compare,
    config::{CacheConfig, CacheMode},
    guard::{Covered, Guard},
    keeper,
    link::Link,
    links::Links,
    metrics::CacheMetrics,
    names::Names,
    payload::{self, Payload},
    scripts::Answer,
};
use crate::{CacheStatus, Capabilities, Checkpoint, OpenError, Status, Store, StoreError, ticks::Ticks};

/// A store with a cache before it.
pub(crate) struct Cached {
    guard: Arc<Guard>,
    checks: Arc<Checks>,
    compare: Compare,
    tasks: [AbortHandle; 2],
}

impl Cached {
    /// Starts the tasks of a cache. Redis need not be there.
    pub(crate) fn start(authority: Arc<dyn Authority>, config: &CacheConfig) -> Result<Self, OpenError> {
        let metrics = CacheMetrics::default();
        let names = Arc::new(Names::new().map_err(|error| OpenError::Cache(error.to_string()))?);
        let links = Arc::new(Links::new(config, Arc::clone(&names), metrics.clone())?);
        let (chores, doer) = Chores::new(Arc::clone(&links), metrics.clone());
        let connected = (Arc::clone(&links), chores);
        let guard = Arc::new(Guard::new(Arc::clone(&authority), config.mode, config.times, connected, names, metrics));
        // It ends by itself, once all that was left is done.
        tokio::spawn(doer.run());
        let tasks = [tokio::spawn(links.keep()).abort_handle(), tokio::spawn(keeper::keep(Arc::clone(&guard))).abort_handle()];
        Ok(Self { checks: Checks::new(authority), compare: Compare::new(config.times.compare_one_in), guard, tasks })
    }

    fn authority(&self) -> &dyn Authority {
        &*self.guard.authority
    }

    /// What lies under a key, if it is sound and of this store. Damage is evicted.
    async fn look_up(&self, link: &Arc<Link>, key: &Key) -> Option<Found> {
        let answer = link.get(key).await;
        let Some(bytes) = self.guard.links.checked(link, answer)? else { return Some(Found::Nothing) };
        match Payload::decode(key, &bytes) {
            Ok(payload) => Some(Found::Payload(payload)),
            Err(error) => {
                self.guard.metrics.errors.increment(1);
                tracing::debug!(%error, key = ?key, "what is cached can't be used");
                self.guard.chores.leave(Chore::Evict(key.clone()));
                Some(Found::Nothing)
            }
        }
    }

    async fn read_fenced(&self, link: &Arc<Link>, key: &Key, projection: Projection) -> Result<Option<Entry>, StoreError> {
        let Guard { lease, times, metrics, .. } = &*self.guard;
        if !lease.get().is_some_and(|lease| lease.vouches(link, times, Ticks::now())) {
            metrics.bypassed.increment(1);
            return self.authority().read(key, projection, Consistency::Linearizable).await;
        }
        if let Some(Found::Payload(payload)) = self.look_up(link, key).await
            // The lease at this moment, when the answer is here, not the one from before the question.
            && lease.get().is_some_and(|lease| lease.counts(&payload, link, times, Ticks::now()))
        {
            metrics.hits.increment(1);
            self.compare.maybe(&self.guard, key, &payload);
            return Ok(project(payload.entry, projection));
        }
        metrics.misses.increment(1);
        // The epoch is taken before the token, and the token before the read: what is filled in is not newer than it says.
        let (Some(seen), Projection::Full) = (lease.get(), projection) else {
            return self.authority().read(key, projection, Consistency::Linearizable).await;
        };
        let token = self.token(link, key).await;
        let entry = self.authority().read(key, projection, Consistency::Linearizable).await?;
        if token.is_some() {
            self.fill(key, seen.fence.store, seen.fence.epoch, entry.as_ref(), token);
        }
        Ok(entry)
    }

    /// The right to fill a key.
    async fn token(&self, link: &Arc<Link>, key: &Key) -> Option<String> {
        if !link.is_roomy() {
            self.guard.metrics.fills_refused.increment(1);
            return None;
        }
        let token = self.guard.names.next();
        let answer = link.token(key, &token).await;
        match self.guard.links.checked(link, answer)? {
            Answer::Done => Some(token),
            Answer::Refused => {
                self.guard.metrics.fills_refused.increment(1);
                None
            }
            Answer::OtherInstance => {
                self.guard.links.give_up(link, super::REPLACED);
                None
            }
        }
    }

    async fn read_validated(&self, link: &Arc<Link>, key: &Key) -> Result<Option<Entry>, StoreError> {
        let Guard { lease, metrics, .. } = &*self.guard;
        let Some(store) = lease.get().map(|lease| lease.fence.store) else {
            metrics.bypassed.increment(1);
            return self.authority().read(key, Projection::Full, Consistency::Linearizable).await;
        };
        if let Some(Found::Payload(payload)) = self.look_up(link, key).await
            && payload.store == store
        {
            // A check that fails says nothing; the read below tells the reader what is wrong.
            let revision = self.checks.revision(key).await;
            if revision.is_ok_and(|revision| payload.entry.as_ref().map(|entry| entry.header.revision) == revision) {
                metrics.hits.increment(1);
                self.compare.maybe(&self.guard, key, &payload);
                return Ok(payload.entry);
            }
            metrics.outdated.increment(1);
        } else {
            metrics.misses.increment(1);
        }
        let entry = self.authority().read(key, Projection::Full, Consistency::Linearizable).await?;
        self.fill(key, store, 0, entry.as_ref(), None);
        Ok(entry)
    }

    fn fill(&self, key: &Key, store: u64, epoch: u64, entry: Option<&Entry>, token: Option<String>) {
        let found: Option<(_, &Bytes)> = match entry {
            None => None,
            Some(Entry { header, value: Some(value), .. }) if value.len() <= CACHE_VALUE_BYTES_MAX => Some((header, value)),
            Some(_) => return,
        };
        let payload = payload::encode(key, store, epoch, found);
        self.guard.chores.leave(Chore::Fill { key: key.clone(), payload, token });
    }

    /// Runs a write that was brought under cover.
    async fn write_covered<T>(&self, keys: Arc<[Key]>, write: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let mut covered: Covered = self.guard.cover(Arc::clone(&keys)).await?;
        covered.begin()?;
        let outcome = write.await;
        if outcome.as_ref().is_ok() || outcome.as_ref().is_err_and(StoreError::is_not_applied) {
            covered.conclude();
        }
        if self.guard.mode == CacheMode::Validate {
            keys.iter().for_each(|key| self.guard.chores.leave(Chore::Evict(key.clone())));
        }
        outcome
    }
}

enum Found {
    Nothing,
    Payload(Payload),
}

fn project(entry: Option<Entry>, projection: Projection) -> Option<Entry> {
    entry.map(|entry| match projection {
        Projection::Full => entry,
        Projection::Header => Entry { value: None, ..entry },
    })
}

#[async_trait]
impl Store for Cached {
    async fn read(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<Option<Entry>, StoreError> {
        match (self.guard.links.current(), self.guard.mode, projection) {
            (Some(link), CacheMode::Fenced, _) => self.read_fenced(&link, key, projection).await,
            (Some(link), CacheMode::Validate, Projection::Full) => self.read_validated(&link, key).await,
            // A header alone is as cheap to read as to check.
            _ => {
                self.guard.metrics.bypassed.increment(1);
                self.authority().read(key, projection, consistency).await
            }
        }
    }

    async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        self.authority().read_many(keys, consistency).await
    }

    async fn scan(&self, scan: &Scan, consistency: Consistency) -> Result<Page, StoreError> {
        self.authority().scan(scan, consistency).await
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        let keys = batch.items().iter().map(|item| item.key.clone()).collect();
        self.write_covered(keys, self.authority().write(batch)).await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.authority().checkpoint().await
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        let keys = batch.items().iter().map(|item| item.key.clone()).collect();
        self.write_covered(keys, self.authority().restore(batch)).await
    }

    fn applied_revision(&self) -> Revision {
        self.authority().applied_revision()
    }

    fn capabilities(&self) -> Capabilities {
        self.authority().capabilities()
    }

    fn status(&self) -> Status {
        let state = self.guard.state();
        let cache =
            CacheStatus { backend: "redis", mode: self.guard.mode.as_str(), state: state.as_str(), latency: self.guard.links.latency() };
        Status { cache: Some(cache), ..self.authority().status() }
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        self.authority().probe().await
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.guard.chores.done(self.guard.times.answer).await;
        self.guard.leave().await;
        self.authority().shutdown().await
    }

    async fn failed(&self) -> String {
        self.authority().failed().await
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

//! `Guard`: brings writes under cover and keeps the lease. It takes turns at the authority's fence, and sets marks in Redis.

use std::{sync::Arc, time::Duration};

use kvstore_types::{
    Key,
    limits::{CACHE_FENCE_TURN_MS_MAX, CACHE_MARK_KEYS_MAX},
};
use parking_lot::Mutex;

use super::{
    authority::{Authority, Fence, Turn},
    chores::{Chore, Chores},
    config::{CacheMode, CacheTimes},
    fencing::{Fencing, WriteId},
    lease::{LastLease, Lease},
    link::Link,
    links::Links,
    metrics::{CacheMetrics, CacheState},
    names::Names,
    scripts::Answer,
};
use crate::{StoreError, ticks::Ticks};

/// What a node does to keep cached answers true.
pub(super) struct Guard {
    pub(super) authority: Arc<dyn Authority>,
    pub(super) names: Arc<Names>,
    pub(super) mode: CacheMode,
    pub(super) times: CacheTimes,
    pub(super) links: Arc<Links>,
    pub(super) chores: Chores,
    pub(super) lease: LastLease,
    pub(super) fencing: Fencing,
    pub(super) metrics: CacheMetrics,
    /// When the last beat that arrived was sent.
    last_beat: Mutex<Option<Ticks>>,
    /// One turn for all writes that need it.
    closing: tokio::sync::Mutex<()>,
}

impl Guard {
    pub(super) fn new(
        authority: Arc<dyn Authority>,
        mode: CacheMode,
        times: CacheTimes,
        (links, chores): (Arc<Links>, Chores),
        names: Arc<Names>,
        metrics: CacheMetrics,
    ) -> Self {
        Self {
            authority,
            names,
            mode,
            times,
            links,
            chores,
            lease: LastLease::default(),
            fencing: Fencing::default(),
            metrics,
            last_beat: Mutex::new(None),
            closing: tokio::sync::Mutex::new(()),
        }
    }

    /// Takes a turn, within a time, and keeps what it shows.
    pub(super) async fn take(&self, turn: Turn) -> Result<Fence, StoreError> {
        let asked = Ticks::now();
        let limit = Duration::from_millis(CACHE_FENCE_TURN_MS_MAX);
        let fence = match tokio::time::timeout(limit, self.authority.fence(self.names.node, &turn)).await {
            Ok(Ok(fence)) => fence,
            // A turn is no write of a caller's: whether it was taken or not, taking it again is safe.
            Ok(Err(StoreError::Unknown(why))) => return Err(StoreError::Unavailable(why)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(StoreError::Unavailable("the fence of the cache could not be reached in time".into())),
        };
        if matches!(turn, Turn::Beat { .. } | Turn::Close) {
            // After a long silence others may have removed this node, and gone on without it.
            if self.since_beat().is_none_or(|age| age > self.times.lapse) {
                self.fencing.lapsed();
            }
            *self.last_beat.lock() = Some(asked);
        }
        self.fencing.saw(&fence, Ticks::now());
        self.metrics.epoch(fence.epoch);
        self.lease.saw(fence.clone(), asked);
        Ok(fence)
    }

    /// Takes leave of the others, if no write is under way. Where that fails, they find out that this node's beats stand still.
    pub(super) async fn leave(&self) {
        *self.last_beat.lock() = None;
        if self.fencing.is_idle(Ticks::now()) {
            let _ = self.take(Turn::Leave).await;
        }
    }

    /// How the cache is.
    pub(super) fn state(&self) -> CacheState {
        match (self.links.current(), self.mode) {
            (None, _) => CacheState::Off,
            (Some(_), CacheMode::Validate) => CacheState::On,
            (Some(link), CacheMode::Fenced) => {
                let vouches = self.lease.get().is_some_and(|lease| lease.vouches(&link, &self.times, Ticks::now()));
                if vouches { CacheState::On } else { CacheState::Closed }
            }
        }
    }

    /// How long ago the last beat was sent.
    pub(super) fn since_beat(&self) -> Option<Duration> {
        self.last_beat.lock().map(Ticks::elapsed)
    }

    /// Makes sure that others count with this node, and gives the fence as it was then or later.
    async fn joined(&self) -> Result<Arc<Lease>, StoreError> {
        let fresh = |guard: &Self| guard.since_beat().is_some_and(|age| age <= guard.times.lapse);
        if !fresh(self) {
            let _one = self.closing.lock().await;
            if !fresh(self) {
                self.take(Turn::Beat { agreed: self.fencing.agreement() }).await?;
            }
        }
        self.lease.get().ok_or_else(|| StoreError::Unavailable("the fence of the cache was not seen".into()))
    }

    /// Brings a write of these keys under cover. Only after that may it reach the authority.
    pub(super) async fn cover(self: &Arc<Self>, keys: Arc<[Key]>) -> Result<Covered, StoreError> {
        let lease = self.joined().await?;
        let link = if self.mode == CacheMode::Fenced { self.links.current() } else { None };
        let Some(link) = link else { return self.cover_bare(keys, None).await };
        let Some((write, before)) = self.fencing.enter_marked(&link.instance, &lease.fence) else {
            return self.cover_bare(keys, None).await;
        };
        let mut covered = Covered { guard: Arc::clone(self), write, keys, mark: Some(self.names.next().into()), begun: false };
        if self.mark(&link, &covered.keys, covered.mark.as_deref().unwrap_or_default()).await {
            if let Some(before) = before {
                self.wait_for_leases(before).await;
            }
            return Ok(covered);
        }
        let (_, since) = self.close_for(Some(write)).await?;
        self.wait_for_leases(since).await;
        covered.begun = false;
        Ok(covered)
    }

    async fn cover_bare(self: &Arc<Self>, keys: Arc<[Key]>, write: Option<WriteId>) -> Result<Covered, StoreError> {
        let (write, since) = self.close_for(write).await?;
        let covered = Covered { guard: Arc::clone(self), write, keys, mark: None, begun: false };
        self.wait_for_leases(since).await;
        Ok(covered)
    }

    /// Closes the fence, unless it is closed and this node has not agreed since.
    pub(super) async fn close_for(&self, write: Option<WriteId>) -> Result<(WriteId, Ticks), StoreError> {
        if let Some(entered) = self.fencing.enter_bare(write) {
            return Ok(entered);
        }
        let _one = self.closing.lock().await;
        if let Some(entered) = self.fencing.enter_bare(write) {
            return Ok(entered);
        }
        if let Some(entered) = self.lease.get().and_then(|lease| self.fencing.adopt(write, &lease.fence, Ticks::now())) {
            return Ok(entered);
        }
        let closed = self.take(Turn::Close).await?;
        self.metrics.closings.increment(1);
        Ok(self.fencing.closed(write, closed.epoch, Ticks::now()))
    }

    /// Waits until every lease that was taken before the closing has ended.
    async fn wait_for_leases(&self, since: Ticks) {
        let needed = self.times.lease + self.times.lease_margin;
        while let Some(left) = needed.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }

    /// Sets a mark on all keys. `false` where that is not certain; the link is given up then.
    pub(super) async fn mark(&self, link: &Arc<Link>, keys: &[Key], mark: &str) -> bool {
        for chunk in keys.chunks(CACHE_MARK_KEYS_MAX) {
            let answer = link.mark(chunk, mark, self.times.mark).await;
            match self.links.checked(link, answer) {
                Some(Answer::Done) => {}
                Some(Answer::Refused) => {
                    self.links.give_up(link, "it was too slow to mark a write");
                    return false;
                }
                Some(Answer::OtherInstance) => {
                    self.links.give_up(link, super::REPLACED);
                    return false;
                }
                None => return false,
            }
        }
        true
    }
}

/// A write under cover, until its outcome is known. Dropped before that, it may take effect at any time.
pub(super) struct Covered {
    guard: Arc<Guard>,
    write: WriteId,
    keys: Arc<[Key]>,
    /// The mark that was set, or may have been.
    mark: Option<Arc<str>>,
    /// Whether it has reached the authority.
    begun: bool,
}

impl Covered {
    /// From now on the authority may apply it.
    ///
    /// # Errors
    /// So much time has passed since it was brought under cover that others may have gone on without this node.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        let late = self.guard.since_beat().is_none_or(|age| age > self.guard.times.lapse * 2);
        if late {
            return Err(StoreError::Unavailable("the node stood still for too long before a write".into()));
        }
        self.begun = true;
        Ok(())
    }

    /// The authority has applied it, or never will.
    pub(super) fn conclude(mut self) {
        self.begun = false;
    }
}

impl Drop for Covered {
    fn drop(&mut self) {
        let Guard { fencing, chores, times, mode, .. } = &*self.guard;
        if self.begun {
            let now = Ticks::now();
            // A node that never agrees need not know which keys it is for.
            let keys = (*mode == CacheMode::Fenced).then(|| Arc::clone(&self.keys));
            fencing.unknown(self.write, keys, now.after(times.mark), now);
            return;
        }
        fencing.ended(self.write);
        if let Some(mark) = self.mark.take() {
            chores.leave(Chore::Unmark { keys: Arc::clone(&self.keys), mark });
        }
    }
}

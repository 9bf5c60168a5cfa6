//! `Compare`: one hit in many is held against the authority, in the background. It finds what no test thought of.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kvstore_types::{Consistency, Entry, Key, Projection};

use super::{chores::Chore, config::CacheMode, guard::Guard, payload::Payload};
use crate::ticks::Ticks;

/// Counts hits, and compares some.
pub(super) struct Compare {
    one_in: u64,
    hits: AtomicU64,
}

impl Compare {
    pub(super) const fn new(one_in: u64) -> Self {
        Self { one_in, hits: AtomicU64::new(0) }
    }

    /// Compares this hit, if it is its turn.
    pub(super) fn maybe(&self, guard: &Arc<Guard>, key: &Key, payload: &Payload) {
        if self.one_in > 0 && self.hits.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_in) {
            tokio::spawn(compare(Arc::clone(guard), key.clone(), payload.clone()));
        }
    }
}

async fn compare(guard: Arc<Guard>, key: Key, payload: Payload) {
    // An authority that can't be asked now says nothing about the cache.
    let Ok(truth) = guard.authority.read(&key, Projection::Full, Consistency::Linearizable).await else { return };
    guard.metrics.compared.increment(1);
    if truth == payload.entry {
        return;
    }
    let revision = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.header.revision);
    // Another revision may have come after the hit. It is a fault only if the cache still answers with the old one.
    if revision(&truth) != revision(&payload.entry) && !still_answers(&guard, &key, &payload).await {
        return;
    }
    guard.metrics.mismatches.increment(1);
    tracing::error!(
        key = ?key,
        cached = ?revision(&payload.entry),
        stored = ?revision(&truth),
        "the cache held another entry than the database; it was evicted. Report it, and serve with --cache validate"
    );
    guard.chores.leave(Chore::Evict(key));
}

/// Whether a read that begins now would get this payload. Where hits are checked one by one, never.
async fn still_answers(guard: &Guard, key: &Key, payload: &Payload) -> bool {
    if guard.mode == CacheMode::Validate {
        return false;
    }
    let (Some(link), Some(_)) = (guard.links.current(), guard.lease.get()) else { return false };
    let Ok(Some(bytes)) = link.get(key).await else { return false };
    let Ok(found) = Payload::decode(key, &bytes) else { return false };
    found == *payload && guard.lease.get().is_some_and(|lease| lease.counts(&found, &link, &guard.times, Ticks::now()))
}

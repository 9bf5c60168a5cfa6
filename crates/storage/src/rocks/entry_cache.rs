//! The entry cache. It is exact: a hit is never older than what any reader was told before.
//!
//! Keys are spread over stripes. A write opens the stripes of its keys before it reaches the engine and takes their entries out; it
//! closes them after, with the new entries. A fill takes a ticket before it reads the engine and is refused if its stripe is
//! open or was opened since. So nothing read before a write can be put in after it began, and while a write is under way
//! readers of its keys go to the engine. (The tickets are ours rather than the cache library's placeholders, so that exactness
//! does not rest on that library's internals, and loom can run the very code.) After the lease tokens of "Scaling Memcache at
//! Facebook" (NSDI 2013).
//!
//! A write counts as a use: an empty place stays behind while it is under way, and what the library knows of the key's use with it.
//! Were the key removed, the library would see a new one after each write, and a stream of keys that are written once would drive
//! out those that are written all the time. Their headers, which every write needs, would be read from disk then.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::fast::RandomState;
use kvstore_types::{Header, Key};
use parking_lot::Mutex;
use quick_cache::{Weighter, sync::Cache};

/// Larger values are not worth their room.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// What an entry takes beside its key and value, about.
const ENTRY_OVERHEAD_BYTES: u64 = 200;
const STRIPES: usize = 1_024;

/// A cached entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cached {
    pub(super) header: Header,
    pub(super) value: Bytes,
}

/// What the cache has for a key: nothing while it is being written.
type Place = Option<Cached>;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<Key, Place> for ByBytes {
    fn weight(&self, key: &Key, place: &Place) -> u64 {
        let value = place.as_ref().map_or(0, |cached| cached.value.len());
        (key.as_bytes().len() + value) as u64 + ENTRY_OVERHEAD_BYTES
    }
}

/// The cache of one generation.
pub(super) struct EntryCache {
    entries: Cache<Key, Place, ByBytes>,
    gate: Gate<Mutex<Stripe>>,
    hasher: RandomState,
    hits: metrics::Counter,
    misses: metrics::Counter,
}

impl EntryCache {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        // An entry of a hundred bytes is what the estimate is for; it only sizes the first tables.
        let items = usize::try_from(capacity_bytes / 1_024).unwrap_or(1);
        Self {
            entries: Cache::with_weighter(items, capacity_bytes, ByBytes),
            gate: Gate::new(STRIPES),
            hasher: RandomState::default(),
            hits: metrics::counter!("kvstore_entry_cache_hits_total"),
            misses: metrics::counter!("kvstore_entry_cache_misses_total"),
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Cached> {
        let hit = self.entries.get(key).flatten();
        if hit.is_some() {
            self.hits.increment(1);
        }
        hit
    }

    /// Counts a read that has to look further. That is not done by `get`, since one read may ask at several tiers.
    pub(super) fn count_miss(&self) {
        self.misses.increment(1);
    }

    /// The header alone, without counting as a use.
    pub(super) fn peek_header(&self, key: &Key) -> Option<Header> {
        self.entries.peek(key).flatten().map(|cached| cached.header)
    }

    /// To be taken before the engine is read for a fill. `None` while the key is being written.
    pub(super) fn ticket(&self, key: &Key) -> Option<Ticket> {
        self.gate.ticket(self.stripe(key))
    }

    /// Puts in what was read, unless the key may have been written since the ticket.
    pub(super) fn fill(&self, ticket: Ticket, key: &Key, header: Header, value: &Bytes) {
        if value.len() <= VALUE_BYTES_MAX {
            self.gate.fill(&ticket, || self.entries.insert(key.clone(), Some(Cached { header, value: value.clone() })));
        }
    }

    /// To be called before the engine write, once for each key of a group.
    pub(super) fn begin_write(&self, key: &Key) {
        // Refused where the key has no place.
        self.gate.open(self.stripe(key), || drop(self.entries.replace(key.clone(), None, true)));
    }

    /// To be called after the engine write, once for each `begin_write`, with the entry that the key has now.
    pub(super) fn end_write(&self, key: &Key, entry: Option<(Header, &Bytes)>) {
        self.gate.close(self.stripe(key), || match entry {
            Some((header, value)) if value.len() <= VALUE_BYTES_MAX => {
                // Copied: a short value may be a slice of a large request body, which it would keep alive.
                let value = Bytes::copy_from_slice(value);
                self.entries.insert(key.clone(), Some(Cached { header, value }));
            }
            _ => drop(self.entries.remove(key)),
        });
    }

    /// Bytes that the entries take, about.
    pub(super) fn weight(&self) -> u64 {
        self.entries.weight()
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what a stripe is chosen by")]
    fn stripe(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize % STRIPES
    }
}

/// A mutual exclusion, so that a model checker's can stand in for the real one.
trait Lock {
    fn new() -> Self;
    fn with<R>(&self, act: impl FnOnce(&mut Stripe) -> R) -> R;
}

impl Lock for Mutex<Stripe> {
    fn new() -> Self {
        Self::new(Stripe::default())
    }

    fn with<R>(&self, act: impl FnOnce(&mut Stripe) -> R) -> R {
        act(&mut self.lock())
    }
}

#[derive(Debug, Default)]
struct Stripe {
    /// Grows whenever a write opens the stripe.
    epoch: u64,
    /// Writes that have it open.
    writers: usize,
}

/// The right to fill, as of a moment.
#[derive(Debug)]
pub(super) struct Ticket {
    stripe: usize,
    epoch: u64,
}

/// Decides which fills may go in. The cache's own changes run inside its locks.
struct Gate<L> {
    stripes: Box<[L]>,
}

impl<L: Lock> Gate<L> {
    fn new(stripes: usize) -> Self {
        Self { stripes: (0..stripes).map(|_| L::new()).collect() }
    }

    fn with<R>(&self, stripe: usize, act: impl FnOnce(&mut Stripe) -> R) -> Option<R> {
        self.stripes.get(stripe).map(|lock| lock.with(act))
    }

    fn ticket(&self, stripe: usize) -> Option<Ticket> {
        self.with(stripe, |state| (state.writers == 0).then_some(Ticket { stripe, epoch: state.epoch })).flatten()
    }

    fn fill(&self, ticket: &Ticket, insert: impl FnOnce()) {
        self.with(ticket.stripe, |state| {
            if state.writers == 0 && state.epoch == ticket.epoch {
                insert();
            }
        });
    }

    fn open(&self, stripe: usize, remove: impl FnOnce()) {
        self.with(stripe, |state| {
            state.epoch += 1;
            state.writers += 1;
            remove();
        });
    }

    fn close(&self, stripe: usize, replace: impl FnOnce()) {
        self.with(stripe, |state| {
            state.writers = state.writers.saturating_sub(1);
            replace();
        });
    }
}

#[cfg(test)]
mod tests;

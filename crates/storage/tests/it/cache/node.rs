//! `Node`: a cache over a shared authority and a shared Redis, with short words for what tests do to it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kvstore_storage::{CacheConfig, CacheMode, CacheTimes, Store, StoreError, open_cached};
use kvstore_types::{Condition, Consistency, Entry, Item, Key, Mutation, Outcome, Projection, Ttl, WriteBatch};

use super::authority::MemoryAuthority;

/// A test that waits longer for something has failed.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) store: Arc<dyn Store>,
}

/// No hit is compared: tests count what the authority is asked.
pub(crate) fn times() -> CacheTimes {
    CacheTimes { compare_one_in: 0, ..CacheTimes::default() }
}

/// For cases that set the clock by hand, which no time that has passed can tell: what expires is asked for.
pub(crate) fn times_of_cases() -> CacheTimes {
    CacheTimes { clock_margin: Duration::from_secs(1 << 33), ..times() }
}

impl Node {
    pub(crate) fn start(authority: &Arc<MemoryAuthority>, url: &str, mode: CacheMode) -> Self {
        Self::with(authority, url, mode, times())
    }

    pub(crate) fn with(authority: &Arc<MemoryAuthority>, url: &str, mode: CacheMode, times: CacheTimes) -> Self {
        let config = CacheConfig { mode, times, ..CacheConfig::new(url) };
        Self { store: open_cached(authority.clone(), &config).expect("a URL that can be used") }
    }

    /// A node whose cache answers.
    pub(crate) async fn ready(authority: &Arc<MemoryAuthority>, url: &str, mode: CacheMode) -> Self {
        let node = Self::start(authority, url, mode);
        node.becomes("on").await;
        node
    }

    pub(crate) fn state(&self) -> &'static str {
        self.store.status().cache.expect("a cache").state
    }

    /// Waits for a state.
    pub(crate) async fn becomes(&self, state: &str) {
        let waited = tokio::time::timeout(DEADLINE, async {
            let mut poll = tokio::time::interval(POLL);
            while self.state() != state {
                poll.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "the cache is {}, not {state}, after {DEADLINE:?}", self.state());
    }

    pub(crate) async fn get(&self, text: &str) -> Option<Entry> {
        self.store.read(&key(text), Projection::Full, Consistency::Linearizable).await.expect("a read")
    }

    pub(crate) async fn value(&self, text: &str) -> Option<String> {
        self.get(text).await.map(|entry| String::from_utf8(entry.value.expect("a value").to_vec()).expect("text"))
    }

    pub(crate) async fn put(&self, text: &str, value: &str) -> Outcome {
        self.write(item(text, value)).await.expect("a put")
    }

    pub(crate) async fn write(&self, item: Item) -> Result<Outcome, StoreError> {
        self.store.write(Arc::new(WriteBatch::one(item, None))).await
    }

    /// Reads until a read is answered without the authority.
    pub(crate) async fn warm(&self, authority: &MemoryAuthority, text: &str) -> Option<String> {
        let mut value = None;
        eventually("the cache answers", async || {
            let before = authority.reads();
            value = self.value(text).await;
            authority.reads() == before
        })
        .await;
        value
    }
}

/// Asks until it holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        let mut poll = tokio::time::interval(POLL);
        while !holds().await {
            poll.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not within {DEADLINE:?}");
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a valid key")
}

pub(crate) fn item(text: &str, value: &str) -> Item {
    Item { key: key(text), mutation: Mutation::Put { value: Bytes::copy_from_slice(value.as_bytes()), ttl: None }, condition: None }
}

pub(crate) fn item_for(text: &str, value: &str, seconds: u64) -> Item {
    let ttl = Some(Ttl::from_seconds(seconds).expect("a time to live"));
    Item { key: key(text), mutation: Mutation::Put { value: Bytes::copy_from_slice(value.as_bytes()), ttl }, condition: None }
}

pub(crate) fn only_if_absent(item: Item) -> Item {
    Item { condition: Some(Condition::Absent), ..item }
}

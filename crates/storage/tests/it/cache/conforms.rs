//! The conformance suite on the specification behind a cache.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use kvstore_storage::{
    CacheMode, ManualClock, Store,
    conformance::{Fixture, Stop},
};
use kvstore_testkit::Redis;

use super::{
    authority::MemoryAuthority,
    node::{Node, times},
    redis,
};

/// A store with a cache of its own: cases begin with an empty one.
pub(crate) struct CachedMemory {
    name: String,
    authority: Arc<MemoryAuthority>,
    mode: CacheMode,
    redis: Redis,
    node: tokio::sync::Mutex<Option<Node>>,
}

impl CachedMemory {
    pub(crate) fn fixture(mode: CacheMode) -> Arc<dyn Fixture> {
        let name = format!("memory + cache ({})", mode.as_str());
        Arc::new(Self { name, authority: MemoryAuthority::new(), mode, redis: redis::start(&[]), node: tokio::sync::Mutex::default() })
    }
}

#[async_trait]
impl Fixture for CachedMemory {
    fn name(&self) -> &str {
        &self.name
    }

    fn clock(&self) -> &ManualClock {
        &self.authority.clock
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Stop> {
        let mut slot = self.node.lock().await;
        if let Some(node) = &*slot {
            return Ok(Arc::clone(&node.store));
        }
        // Cases set the clock by hand, which no time that has passed can tell: what expires is asked for.
        let times = kvstore_storage::CacheTimes { clock_margin: Duration::from_secs(1 << 33), ..times() };
        let node = Node::with(&self.authority, &self.redis.url(), self.mode, times);
        node.becomes("on").await;
        Ok(Arc::clone(&slot.insert(node).store))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }

    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }
}

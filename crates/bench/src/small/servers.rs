//! The servers that share a load, all running at once and all with the same keys.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::Bench;
use crate::{
    kvstore::{Kvstore, Setup},
    load::{Server, loader::Loader},
    machine::version_of,
    peers::{bare_route::BareRoute, etcd::Etcd, redis::Redis},
    report::Report,
    workload::{BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES, VALUE_BYTES},
};

const LOADING_MAX: Duration = Duration::from_secs(120);

/// kvstore and its peers.
pub(super) struct Servers<'a> {
    pub(super) kvstore: Kvstore<'a>,
    pub(super) bare: BareRoute,
    pub(super) redis: Redis,
    /// Where it runs; the others are measured without it, and the report says why it is not there.
    pub(super) etcd: Option<Etcd>,
}

/// A server with all keys loaded.
pub(super) async fn loaded<'a>(bench: &Bench<'a>) -> Result<Kvstore<'a>> {
    loaded_as(bench.setup()).await
}

/// The same, set up in another way.
pub(super) async fn loaded_as(setup: Setup<'_>) -> Result<Kvstore<'_>> {
    let server = Kvstore::start(setup).await?;
    let loader = Loader { port: server.port, entries: KEYS, value_bytes: VALUE_BYTES, batch: 1_000, connections: 2, limit: LOADING_MAX };
    loader.run().await?;
    Ok(server)
}

/// The servers by name, with what they say of their version.
pub(super) async fn versions(kvstore: &Path) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for (name, program) in [("kvstore", kvstore), ("redis", Path::new("redis-server")), ("etcd", Path::new("etcd"))] {
        all.push((name, version_of(program).await.unwrap_or_else(|| "not found".to_owned())));
    }
    all
}

impl<'a> Servers<'a> {
    pub(super) async fn start(bench: &'a Bench<'a>, report: &mut Report) -> Result<Self> {
        let kvstore = loaded(bench).await?;
        kvstore.check_operations(KEYS, VALUE_BYTES, PAGE_ENTRIES, BATCH_ITEMS).await?;
        let entry = kvstore.check_entry(HOT_KEY, VALUE_BYTES).await?;
        let bare = BareRoute::start(bench.work, &entry).await?;
        let redis = Redis::start(bench.work).await?;
        let etcd = match Etcd::start(bench.work).await {
            Ok(etcd) => Some(etcd),
            Err(error) => {
                report.miss("etcd", format!("{error:#}"));
                None
            }
        };
        Ok(Self { kvstore, bare, redis, etcd })
    }

    /// Those that read one key.
    pub(super) fn readers(&self) -> Vec<(&'static str, Server)> {
        let mut all = self.writers();
        all.insert(1, ("bare route", self.bare.server()));
        all
    }

    /// Those that write durably.
    pub(super) fn writers(&self) -> Vec<(&'static str, Server)> {
        let etcd = self.etcd.as_ref().map(|etcd| ("etcd", etcd.server()));
        [("kvstore", self.kvstore.server()), ("redis", self.redis.server())].into_iter().chain(etcd).collect()
    }

    /// What was measured must still be whole.
    pub(super) async fn check(&mut self) -> Result<()> {
        self.kvstore.check_running()?;
        for number in [0, HOT_KEY, KEYS - 1] {
            self.kvstore.check_entry(number, VALUE_BYTES).await?;
        }
        if let Some(etcd) = &self.etcd {
            etcd.check().await?;
        }
        self.redis.check().await
    }

    pub(super) async fn stop(self) -> Result<()> {
        if let Some(etcd) = self.etcd {
            etcd.stop().await?;
        }
        self.kvstore.stop().await?;
        self.bare.stop().await?;
        self.redis.stop().await
    }
}

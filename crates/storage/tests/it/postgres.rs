//! The store over PostgreSQL as a fixture: a database of its own for each case, on a server that the tests start, or on the one that
//! `KVSTORE_TEST_DATABASE_URL` names, whose tables of kvstore are removed before each case.

use std::{process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use kvstore_storage::{
    CacheConfig, CacheMode, ManualClock, Pooling, PostgresConfig, Store,
    conformance::{Fixture, Stop},
    distribute_postgres, open_cached, open_postgres_at,
};
use kvstore_testkit::{PgBouncer, PoolMode, Redis};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    cache::node::{Node, times_of_cases},
    fixtures::START,
};

const GIVEN: &str = "KVSTORE_TEST_DATABASE_URL";
/// What kvstore makes in a database.
const REMOVE: &str =
    "DROP TABLE IF EXISTS kv, kv_requests, kv_meta, kv_fence, kv_fence_nodes, refinery_schema_history; DROP SEQUENCE IF EXISTS kv_revision";

/// Where it has Citus, the table is distributed.
const HAS_CITUS: &str = "SELECT count(*) FROM pg_extension WHERE extname = 'citus'";

/// Whether the database is somebody's own, of whatever make.
pub(crate) fn is_given() -> bool {
    std::env::var(GIVEN).is_ok()
}

pub(crate) struct Postgres {
    reclaim_every: Option<Duration>,
    cache: Option<(CacheMode, Redis)>,
    /// Whether the store reaches its database through a pooler in transaction mode.
    is_pooled: bool,
    clock: Arc<ManualClock>,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    home: Home,
    store: Option<Arc<dyn Store>>,
}

enum Home {
    /// A database of its own.
    Own { server: Arc<kvstore_testkit::Postgres>, url: String },
    /// The one database there is: one case after the other.
    Given { url: String, _turn: OwnedMutexGuard<()> },
}

impl Home {
    async fn make(is_pooled: bool) -> Result<Self, Stop> {
        static TURNS: std::sync::LazyLock<Arc<Mutex<()>>> = std::sync::LazyLock::new(Arc::default);
        // The pooler stands before the server of the tests.
        if let Some(url) = std::env::var(GIVEN).ok().filter(|_| !is_pooled) {
            let turn = Arc::clone(&TURNS).lock_owned().await;
            let ended = Command::new("psql").args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", REMOVE, &url]).status()?;
            if !ended.success() {
                return Err(Stop::Failed(format!("psql failed on {GIVEN}")));
            }
            let counted = Command::new("psql").args(["-X", "-q", "-A", "-t", "-c", HAS_CITUS, &url]).output()?;
            if counted.stdout.starts_with(b"1") {
                distribute_postgres(PostgresConfig::from_url(&url)?).await?;
            }
            return Ok(Self::Given { url, _turn: turn });
        }
        let made = tokio::task::spawn_blocking(|| {
            let server = kvstore_testkit::Postgres::shared()?;
            let url = server.database()?;
            anyhow::Ok(Self::Own { server, url })
        });
        made.await?.map_err(|error| Stop::Failed(format!("{error:#}")))
    }

    fn url(&self) -> &str {
        match self {
            Self::Own { url, .. } | Self::Given { url, .. } => url,
        }
    }

    async fn remove(self) -> Result<(), Stop> {
        let Self::Own { server, url } = self else { return Ok(()) };
        let name = url.rsplit('/').next().expect("a name").to_owned();
        let dropped = tokio::task::spawn_blocking(move || server.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)")));
        dropped.await?.map(drop).map_err(|error| Stop::Failed(format!("{error:#}")))
    }
}

/// The pooler that all cases share. Fewer connections than clients, so that they do change hands.
pub(crate) fn pooler() -> anyhow::Result<Arc<PgBouncer>> {
    static SHARED: std::sync::Mutex<Option<Arc<PgBouncer>>> = std::sync::Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(pooler) = &*shared {
        return Ok(Arc::clone(pooler));
    }
    let postgres = kvstore_testkit::Postgres::shared()?;
    Ok(Arc::clone(shared.insert(Arc::new(PgBouncer::start(postgres.port(), PoolMode::Transaction, 6)?))))
}

impl Postgres {
    pub(crate) fn fixture(reclaim_every: Option<Duration>) -> Arc<dyn Fixture> {
        Arc::new(Self::new(reclaim_every, None))
    }

    /// The same through PgBouncer in transaction mode.
    pub(crate) fn pooled() -> Arc<dyn Fixture> {
        Arc::new(Self { is_pooled: true, ..Self::new(None, None) })
    }

    fn new(reclaim_every: Option<Duration>, cache: Option<(CacheMode, Redis)>) -> Self {
        Self { reclaim_every, cache, is_pooled: false, clock: Arc::new(ManualClock::at(START)), opened: Mutex::new(None) }
    }

    /// The same behind a cache of its own.
    pub(crate) fn cached(mode: CacheMode) -> Arc<dyn Fixture> {
        let redis = Redis::start(&[]).expect("Redis starts");
        Arc::new(Self::new(None, Some((mode, redis))))
    }

    async fn open(&self, url: &str) -> Result<Arc<dyn Store>, Stop> {
        let mut config = self.config(url)?;
        config.reclaim_every = self.reclaim_every;
        let store = open_postgres_at(config, self.clock.clone()).await?;
        let Some((mode, redis)) = &self.cache else { return Ok(store) };
        let config = CacheConfig { mode: *mode, times: times_of_cases(), ..CacheConfig::new(redis.url()) };
        let node = Node { store: open_cached(store, &config)? };
        node.becomes("on").await;
        Ok(node.store)
    }

    fn config(&self, url: &str) -> Result<PostgresConfig, Stop> {
        if !self.is_pooled {
            return Ok(PostgresConfig::from_url(url)?);
        }
        let name = url.rsplit('/').next().unwrap_or_default();
        let through = pooler().map_err(|error| Stop::Failed(format!("{error:#}")))?.url(name);
        let mut config = PostgresConfig::from_url(&through)?;
        config.pooling = Pooling::Transaction;
        Ok(config)
    }

    /// Another store on the data of the first.
    async fn another(&self) -> Result<Arc<dyn Store>, Stop> {
        let opened = self.opened.lock().await;
        let home = &opened.as_ref().ok_or_else(|| Stop::Failed("no store was opened before".into()))?.home;
        self.open(home.url()).await
    }
}

#[async_trait]
impl Fixture for Postgres {
    fn name(&self) -> &str {
        match (&self.cache, self.reclaim_every) {
            _ if self.is_pooled => "postgres through PgBouncer",
            (Some((CacheMode::Validate, _)), _) => "postgres + cache (validate)",
            (Some((CacheMode::Fenced, _)), _) => "postgres + cache (fenced)",
            (None, Some(_)) => "postgres, reclaiming eagerly",
            (None, None) => "postgres",
        }
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Stop> {
        let mut opened = self.opened.lock().await;
        if opened.is_none() {
            *opened = Some(Opened { home: Home::make(self.is_pooled).await?, store: None });
        }
        let opened = opened.as_mut().expect("it was just made");
        if opened.store.is_none() {
            opened.store = Some(self.open(opened.home.url()).await?);
        }
        Ok(opened.store.clone().expect("it was just opened"))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        let mut opened = self.opened.lock().await;
        let Some(opened) = opened.as_mut() else { return Ok(None) };
        if let Some(store) = opened.store.take() {
            store.shutdown().await?;
        }
        let store = self.open(opened.home.url()).await?;
        opened.store = Some(Arc::clone(&store));
        Ok(Some(store))
    }

    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        // What a killed node leaves is what it committed: another one opens beside it.
        self.another().await.map(Some)
    }

    async fn second(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        self.another().await.map(Some)
    }

    async fn close(&self) -> Result<(), Stop> {
        let Some(opened) = self.opened.lock().await.take() else { return Ok(()) };
        drop(opened.store);
        opened.home.remove().await
    }
}

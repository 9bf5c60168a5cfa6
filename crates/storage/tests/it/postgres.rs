//! The store over PostgreSQL as a fixture: a database of its own for each case, on a server that the tests start, or on the one that
//! `KVSTORE_TEST_DATABASE_URL` names, whose tables of kvstore are removed before each case.

use std::{process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use kvstore_storage::{
    CacheConfig, CacheMode, ManualClock, Pooling, PostgresConfig, Store,
    conformance::{Fixture, Stop},
    distribute_postgres, migrate_postgres, open_cached, open_postgres_at,
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

/// Makes a plain PostgreSQL look like a Citus that holds a distributed table: the store then takes the ways that need no common snapshot.
pub(crate) const LOOK_DISTRIBUTED: &str = "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) \
    SELECT 1, 'citus', 10, oid, false, '0' FROM pg_namespace WHERE nspname = 'public'; \
    CREATE TABLE pg_dist_partition AS SELECT 'kv'::regclass AS logicalrelid, 'h'::\"char\" AS partmethod; \
    CREATE FUNCTION get_shard_id_for_distribution_column(regclass, text) RETURNS bigint LANGUAGE sql AS 'SELECT hashtext($2)::bigint & 3'";

/// Whether the database is somebody's own, of whatever make.
pub(crate) fn is_given() -> bool {
    std::env::var(GIVEN).is_ok()
}

pub(crate) struct Postgres {
    reclaim_every: Option<Duration>,
    cache: Option<(CacheMode, Redis)>,
    /// Whether the store reaches its database through a pooler in transaction mode.
    is_pooled: bool,
    /// Whether its table looks distributed.
    is_distributed: bool,
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
    async fn make(is_own: bool) -> Result<Self, Stop> {
        static TURNS: std::sync::LazyLock<Arc<Mutex<()>>> = std::sync::LazyLock::new(Arc::default);
        if let Some(url) = std::env::var(GIVEN).ok().filter(|_| !is_own) {
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

    /// Makes the tables, and what tells that one of them is distributed.
    async fn look_distributed(&self) -> Result<(), Stop> {
        let Self::Own { server, url } = self else { return Ok(()) };
        migrate_postgres(PostgresConfig::from_url(url)?).await?;
        let (server, name) = (Arc::clone(server), self.name().to_owned());
        let done = tokio::task::spawn_blocking(move || server.sql(&name, LOOK_DISTRIBUTED));
        done.await?.map(drop).map_err(|error| Stop::Failed(format!("{error:#}")))
    }

    fn name(&self) -> &str {
        self.url().rsplit('/').next().expect("a name")
    }

    async fn remove(self) -> Result<(), Stop> {
        let name = self.name().to_owned();
        let Self::Own { server, .. } = self else { return Ok(()) };
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

    /// The same over a table that looks distributed.
    pub(crate) fn distributed() -> Arc<dyn Fixture> {
        Arc::new(Self { is_distributed: true, ..Self::new(None, None) })
    }

    fn new(reclaim_every: Option<Duration>, cache: Option<(CacheMode, Redis)>) -> Self {
        let (clock, opened) = (Arc::new(ManualClock::at(START)), Mutex::new(None));
        Self { reclaim_every, cache, is_pooled: false, is_distributed: false, clock, opened }
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
            _ if self.is_distributed => "postgres without a common snapshot",
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
            // A pooler stands before the server of the tests, and a database of somebody's own is as it is.
            let home = Home::make(self.is_pooled || self.is_distributed).await?;
            if self.is_distributed {
                home.look_distributed().await?;
            }
            *opened = Some(Opened { home, store: None });
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

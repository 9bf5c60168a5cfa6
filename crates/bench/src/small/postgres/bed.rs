//! What the group runs on: one PostgreSQL, a database for each kvstore and one for pgbench, and a Redis for each that needs one.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use kvstore_testkit::{Postgres, PostgresOptions, Redis, Syncing};
use tokio::task::block_in_place;

use super::super::{Bench, servers};
use crate::{
    kvstore::{Cache, Database, Kvstore, Setup},
    load::pgbench::Pgbench,
    peers,
    settings::is_in_memory,
    workload::{BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES, VALUE_BYTES},
};

/// Room for pgbench's connections and those of three nodes.
const CONNECTIONS_MAX: &str = "200";
const PLAIN_TABLE: &str = "CREATE TABLE plain (key text COLLATE \"C\" PRIMARY KEY, value bytea NOT NULL, version bigint NOT NULL, updated_at timestamptz NOT NULL)";

/// What keeps the data, and what caches it. It ends with this value.
pub(super) struct Ground {
    postgres: Postgres,
    caches: [Redis; 2],
    /// A database for each kvstore.
    urls: [String; 3],
    /// The URLs of the caches.
    redis_urls: [String; 2],
    /// pgbench's database.
    database: String,
}

/// The servers. They end with this value.
pub(super) struct Bed<'a> {
    /// Without a cache.
    pub(super) plain: Kvstore<'a>,
    pub(super) validate: Kvstore<'a>,
    pub(super) fenced: Kvstore<'a>,
    /// For redis-benchmark, with all keys.
    pub(super) redis: peers::redis::Redis,
    ground: &'a Ground,
    work: PathBuf,
}

impl Ground {
    pub(super) fn start() -> Result<Self> {
        let folder = std::env::temp_dir();
        ensure!(!is_in_memory(&folder)?, "{} is in memory; let TMPDIR name a folder on a disk", folder.display());
        let settings = vec![("max_connections".into(), CONNECTIONS_MAX.into())];
        let postgres = Postgres::start(PostgresOptions { syncing: Syncing::On, settings, certificate: None })?;
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value = postgres.sql("postgres", &format!("SHOW {setting}"))?;
            ensure!(value == "on", "PostgreSQL runs with {setting} = {value}");
        }
        let caches = [Redis::start(&[])?, Redis::start(&[])?];
        let redis_urls = caches.each_ref().map(Redis::url);
        let urls = [postgres.database()?, postgres.database()?, postgres.database()?];
        let database = table_of_pgbench(&postgres)?;
        Ok(Self { postgres, caches, urls, redis_urls, database })
    }

    pub(super) fn stop(self) -> Result<()> {
        for redis in self.caches {
            redis.stop()?;
        }
        self.postgres.stop()
    }
}

impl<'a> Bed<'a> {
    pub(super) async fn start(bench: &Bench<'a>, ground: &'a Ground) -> Result<Self> {
        let ([one, two, three], [for_validate, for_fenced]) = (&ground.urls, &ground.redis_urls);
        let plain = node(bench, ground, Database { url: one, cache: None }).await?;
        let cache = Cache { mode: "validate", redis_url: for_validate };
        let validate = node(bench, ground, Database { url: two, cache: Some(cache) }).await?;
        let cache = Cache { mode: "fenced", redis_url: for_fenced };
        let fenced = node(bench, ground, Database { url: three, cache: Some(cache) }).await?;
        let redis = peers::redis::Redis::start(bench.work).await?;
        Ok(Self { plain, validate, fenced, redis, ground, work: bench.work.to_owned() })
    }

    /// pgbench with a script, over TCP as kvstore's own connections.
    pub(super) fn pgbench(&self, script: &'static str) -> Pgbench {
        let Ground { postgres, database, .. } = self.ground;
        let program = postgres.tool("pgbench").map_or_else(|_| "pgbench".into(), |tool: Command| tool.get_program().into());
        Pgbench { program, port: postgres.port(), database: database.clone(), script, keys: KEYS, work: self.work.clone() }
    }

    /// What was measured must still be whole.
    pub(super) async fn check(&self) -> Result<()> {
        for server in [&self.plain, &self.validate, &self.fenced] {
            for number in [0, HOT_KEY, KEYS - 1] {
                server.check_entry(number, VALUE_BYTES).await?;
            }
        }
        for server in [&self.validate, &self.fenced] {
            let wrong = metric(server, "kvstore_cache_mismatches_total").await?;
            ensure!(wrong == 0.0, "{wrong} hits were wrong");
        }
        Ok(())
    }

    pub(super) async fn stop(self) -> Result<()> {
        for server in [self.plain, self.validate, self.fenced] {
            server.stop().await?;
        }
        self.redis.stop().await
    }
}

/// A kvstore over a database of its own, with all keys.
async fn node<'a>(bench: &Bench<'a>, ground: &'a Ground, database: Database<'a>) -> Result<Kvstore<'a>> {
    let server = servers::loaded_as(Setup { database: Some(database), ..bench.setup() }).await?;
    server.check_operations(KEYS, VALUE_BYTES, PAGE_ENTRIES, BATCH_ITEMS).await?;
    let name = database.url.rsplit('/').next().unwrap_or_default();
    block_in_place(|| settled(&ground.postgres, name, "kv"))?;
    Ok(server)
}

fn table_of_pgbench(postgres: &Postgres) -> Result<String> {
    let url = postgres.database()?;
    let database = url.rsplit('/').next().context("a database")?.to_owned();
    postgres.sql(&database, PLAIN_TABLE)?;
    let rows = format!(
        "INSERT INTO plain SELECT 'key:' || lpad(n::text, 12, '0'), convert_to('{}', 'UTF8'), 1, now() FROM generate_series(0, {}) n",
        crate::workload::value(0, VALUE_BYTES),
        KEYS - 1
    );
    postgres.sql(&database, &rows)?;
    settled(postgres, &database, "plain")?;
    Ok(database)
}

/// What autovacuum would do in the middle of a round is done before.
fn settled(postgres: &Postgres, database: &str, table: &str) -> Result<()> {
    postgres.sql(database, &format!("VACUUM ANALYZE {table}")).map(drop)
}

/// A metric that must be there.
pub(super) async fn metric(server: &Kvstore<'_>, name: &str) -> Result<f64> {
    server.metric(name).await?.with_context(|| format!("the server has no metric {name}"))
}

/// Reads that the cache answered, and all that could have been.
pub(super) async fn hits(server: &Kvstore<'_>) -> Result<(f64, f64)> {
    let hits = metric(server, "kvstore_cache_hits_total").await?;
    let others = metric(server, "kvstore_cache_misses_total").await? + metric(server, "kvstore_cache_bypassed_total").await?;
    Ok((hits, hits + others))
}

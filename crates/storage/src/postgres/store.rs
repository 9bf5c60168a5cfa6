//! `PostgresStore`: the Store itself, and what its parts share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool::managed::PoolError;
use kvstore_types::{
    Consistency, Entry, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Revision, Scan, WriteBatch,
    limits::DATABASE_CLOSE_MS_MAX,
};

use super::{
    PostgresConfig, TimeSource,
    connect::{Lease, Pool},
    error::{ConnectError, told},
    queue::Queue,
    read::retried,
    reads::{self, Reads},
    schema::SchemaError,
    sweep::{Rounds, Sweeper},
    time::StoreTime,
    tls::refusal,
};
use parking_lot::Mutex;

use crate::{Authority, Capabilities, Checkpoint, Fence, NodeId, OpenError, State, Status, Store, StoreError, Turn, ticks::Ticks};

/// How long a conflict makes more of them likely.
const CONTENDED: Duration = Duration::from_secs(1);

/// What reads, writes and the sweeper share.
pub(crate) struct Shared {
    pub(super) pool: Pool,
    pub(super) time: Arc<StoreTime>,
    pub(super) reads: Reads,
    /// How long after its snapshot a write may reach the database.
    pub(super) arrival_max: Duration,
    applied: AtomicU64,
    /// When another node last wrote what a group here rested on.
    contended: Mutex<Option<Instant>>,
}

impl Shared {
    /// The greatest revision that this node has written.
    pub(super) fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// Whether other nodes wrote the same keys not long ago.
    pub(super) fn is_contended(&self) -> bool {
        self.contended.lock().is_some_and(|at| at.elapsed() < CONTENDED)
    }

    pub(super) fn note_contended(&self) {
        *self.contended.lock() = Some(Instant::now());
    }

    pub(super) fn note_applied(&self, revision: Revision) {
        self.applied.fetch_max(revision.0, Ordering::AcqRel);
    }
}

/// A store over a database.
pub(crate) struct PostgresStore {
    shared: Arc<Shared>,
    queue: Queue,
    sweeper: Sweeper,
}

impl PostgresStore {
    /// Connects, and makes the tables where they are missing. A database that is away may come back: the store starts and says that it
    /// can't reach it.
    pub(crate) async fn open(config: PostgresConfig, source: TimeSource) -> Result<Arc<dyn Authority>, OpenError> {
        let time = Arc::new(StoreTime::new(source));
        let (reclaim_every, idempotency_bytes, write_max) = (config.reclaim_every, config.idempotency_bytes, config.write_max);
        let arrival_max = config.arrival_max;
        let pool = Pool::new(config, Arc::clone(&time)).map_err(OpenError::Database)?;
        match pool.try_get().await {
            Ok(lease) => refuse_without_rights(&lease).await?,
            Err(PoolError::Backend(error)) => {
                if let Some(fatal) = fatal(&error) {
                    return Err(fatal);
                }
            }
            // Too slow, for now.
            Err(_) => {}
        }
        let shared =
            Arc::new(Shared { pool, time, reads: Reads::default(), arrival_max, applied: AtomicU64::new(0), contended: Mutex::new(None) });
        let queue = Queue::start(Arc::clone(&shared), write_max);
        let sweeper = Sweeper::start(&shared, reclaim_every, Rounds::new(idempotency_bytes));
        Ok(Arc::new(Self { shared, queue, sweeper }))
    }
}

/// A role that may not write would start, say that it is ready, and refuse every write.
async fn refuse_without_rights(lease: &Lease) -> Result<(), OpenError> {
    // Where the question fails the database is going away, and every request will find out.
    let Ok(row) = lease.client.query_typed_one(include_str!("sql/examine.sql"), &[]).await else { return Ok(()) };
    let told = |error: tokio_postgres::Error| OpenError::Database(error.to_string());
    let (role, missing): (String, Vec<String>) = (row.try_get("role").map_err(told)?, row.try_get("missing").map_err(told)?);
    // Those on the fence's tables are needed behind a cache alone; `kvstore doctor` names them too.
    let missing: Vec<_> = missing.into_iter().filter(|right| !right.contains("kv_fence")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(OpenError::Database(format!("the role {role} lacks rights on the tables: GRANT it {}", missing.join(", "))))
}

/// What does not heal by itself.
fn fatal(error: &ConnectError) -> Option<OpenError> {
    match error {
        ConnectError::Schema(SchemaError::Broken(_)) => None,
        ConnectError::Schema(error) => Some(OpenError::Database(error.to_string())),
        ConnectError::Database(error) => {
            use tokio_postgres::error::SqlState;
            let refused = [
                SqlState::INVALID_PASSWORD,
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                SqlState::INVALID_CATALOG_NAME,
                SqlState::INSUFFICIENT_PRIVILEGE,
                SqlState::UNDEFINED_TABLE,
            ];
            let is_refused = error.code().is_some_and(|code| refused.contains(code));
            // It answered, but not as PostgreSQL does: what came can't be parsed, or ends in the middle of a message.
            let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
            let is_garbled = io.map_or(!error.is_closed(), |io| io.kind() == std::io::ErrorKind::Other);
            let is_other_protocol = error.code().is_none() && is_garbled;
            (is_refused || is_other_protocol || refusal(error).is_some()).then(|| OpenError::Database(told(error)))
        }
    }
}

#[async_trait]
impl Authority for PostgresStore {
    async fn revisions(&self, keys: &[Key]) -> Result<Vec<Option<Revision>>, StoreError> {
        self.shared.revisions(keys).await
    }

    async fn fence(&self, node: NodeId, turn: &Turn) -> Result<Fence, StoreError> {
        self.shared.fence(node, turn).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self, key: &Key, projection: Projection, _: Consistency) -> Result<Option<Entry>, StoreError> {
        match projection {
            Projection::Full => reads::read(&self.shared, key).await,
            Projection::Header => self.shared.read(key, projection).await,
        }
    }

    async fn read_many(&self, keys: &[Key], _: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        self.shared.read_many(keys).await
    }

    async fn scan(&self, scan: &Scan, _: Consistency) -> Result<Page, StoreError> {
        self.shared.scan(scan).await
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        self.queue.submit(batch).await
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        Err(StoreError::NotSupported("the data is in PostgreSQL, whose own tools (pg_dump, pg_basebackup) make copies"))
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        if self.queue.is_stopping() {
            return Err(StoreError::Stopping);
        }
        // A task of its own: a caller that goes away must not break off a commit.
        let (shared, until) = (Arc::clone(&self.shared), Ticks::now().after(self.queue.write_max()));
        let restoring = tokio::spawn(async move { shared.restore(&batch, until).await });
        restoring.await.map_err(|error| StoreError::Unknown(error.to_string()))?
    }

    fn applied_revision(&self) -> Revision {
        self.shared.applied()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { store_wide_order: false, common_snapshot: !self.shared.pool.is_distributed() }
    }

    fn status(&self) -> Status {
        let state = if self.queue.is_stopping() {
            State::Stopping
        } else if self.shared.pool.is_reachable() {
            State::Ready
        } else {
            State::Unreachable
        };
        Status { backend: "postgres", state, applied: self.applied_revision(), disk_free_bytes: None, disk_used_bytes: None, cache: None }
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        let start = Instant::now();
        let answer = retried!(self.shared, lease => lease.query_one(&lease.statements.clock, &[]));
        answer.map(|_| start.elapsed())
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.sweeper.stop();
        self.queue.stop().await;
        // Nothing of what was acknowledged rests on it.
        let _ = tokio::time::timeout(Duration::from_millis(DATABASE_CLOSE_MS_MAX), self.shared.save_time()).await;
        Ok(())
    }

    async fn failed(&self) -> String {
        // Every request finds out for itself whether the database answers again.
        std::future::pending().await
    }
}

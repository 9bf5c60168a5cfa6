//! Connections and their pool. A connection's own task watches for warnings, since one during a commit means that the outcome is
//! not known; and it can be ended at once, which closes the socket.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool::{
    Runtime,
    managed::{self, Metrics, Object, RecycleError, RecycleResult},
};
use kvstore_types::limits::{
    DATABASE_ANSWER_MS_MAX, DATABASE_CONNECT_MS_MAX, DATABASE_CONNECTION_SECONDS_MAX, DATABASE_IDLE_MS_MAX, DATABASE_LOCK_MS_MAX,
    DATABASE_POOL_WAIT_MS_MAX, DATABASE_STATEMENT_MS_MAX,
};
use parking_lot::Mutex;
use tokio::{
    task::AbortHandle,
    time::{error::Elapsed, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Error, error::Severity, types::Type};

use super::{
    PostgresConfig,
    distribute::is_distributed,
    error::{ConnectError, Fault, empties_pool, is_broken, is_conflict, no_connection},
    pooling::{Pooling, Purpose},
    schema::{self, Migrate},
    statements::Statements,
    target::{Driver, Target},
    time::StoreTime,
};
use crate::StoreError;

/// A connection to the database.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) statements: Arc<Statements>,
    pub(super) pooling: Pooling,
    /// Whether the table is sharded: reads of several keys see no common snapshot.
    pub(super) is_distributed: bool,
    warnings: Arc<AtomicUsize>,
    task: AbortHandle,
    made: Instant,
    generation: u64,
}

impl Connection {
    /// Begins a transaction.
    pub(super) async fn start(&self, purpose: Purpose) -> Result<(), Error> {
        self.client.batch_execute(self.pooling.begin(purpose)).await
    }

    /// Runs a statement that may wait for rows, under the limits of a transaction where the session can't hold them. For what may be
    /// done twice.
    pub(super) async fn limited<T>(&self, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        if self.pooling == Pooling::Session {
            return statement.await;
        }
        let (begun, answer, ended) = tokio::join!(biased; self.start(Purpose::Write), statement, self.client.batch_execute("COMMIT"));
        begun?;
        let answer = answer?;
        ended?;
        Ok(answer)
    }

    /// How many warnings the server has sent.
    pub(super) fn warnings(&self) -> usize {
        self.warnings.load(Ordering::Acquire)
    }
}

/// Makes connections and says which can be used again.
pub(super) struct Manager {
    target: Target,
    pooling: Pooling,
    /// Statements that any connection can use.
    shared: Mutex<Option<Arc<Statements>>>,
    migrate: Migrate,
    time: Arc<StoreTime>,
    is_migrated: AtomicBool,
    is_reachable: AtomicBool,
    is_distributed: AtomicBool,
    /// Raised where every connection made so far leads to the wrong server.
    generation: AtomicU64,
}

impl Manager {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let generation = self.generation.load(Ordering::Acquire);
        let (mut client, connection) = self.target.connect().await?;
        let warnings = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(drive(connection, Arc::clone(&warnings))).abort_handle();
        if !self.is_migrated.load(Ordering::Acquire) {
            let ran = schema::ensure(&mut client, self.migrate, &self.target, self.pooling).await?;
            if ran > 0 {
                tracing::info!(migrations = ran, "the tables were made or changed");
            }
            self.is_migrated.store(true, Ordering::Release);
        }
        self.set_up(&client).await?;
        let is_distributed = is_distributed(&client).await?;
        if is_distributed && !self.is_distributed.swap(is_distributed, Ordering::AcqRel) {
            tracing::info!("the table is distributed: reads of several keys see no common snapshot");
        }
        let statements = self.statements(&client).await?;
        Ok(Connection { client, statements, pooling: self.pooling, is_distributed, warnings, task, made: Instant::now(), generation })
    }

    async fn statements(&self, client: &Client) -> Result<Arc<Statements>, Error> {
        if self.pooling == Pooling::Session {
            return Statements::prepare(client).await.map(Arc::new);
        }
        if let Some(shared) = &*self.shared.lock() {
            return Ok(Arc::clone(shared));
        }
        let asked = Statements::ask(client).await?;
        Ok(Arc::clone(self.shared.lock().get_or_insert(asked)))
    }

    /// The session's limits, and that a commit waits for the disk; in return the saved time. Where the session is not ours its
    /// transactions hold the limits.
    async fn set_up(&self, client: &Client) -> Result<(), Error> {
        let limits = [DATABASE_STATEMENT_MS_MAX, DATABASE_LOCK_MS_MAX, DATABASE_IDLE_MS_MAX].map(|ms| format!("{ms}ms"));
        let [statement, lock, idle] = limits.each_ref().map(|limit| (limit as _, Type::TEXT));
        let row = match self.pooling {
            Pooling::Session => client.query_typed_one(include_str!("sql/begin_connection.sql"), &[statement, lock, idle]).await?,
            Pooling::Transaction => client.query_typed_one(include_str!("sql/begin_pooled.sql"), &[]).await?,
        };
        self.time.reach(row.try_get("store_time")?);
        if row.try_get::<_, &str>("fsync")? == "off" {
            report_fsync_off();
        }
        Ok(())
    }

    fn note(&self, is_reachable: bool, reason: &dyn std::fmt::Display) {
        if self.is_reachable.swap(is_reachable, Ordering::AcqRel) == is_reachable {
            return;
        }
        if is_reachable {
            tracing::info!("the database can be reached");
        } else {
            tracing::warn!(reason = %reason, "the database can't be reached; requests get 503 until it can");
        }
    }
}

fn report_fsync_off() {
    static REPORTED: std::sync::Once = std::sync::Once::new();
    REPORTED.call_once(|| {
        tracing::warn!("the database runs with fsync off: a crash of its machine can lose writes that were acknowledged, or all data");
    });
}

/// Moves bytes between socket and client until either ends.
async fn drive(mut connection: Driver, warnings: Arc<AtomicUsize>) {
    // An error ends the connection; whoever waits for an answer gets it too.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            tracing::debug!(message = notice.message(), "the database warns");
            warnings.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = ConnectError;

    async fn create(&self) -> Result<Connection, ConnectError> {
        let made = self.connect().await;
        match &made {
            Ok(_) => self.note(true, &""),
            // Somebody holds the tables, and the database answers.
            Err(ConnectError::Database(error)) if is_conflict(error) => {}
            Err(error) => self.note(false, error),
        }
        made
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<ConnectError> {
        let is_old = connection.made.elapsed() > Duration::from_secs(DATABASE_CONNECTION_SECONDS_MAX);
        if connection.client.is_closed() || is_old || connection.generation != self.generation.load(Ordering::Acquire) {
            return Err(RecycleError::message("the connection is closed, or has had its time"));
        }
        Ok(())
    }
}

/// The connections of a store.
#[derive(Clone)]
pub(super) struct Pool(managed::Pool<Manager>);

impl Pool {
    pub(super) fn new(config: PostgresConfig, time: Arc<StoreTime>) -> Result<Self, String> {
        let manager = Manager {
            target: config.target,
            pooling: config.pooling,
            shared: Mutex::new(None),
            migrate: config.migrate,
            time,
            is_migrated: AtomicBool::new(false),
            is_reachable: AtomicBool::new(true),
            is_distributed: AtomicBool::new(false),
            generation: AtomicU64::new(0),
        };
        let connect = Duration::from_millis(DATABASE_CONNECT_MS_MAX);
        let built = managed::Pool::builder(manager)
            .max_size(config.connections)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(Duration::from_millis(DATABASE_POOL_WAIT_MS_MAX)))
            .create_timeout(Some(connect))
            .recycle_timeout(Some(connect))
            .build();
        built.map(Self).map_err(|error| error.to_string())
    }

    pub(super) async fn get(&self) -> Result<Lease, StoreError> {
        self.try_get().await.map_err(no_connection)
    }

    /// The same, with the reason as it is.
    pub(super) async fn try_get(&self) -> Result<Lease, managed::PoolError<ConnectError>> {
        let got = self.0.get().await;
        if matches!(got, Err(managed::PoolError::Timeout(managed::TimeoutType::Create))) {
            self.0.manager().note(false, &"connecting takes too long");
        }
        Ok(Lease { object: Some(got?), must_close: false, is_committing: false, pool: self.clone() })
    }

    /// Whether a connection found the table sharded.
    pub(super) fn is_distributed(&self) -> bool {
        self.0.manager().is_distributed.load(Ordering::Acquire)
    }

    /// Whether the last connection that was asked for could be made.
    pub(super) fn is_reachable(&self) -> bool {
        self.0.manager().is_reachable.load(Ordering::Acquire)
    }
}

/// A connection for as long as it is needed. Dropped in the middle of a transaction, or after a failure, it is closed: that undoes the
/// transaction, and what the server is working on is cancelled.
pub(super) struct Lease {
    object: Option<Object<Manager>>,
    must_close: bool,
    /// Set once a commit was sent: it is never cancelled, only left.
    is_committing: bool,
    pool: Pool,
}

impl Lease {
    /// A transaction begins.
    pub(super) fn begin(&mut self) {
        self.must_close = true;
    }

    /// Whether a transaction has begun.
    pub(super) fn is_begun(&self) -> bool {
        self.must_close
    }

    /// The transaction is about to be committed.
    pub(super) fn commit(&mut self) {
        self.is_committing = true;
    }

    /// The transaction has ended, and the connection can be used again.
    pub(super) fn end(&mut self) {
        self.must_close = false;
    }

    /// Looks at an answer that `within` gave, before it is used.
    pub(super) fn settle<T>(&mut self, answer: Result<Result<T, Error>, Elapsed>) -> Result<T, Fault> {
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.examine(&error);
                Err(Fault::Database(error))
            }
            Err(_) => {
                // Nobody must wait behind it.
                self.must_close = true;
                Err(Fault::Store(StoreError::Unavailable("the database did not answer in time".into())))
            }
        }
    }

    /// Looks at an error in case it speaks of the connection, or of all of them.
    pub(super) fn examine(&mut self, error: &Error) {
        self.must_close |= is_broken(error);
        if empties_pool(error) {
            self.must_close = true;
            self.pool.0.manager().generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Waits for an answer for a bounded time.
pub(super) async fn within<T>(query: impl Future<Output = Result<T, Error>>) -> Result<Result<T, Error>, Elapsed> {
    timeout(Duration::from_millis(DATABASE_ANSWER_MS_MAX), query).await
}

impl std::ops::Deref for Lease {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "it is taken out only by what consumes the lease")]
    fn deref(&self) -> &Connection {
        self.object.as_ref().expect("a lease holds its connection")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.must_close {
            return;
        }
        let Some(object) = self.object.take() else { return };
        let connection = Object::take(object);
        let (cancel, tls) = (connection.client.cancel_token(), self.pool.0.manager().target.tls.clone());
        let task = connection.task;
        let Some(runtime) = tokio::runtime::Handle::try_current().ok().filter(|_| !self.is_committing) else { return task.abort() };
        runtime.spawn(async move {
            let limit = Duration::from_millis(DATABASE_CONNECT_MS_MAX);
            // Where it does not reach the server, the statement's own time limit ends it. The connection must still be there: a pooler
            // forgets whom to cancel with it.
            let _ = timeout(limit, cancel.cancel_query(tls)).await;
            task.abort();
        });
    }
}

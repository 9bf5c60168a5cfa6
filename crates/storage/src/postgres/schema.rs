//! The tables: numbered migrations, run or checked by whoever connects first. An advisory lock on the same connection makes ten nodes
//! that start at once wait for each other.

use std::time::{Duration, Instant};

use kvstore_types::limits::{DATABASE_MIGRATION_LOOK_MS, DATABASE_MIGRATION_WAIT_MS_MAX};
use refinery_core::{Migration, Runner, error::Kind};
use tokio_postgres::{Client, error::SqlState, types::Type};

use super::{PostgresConfig, error::told, pooling::Pooling, target::Target};
use crate::OpenError;

/// Every migration: what was released is never changed, only followed.
const MIGRATIONS: &[(&str, &str)] =
    &[("V1__entries", include_str!("migrations/V1__entries.sql")), ("V2__fence", include_str!("migrations/V2__fence.sql"))];

/// Any number that no other program is likely to lock: "kvstore" in ASCII.
const LOCK: i64 = 0x006b_7673_746f_7265;

/// What a node does about missing tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrate {
    /// It makes them.
    #[default]
    Run,
    /// It refuses to start without them: somebody else makes them, by `kvstore migrate`.
    Check,
}

/// The tables are not what this version works on.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("the database has schema {found}; this version of kvstore knows up to {known}: use a newer kvstore")]
    Newer { found: i32, known: i32 },
    #[error("the database has schema {found}, and this version of kvstore needs {known}: run kvstore migrate")]
    Older { found: i32, known: i32 },
    #[error("the schema of the database can't be changed: {0}; let a role that may create tables run kvstore migrate")]
    Refused(String),
    #[error("the schema of the database can't be changed: {0}")]
    Failed(String),
    /// The connection broke; worth another attempt.
    #[error("{0}")]
    Broken(String),
}

fn runner() -> Result<Runner, SchemaError> {
    let migrations = MIGRATIONS.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect::<Result<Vec<_>, _>>();
    Ok(Runner::new(&migrations.map_err(|error| SchemaError::Failed(error.to_string()))?))
}

/// The schema that this version needs.
pub(super) fn known() -> i32 {
    runner().map(|runner| newest(&runner)).unwrap_or_default()
}

fn newest(runner: &Runner) -> i32 {
    runner.get_migrations().iter().map(Migration::version).max().unwrap_or_default()
}

/// The schema that the database has; 0 for none.
pub(super) async fn found(client: &Client) -> Result<i32, SchemaError> {
    match client.query_typed_one("SELECT coalesce(max(version), 0) FROM refinery_schema_history", &[]).await {
        Ok(row) => row.try_get(0).map_err(|error| SchemaError::Failed(told(&error))),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &tokio_postgres::Error) -> SchemaError {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => SchemaError::Refused(told(error)),
        Some(code) if !code.code().starts_with("57") => SchemaError::Failed(told(error)),
        _ => SchemaError::Broken(told(error)),
    }
}

/// Connects, and makes sure that the tables are those of this version. Says how many migrations ran.
pub(crate) async fn migrate(config: PostgresConfig) -> Result<usize, OpenError> {
    let database = |error: &dyn std::fmt::Display| OpenError::Database(error.to_string());
    let (mut client, connection) = config.target.connect().await.map_err(|error| database(&told(&error)))?;
    let driven = tokio::spawn(connection);
    let ran = ensure(&mut client, Migrate::Run, &config.target, config.pooling).await.map_err(|error| database(&error));
    driven.abort();
    ran
}

/// Makes sure that the tables are those of this version. Says how many migrations ran.
pub(super) async fn ensure(client: &mut Client, migrate: Migrate, target: &Target, pooling: Pooling) -> Result<usize, SchemaError> {
    let runner = runner()?;
    let known = newest(&runner);
    match found(client).await? {
        same if same == known => return Ok(0),
        newer if newer > known => return Err(SchemaError::Newer { found: newer, known }),
        older if migrate == Migrate::Check => return Err(SchemaError::Older { found: older, known }),
        _ => {}
    }
    let lock = Lock::take(client, target, pooling).await?;
    // Each migration is a transaction of its own: what breaks off leaves those before it, and is gone on with.
    let run = runner.run_async(client).await;
    let unlocked = lock.release(client).await;
    let report = run.map_err(|error| match error.kind() {
        Kind::Connection(_, cause) => match cause.downcast_ref::<tokio_postgres::Error>() {
            Some(cause) => failed(cause),
            None => SchemaError::Failed(error.to_string()),
        },
        _ => SchemaError::Failed(error.to_string()),
    })?;
    unlocked?;
    Ok(report.applied_migrations().len())
}

/// The lock under which migrations run. Both kinds keep each other out.
pub(super) enum Lock {
    /// Held by the session that runs them.
    Session,
    /// Held by a transaction on a connection of its own, where sessions are shared.
    Transaction(Client, tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>),
}

impl Lock {
    pub(super) async fn take(client: &Client, target: &Target, pooling: Pooling) -> Result<Self, SchemaError> {
        let number = [(&LOCK as _, Type::INT8)];
        if pooling == Pooling::Session {
            client.execute_typed("SELECT pg_advisory_lock($1)", &number).await.map_err(|error| failed(&error))?;
            return Ok(Self::Session);
        }
        let (holder, connection) = target.connect().await.map_err(|error| failed(&error))?;
        let driven = tokio::spawn(connection);
        let deadline = Instant::now() + Duration::from_millis(DATABASE_MIGRATION_WAIT_MS_MAX);
        while !try_lock(&holder).await.map_err(|error| failed(&error))? {
            // Whoever waits leaves the pooler's connection to whoever works.
            if Instant::now() > deadline {
                return Err(SchemaError::Broken("another node takes long to change the tables".into()));
            }
            tokio::time::sleep(Duration::from_millis(DATABASE_MIGRATION_LOOK_MS)).await;
        }
        Ok(Self::Transaction(holder, driven))
    }

    pub(super) async fn release(self, client: &Client) -> Result<(), SchemaError> {
        match self {
            Self::Session => {
                let unlocked = client.execute_typed("SELECT pg_advisory_unlock($1)", &[(&LOCK, Type::INT8)]).await;
                unlocked.map(drop).map_err(|error| failed(&error))
            }
            Self::Transaction(holder, driven) => {
                let ended = holder.batch_execute("COMMIT").await.map_err(|error| failed(&error));
                driven.abort();
                ended
            }
        }
    }
}

/// Begins a transaction that holds the lock; `false` where another one does.
async fn try_lock(holder: &Client) -> Result<bool, tokio_postgres::Error> {
    holder.batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0").await?;
    let row = holder.query_typed_one("SELECT pg_try_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    let is_ours: bool = row.try_get(0)?;
    if !is_ours {
        holder.batch_execute("ROLLBACK").await?;
    }
    Ok(is_ours)
}

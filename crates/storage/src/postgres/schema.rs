//! The tables: numbered migrations, run or checked by whoever connects first. An advisory lock on the same connection makes ten nodes
//! that start at once wait for each other.

use refinery_core::{Migration, Runner, error::Kind};
use tokio_postgres::{Client, NoTls, error::SqlState};

use super::{PostgresConfig, error::told};
use crate::OpenError;

/// Every migration: what was released is never changed, only followed.
const MIGRATIONS: &[(&str, &str)] =
    &[("V1__entries", include_str!("migrations/V1__entries.sql")), ("V2__fence", include_str!("migrations/V2__fence.sql"))];

/// Any number that no other program is likely to lock: "kvstore" in ASCII.
pub(super) const LOCK: i64 = 0x006b_7673_746f_7265;

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

/// The schema that the database has; 0 for none.
async fn found(client: &Client) -> Result<i32, SchemaError> {
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
    let (mut client, connection) = config.database.connect(NoTls).await.map_err(|error| database(&told(&error)))?;
    let driven = tokio::spawn(connection);
    let ran = ensure(&mut client, Migrate::Run).await.map_err(|error| database(&error));
    driven.abort();
    ran
}

/// Makes sure that the tables are those of this version. Says how many migrations ran.
pub(super) async fn ensure(client: &mut Client, migrate: Migrate) -> Result<usize, SchemaError> {
    let runner = runner()?;
    let known = runner.get_migrations().iter().map(Migration::version).max().unwrap_or_default();
    match found(client).await? {
        same if same == known => return Ok(0),
        newer if newer > known => return Err(SchemaError::Newer { found: newer, known }),
        older if migrate == Migrate::Check => return Err(SchemaError::Older { found: older, known }),
        _ => {}
    }
    client.execute_typed("SELECT pg_advisory_lock($1)", &[(&LOCK, tokio_postgres::types::Type::INT8)]).await.map_err(|e| failed(&e))?;
    // Each migration is a transaction of its own: what breaks off leaves those before it, and is gone on with.
    let run = runner.run_async(client).await;
    let unlocked = client.execute_typed("SELECT pg_advisory_unlock($1)", &[(&LOCK, tokio_postgres::types::Type::INT8)]).await;
    let report = run.map_err(|error| match error.kind() {
        Kind::Connection(_, cause) => match cause.downcast_ref::<tokio_postgres::Error>() {
            Some(cause) => failed(cause),
            None => SchemaError::Failed(error.to_string()),
        },
        _ => SchemaError::Failed(error.to_string()),
    })?;
    unlocked.map_err(|error| failed(&error))?;
    Ok(report.applied_migrations().len())
}

//! What a database says of itself, for people who look for what is wrong. Nothing is changed.

use std::time::{Duration, Instant};

use kvstore_types::limits::DATABASE_CONNECT_MS_MAX;
use tokio::time::timeout;
use tokio_postgres::{Client, Error};

use super::{
    PostgresConfig,
    error::told,
    schema::{SchemaError, found, known},
};
use crate::OpenError;

/// How a database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// The server's version, for people.
    pub server_version: String,
    /// The same as a number: 150018 is 15.18.
    pub server_number: i64,
    /// The role.
    pub role: String,
    /// How long a question took.
    pub took: Duration,
    /// The server's clock in microseconds since 1970.
    pub now_micros: i64,
    /// How long ago that was read, at most.
    pub age: Duration,
    /// Connections that the server takes.
    pub connections_max: i64,
    /// Of these, those that are kept for superusers.
    pub connections_reserved: i64,
    /// Connections that it has.
    pub connections_used: i64,
    /// The settings of these names.
    pub synchronous_commit: String,
    /// Whether the server waits for the disk at all.
    pub fsync: String,
    /// Whether a torn page can be mended.
    pub full_page_writes: String,
    /// Whether the role may make tables.
    pub may_create: bool,
    /// Rights on the tables that the role lacks, such as `INSERT on kv`.
    pub missing: Vec<String>,
    /// The schema that the database has, 0 for none, or why it can't be told.
    pub schema: Result<i32, String>,
    /// The schema that this version needs.
    pub schema_known: i32,
}

/// Connects and asks.
///
/// # Errors
/// It can't be reached, refuses, or is no PostgreSQL.
pub(crate) async fn examine(config: &PostgresConfig) -> Result<DatabaseFacts, OpenError> {
    let limit = Duration::from_millis(DATABASE_CONNECT_MS_MAX);
    let asked = timeout(limit, async {
        let (client, connection) = config.target.connect().await?;
        let driven = tokio::spawn(connection);
        let facts = ask(&client).await;
        driven.abort();
        facts
    });
    let answer = asked.await.map_err(|_| OpenError::Database(format!("it does not answer within {} s", limit.as_secs())))?;
    answer.map_err(|error| OpenError::Database(told(&error)))
}

async fn ask(client: &Client) -> Result<DatabaseFacts, Error> {
    // The first question on a connection takes longer, and the difference between the clocks is to be known well.
    client.query_typed("SELECT 1", &[]).await?;
    let start = Instant::now();
    let row = client.query_typed_one(include_str!("sql/examine.sql"), &[]).await?;
    let received = Instant::now();
    let schema = found(client).await.map_err(|error: SchemaError| error.to_string());
    Ok(DatabaseFacts {
        server_version: row.try_get("server_version")?,
        server_number: row.try_get("server_number")?,
        role: row.try_get("role")?,
        took: received - start,
        now_micros: row.try_get("now")?,
        age: start.elapsed(),
        connections_max: row.try_get("connections_max")?,
        connections_reserved: row.try_get("connections_reserved")?,
        connections_used: row.try_get("connections_used")?,
        synchronous_commit: row.try_get("synchronous_commit")?,
        fsync: row.try_get("fsync")?,
        full_page_writes: row.try_get("full_page_writes")?,
        may_create: row.try_get("may_create")?,
        missing: row.try_get("missing")?,
        schema,
        schema_known: known(),
    })
}

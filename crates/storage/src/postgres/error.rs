//! What an error of the database means for a caller.

use std::error::Error as _;

use deadpool::managed::{PoolError, TimeoutType};
use tokio_postgres::{Error, error::SqlState};

use super::{schema::SchemaError, tls::refusal};
use crate::StoreError;

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The database can't be reached, or refused.
    #[error("{}", told(.0))]
    Database(#[from] Error),
    /// Its tables are not what this version works on.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// An error with its cause: by itself it often says no more than "db error".
pub(super) fn told(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        if is_of_pooler(db.code()) {
            return format!("{}: a pooler in transaction mode stands before it; say --database-pooling transaction", db.message());
        }
        return format!("{} ({})", db.message(), db.code().code());
    }
    if let Some(refusal) = refusal(error) {
        return refusal;
    }
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Whether prepared statements are not where they were left.
fn is_of_pooler(code: &SqlState) -> bool {
    [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT].contains(code)
}

/// Whether the connection is of no more use.
pub(super) fn is_broken(error: &Error) -> bool {
    match error.code() {
        Some(code) => is_from_ending_server(code),
        // Neither the server nor the codec said it: the socket did.
        None => error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()),
    }
}

fn is_from_ending_server(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW, SqlState::IDLE_SESSION_TIMEOUT].contains(code)
        || code.code().starts_with("08")
        || *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
}

/// Whether all connections lead to a server that no longer takes writes, or is about to end.
pub(super) fn empties_pool(error: &Error) -> bool {
    error.code().is_some_and(|code| [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::ADMIN_SHUTDOWN].contains(code))
}

/// Whether evaluating anew may succeed: a serialization failure, a deadlock, a row that was held too long.
pub(super) fn is_conflict(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("40") || *code == SqlState::LOCK_NOT_AVAILABLE)
}

/// The error of a statement that certainly changed nothing that lasts.
pub(super) fn not_applied(error: &Error) -> StoreError {
    let Some(code) = error.code() else { return StoreError::Unavailable(told(error)) };
    let unavailable = [
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::QUERY_CANCELED,
        SqlState::DISK_FULL,
        SqlState::OUT_OF_MEMORY,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::UNDEFINED_TABLE,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    if is_conflict(error) {
        StoreError::Overloaded("other writes change the same keys all the time")
    } else if is_from_ending_server(code) || is_of_pooler(code) || unavailable.contains(code) {
        StoreError::Unavailable(told(error))
    } else {
        StoreError::Read(told(error))
    }
}

/// No connection could be had.
pub(super) fn no_connection(error: PoolError<ConnectError>) -> StoreError {
    match error {
        PoolError::Timeout(TimeoutType::Wait) => StoreError::Overloaded("all connections to the database are in use"),
        PoolError::Timeout(_) => StoreError::Unavailable("the database does not answer".into()),
        PoolError::Backend(error) => StoreError::Unavailable(error.to_string()),
        PoolError::Closed => StoreError::Stopping,
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => StoreError::Unavailable(error.to_string()),
    }
}

/// Why statements came to nothing, before any commit was sent.
pub(super) enum Fault {
    Database(Error),
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    pub(super) fn told(self) -> StoreError {
        match self {
            Self::Database(error) => not_applied(&error),
            Self::Store(error) => error,
        }
    }

    /// Whether the same read may succeed on another connection.
    pub(super) fn is_broken_connection(&self) -> bool {
        matches!(self, Self::Database(error) if is_broken(error))
    }

    /// Whether a statement failed, and nothing else: its connection is whole.
    pub(super) fn is_of_statement(&self) -> bool {
        matches!(self, Self::Database(error) if error.code().is_some() && !is_broken(error) && !empties_pool(error))
    }

    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Database(error) if is_conflict(error))
    }
}

//! `Pooling`: whether a connection leads to one process of the server for as long as it lasts, or to any for each transaction, as it does
//! behind PgBouncer in transaction mode. There nothing may rest on the session: no prepared statements, no settings, no locks.
//!
//! So whatever may wait for rows is a transaction there, which holds the limits (`Connection::limited`). A plain read stands alone: only a
//! change of the tables can hold it up, and it is cancelled once its answer is no longer waited for.

use std::{fmt, str::FromStr, sync::LazyLock};

use kvstore_types::limits::{DATABASE_IDLE_MS_MAX, DATABASE_LOCK_MS_MAX, DATABASE_STATEMENT_MS_MAX};

/// How long the server's side of a connection is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pooling {
    /// As long as the connection: there is no pooler, or one in session mode.
    #[default]
    Session,
    /// For a transaction.
    Transaction,
}

/// The text names neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pooling is `session` or `transaction`")]
pub struct PoolingError;

impl Pooling {
    /// Its name in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Pooling {
    type Err = PoolingError;

    fn from_str(text: &str) -> Result<Self, PoolingError> {
        [Self::Session, Self::Transaction].into_iter().find(|pooling| pooling.as_str() == text).ok_or(PoolingError)
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One snapshot for several reads.
    Snapshot,
    /// Writing, so its commit waits for the disk.
    Write,
}

impl Pooling {
    /// The statements that begin a transaction, in one message. Where the session can't hold its limits, the transaction does.
    pub(super) fn begin(self, purpose: Purpose) -> &'static str {
        static LIMITED: LazyLock<[String; 2]> = LazyLock::new(|| {
            let limits = format!(
                "SET LOCAL statement_timeout = {DATABASE_STATEMENT_MS_MAX}; SET LOCAL lock_timeout = {DATABASE_LOCK_MS_MAX}; \
                 SET LOCAL idle_in_transaction_session_timeout = {DATABASE_IDLE_MS_MAX}"
            );
            // No snapshot is taken by SET, and one is by SELECT.
            let durable = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";
            [format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {limits}"), format!("BEGIN; {limits}; {durable}")]
        });
        let [snapshot, write] = &*LIMITED;
        match (self, purpose) {
            (Self::Session, Purpose::Snapshot) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            (Self::Session, Purpose::Write) => "BEGIN",
            (Self::Transaction, Purpose::Snapshot) => snapshot,
            (Self::Transaction, Purpose::Write) => write,
        }
    }
}

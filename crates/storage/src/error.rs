//! Errors of the data tier. Each variant tells the caller what to do; what went wrong inside stays in the message for the log.

use std::path::PathBuf;

use kvstore_types::DecodeError;

/// A call to a store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A queue is full or the wait for a turn was too long. Not applied: try again later.
    #[error("the store is overloaded: {0}")]
    Overloaded(&'static str),
    /// The store can't serve now, but may again. Not applied: try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store is shutting down. Not applied: try another node, or later.
    #[error("the store is shutting down")]
    Stopping,
    /// Free disk space is below the floor. Not applied: deletes are still taken.
    #[error("free disk space is below {floor_bytes} bytes")]
    NoSpace {
        /// The floor.
        floor_bytes: u64,
    },
    /// The data was opened for reading only, on a disk without any room. Not applied: make room and restart.
    #[error("the data was opened for reading only, since the disk was full")]
    ReadOnly,
    /// The write may have been applied or not: read before repeating it, or repeat it under its idempotency key.
    #[error("the outcome of the write is unknown: {0}")]
    Unknown(String),
    /// Stored bytes are damaged. A write that met them was not applied.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// Reading failed. A write that met it was not applied.
    #[error("reading failed: {0}")]
    Read(String),
    /// A consistent copy could not be made. Nothing else has changed.
    #[error("a copy of the data could not be made: {0}")]
    Checkpoint(String),
    /// This store can't do that at all: use what the reason names.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
}

impl StoreError {
    /// Whether a write that got this error certainly had no effect.
    #[must_use]
    pub const fn is_not_applied(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Whether the same request may succeed later and repeating it is safe.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Overloaded(_) | Self::Unavailable(_) | Self::Stopping)
    }
}

/// A call to an engine failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The answer is not in memory: ask again from a blocking thread.
    #[error("the read would have to wait for the disk")]
    WouldBlock,
    /// A stored record is damaged.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// A read failed.
    #[error("reading failed: {0}")]
    Read(String),
    /// A write or sync failed.
    #[error("writing failed: {0}")]
    Write(String),
}

impl From<DecodeError> for EngineError {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::WouldBlock => Self::Read(error.to_string()),
            EngineError::Damaged(detail) => Self::Damaged(detail),
            EngineError::Read(detail) => Self::Read(detail),
            EngineError::Write(detail) => Self::Unknown(detail),
        }
    }
}

/// A store can't be opened. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the data directory.
    #[error("the data directory {0} is in use by another process; stop it, or choose another with --data-dir")]
    InUse(PathBuf),
    /// The directory can't be made or written.
    #[error("the data directory {path} can't be used: {reason}; choose another with --data-dir")]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The directory holds something else.
    #[error("{0} holds files, but not a kvstore data directory; choose an empty or a new directory with --data-dir")]
    NotOurs(PathBuf),
    /// The directory was to be empty.
    #[error("{0} holds data already; choose an empty or a new directory with --data-dir")]
    HoldsData(PathBuf),
    /// It was written by a newer version.
    #[error("the data directory {path} has format {found}; this version reads up to {known}: use a newer kvstore")]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// The data is damaged in a way that must not be passed over.
    #[error("the data is damaged: {0}; restore a backup, or move the directory aside to start empty")]
    Damaged(String),
    /// The database can't be used.
    #[error("{0}")]
    Database(String),
    /// Redis can't be used as it was given.
    #[error("the cache can't be used: {0}; correct REDIS_URL, or leave it out to serve without a cache")]
    Cache(String),
    /// Anything else.
    #[error("the data directory can't be opened: {0}")]
    Other(String),
}

//! Errors of the service tier: what a door has to tell its caller.

use kvstore_storage::StoreError;

/// An operation was refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServiceError {
    /// A value is over the limit; `item` is its position in a batch.
    #[error("the value has {bytes} bytes; the limit is {limit} (max_value_bytes)")]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
        /// Its position in a batch.
        item: Option<usize>,
    },
    /// A read names too many keys.
    #[error("the read names {keys} keys; the limit is {}", kvstore_types::limits::READ_KEYS_MAX)]
    TooManyKeys {
        /// How many.
        keys: usize,
    },
    /// The idempotency key was used before with another payload.
    #[error("this idempotency key was used before with another payload; send a new key with a new request")]
    IdempotencyMismatch,
    /// No room for the request now. Certainly not applied.
    #[error("the server is overloaded: {0}; try again later")]
    Overloaded(&'static str),
    /// A backup is being made already.
    #[error("a backup is under way already; wait for its end, or end its client")]
    BackupUnderWay,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServiceError {
    /// Whether a write that got this error certainly had no effect.
    #[must_use]
    pub const fn is_not_applied(&self) -> bool {
        match self {
            Self::Store(error) => error.is_not_applied(),
            _ => true,
        }
    }

    /// Whether the same request may succeed later and repeating it is safe.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Overloaded(_) => true,
            _ => false,
        }
    }
}

impl ServiceError {
    /// A store answered a write with an outcome that the write can't have.
    pub(crate) fn broken_outcome() -> Self {
        Self::Store(StoreError::Unknown("the store answered with an outcome of another kind of write".into()))
    }
}

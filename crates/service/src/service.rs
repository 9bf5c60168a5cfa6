//! `Service`: the operations' common ground.

use std::sync::Arc;

use kvstore_storage::{Budget, Reservation, Store};
use kvstore_types::{Consistency, FailedCondition, Outcome, Revision, WriteBatch, limits};
use tokio::sync::Semaphore;

use crate::{OtherNodes, ServiceError};

/// Limits that settings can change.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a value, at most.
    pub value_bytes_max: usize,
    /// Bytes of a request body, at most.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value_bytes_max: limits::VALUE_BYTES_MAX_DEFAULT, body_bytes_max: limits::BODY_BYTES_MAX_DEFAULT }
    }
}

/// The operations over one store. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) store: Arc<dyn Store>,
    budget: Budget,
    limits: Limits,
    /// Turns for backups: there is one.
    pub(crate) backups: Arc<Semaphore>,
    pub(crate) others: OtherNodes,
}

impl Service {
    /// The operations over this store, within this byte budget.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, budget: Budget, limits: Limits) -> Self {
        Self { store, budget, limits, backups: Arc::new(Semaphore::new(1)), others: OtherNodes::default() }
    }

    /// The same, with other nodes that health tells of.
    #[must_use]
    pub fn beside(self, others: OtherNodes) -> Self {
        Self { others, ..self }
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The byte budget for what is in flight.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Takes bytes out of the budget for a body or an answer.
    ///
    /// # Errors
    /// None are left: the caller should come back later.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, ServiceError> {
        self.budget.reserve(bytes).ok_or(ServiceError::Overloaded("the memory for requests in flight is used up"))
    }

    /// For a stale read: the revision up to which it shows all changes, where the store can tell one.
    pub(crate) fn applied(&self, consistency: Consistency) -> Option<Revision> {
        (consistency == Consistency::Stale && self.tells_applied()).then(|| self.store.applied_revision())
    }

    /// Whether a stale read has a revision up to which it shows all changes.
    #[must_use]
    pub fn tells_applied(&self) -> bool {
        self.store.capabilities().store_wide_order
    }

    pub(crate) fn check_value(&self, bytes: usize, item: Option<usize>) -> Result<(), ServiceError> {
        if bytes <= self.limits.value_bytes_max {
            return Ok(());
        }
        Err(ServiceError::ValueTooLarge { bytes, limit: self.limits.value_bytes_max, item })
    }

    /// Hands a batch to the store and sorts what can come back.
    pub(crate) async fn write(&self, batch: &Arc<WriteBatch>) -> Result<Written, ServiceError> {
        match self.store.write(Arc::clone(batch)).await? {
            Outcome::Applied(applied) => Ok(Written::Applied(applied)),
            Outcome::Unchanged => Ok(Written::Unchanged),
            Outcome::ConditionFailed(failed) => Ok(Written::ConditionFailed(failed)),
            Outcome::IdempotencyMismatch => Err(ServiceError::IdempotencyMismatch),
        }
    }
}

pub(crate) enum Written {
    Applied(kvstore_types::Applied),
    Unchanged,
    ConditionFailed(Vec<FailedCondition>),
}

//! Delete one key.

use std::sync::Arc;

use kvstore_types::{Condition, Header, IdempotencyKey, Item, Key, Mutation, WriteBatch};

use crate::{Service, ServiceError, service::Written};

/// A delete.
#[derive(Debug, Clone)]
pub struct DeleteValue {
    /// The key.
    pub key: Key,
    /// What must hold for the delete.
    pub condition: Option<Condition>,
    /// The key under which a repeat is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What became of a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// The key was there and is absent now.
    Deleted {
        /// Whether this is the answer to an earlier request again.
        replayed: bool,
    },
    /// The key was absent.
    Absent,
    /// The condition did not hold; the entry as it is, if the key is there.
    ConditionFailed(Option<Header>),
}

impl Service {
    /// Deletes a key.
    ///
    /// # Errors
    /// The idempotency key does not fit, or the store failed.
    pub async fn delete_value(&self, delete: DeleteValue) -> Result<DeleteAnswer, ServiceError> {
        let item = Item { key: delete.key, mutation: Mutation::Delete, condition: delete.condition };
        let batch = Arc::new(WriteBatch::one(item, delete.idempotency_key));
        Ok(match self.write(&batch).await? {
            Written::Applied(applied) => DeleteAnswer::Deleted { replayed: applied.replayed },
            Written::Unchanged => DeleteAnswer::Absent,
            Written::ConditionFailed(failed) => DeleteAnswer::ConditionFailed(failed.first().and_then(|failed| failed.current)),
        })
    }
}

//! Put many values, all or nothing.

use std::sync::Arc;

use kvstore_types::{Entry, FailedCondition, Mutation, Revision, WriteBatch};

use crate::{Service, ServiceError, service::Written};

/// A batch of puts that was checked already; see [`WriteBatch::new`].
#[derive(Debug, Clone)]
pub struct BatchPut(pub WriteBatch);

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchAnswer {
    /// All values are stored.
    Stored {
        /// The batch's revision.
        revision: Revision,
        /// The entries in the order of the items.
        entries: Vec<Entry>,
        /// Whether this is the answer to an earlier request again.
        replayed: bool,
    },
    /// Conditions that did not hold; nothing was stored.
    ConditionFailed(Vec<FailedCondition>),
}

impl Service {
    /// Stores many values, all or nothing.
    ///
    /// # Errors
    /// A value is over the limit, the idempotency key does not fit, or the store failed.
    pub async fn batch_put(&self, BatchPut(batch): BatchPut) -> Result<BatchAnswer, ServiceError> {
        for (index, item) in batch.items().iter().enumerate() {
            if let Mutation::Put { value, .. } = &item.mutation {
                self.check_value(value.len(), Some(index))?;
            }
        }
        let batch = Arc::new(batch);
        match self.write(&batch).await? {
            Written::Applied(applied) => {
                let entries = batch.items().iter().zip(applied.items).filter_map(|(item, outcome)| match &item.mutation {
                    Mutation::Put { value, .. } => {
                        outcome.header.map(|header| Entry { key: item.key.clone(), header, value: Some(value.clone()) })
                    }
                    Mutation::Delete => None,
                });
                Ok(BatchAnswer::Stored { revision: applied.revision, entries: entries.collect(), replayed: applied.replayed })
            }
            Written::ConditionFailed(failed) => Ok(BatchAnswer::ConditionFailed(failed)),
            Written::Unchanged => Err(ServiceError::broken_outcome()),
        }
    }
}

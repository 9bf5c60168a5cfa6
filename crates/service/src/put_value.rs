//! Put one value.

use std::sync::Arc;

use bytes::Bytes;
use kvstore_types::{Condition, Entry, Header, IdempotencyKey, Item, Key, Kind, Mutation, Ttl, WriteBatch};

use crate::{Service, ServiceError, service::Written};

/// A put.
#[derive(Debug, Clone)]
pub struct PutValue {
    /// The key.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// When it expires; without it an earlier expiry is cleared.
    pub ttl: Option<Ttl>,
    /// What must hold for the put.
    pub condition: Option<Condition>,
    /// The key under which a repeat is recognised.
    pub idempotency_key: Option<IdempotencyKey>,
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutAnswer {
    /// The value is stored.
    Stored {
        /// The entry as it is now.
        entry: Entry,
        /// Whether the key was absent before.
        created: bool,
        /// Whether this is the answer to an earlier request again.
        replayed: bool,
    },
    /// The condition did not hold; the entry as it is, if the key is there.
    ConditionFailed(Option<Header>),
}

impl Service {
    /// Stores a value under a key.
    ///
    /// # Errors
    /// The value is over the limit, the idempotency key does not fit, or the store failed.
    pub async fn put_value(&self, put: PutValue) -> Result<PutAnswer, ServiceError> {
        self.check_value(put.value.len(), None)?;
        let mutation = Mutation::Put { value: put.value.clone(), ttl: put.ttl };
        let item = Item { key: put.key.clone(), mutation, condition: put.condition };
        let batch = Arc::new(WriteBatch::one(item, put.idempotency_key));
        match self.write(&batch).await? {
            Written::Applied(applied) => {
                let stored = applied.items.first().and_then(|item| item.header.map(|header| (item.kind, header)));
                let (kind, header) = stored.ok_or_else(ServiceError::broken_outcome)?;
                let entry = Entry { key: put.key, header, value: Some(put.value) };
                Ok(PutAnswer::Stored { entry, created: kind == Kind::Created, replayed: applied.replayed })
            }
            Written::ConditionFailed(failed) => Ok(PutAnswer::ConditionFailed(failed.first().and_then(|failed| failed.current))),
            Written::Unchanged => Err(ServiceError::broken_outcome()),
        }
    }
}

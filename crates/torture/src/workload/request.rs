//! Sending one journalled request, in the shape of request that its writes call for.

use anyhow::Context as _;
use bytes::Bytes;
use kvstore_client::{BatchItem, Client, ClientError, DeleteOptions, PutOptions};
use kvstore_types::{Condition, IdempotencyKey, Key, Revision, Ttl};

use crate::journal::{Change, Op};

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answered {
    /// 0 for a delete.
    pub(crate) revision: u64,
    /// A put made the key; a delete found it.
    pub(crate) created: bool,
    pub(crate) replayed: bool,
}

/// Sends it and reads the answer.
pub(crate) async fn send(client: &Client, op: &Op) -> Result<Answered, ClientError> {
    let idempotency = op.idempotency.as_deref().and_then(|name| IdempotencyKey::new(name).ok());
    let condition = op.if_match.map(|revision| Condition::Revision(Revision(revision)));
    match op.writes.as_slice() {
        [write] => {
            let key = key(&write.key)?;
            match write.change {
                Change::Delete => {
                    let created = client.delete(&key, &DeleteOptions { condition, idempotency }).await?;
                    Ok(Answered { revision: 0, created, replayed: false })
                }
                Change::Put { .. } => {
                    let options = PutOptions { ttl: ttl(write.change), condition, idempotency };
                    let answer = client.put(&key, op.value(0).unwrap_or_default(), &options).await?;
                    Ok(Answered { revision: answer.entry.revision.0, created: answer.created, replayed: answer.replayed })
                }
            }
        }
        writes => {
            let item = |(item, write): (usize, &crate::journal::Write)| -> Result<BatchItem, ClientError> {
                let value = op.value(item).unwrap_or_default();
                Ok(BatchItem { key: key(&write.key)?, value, ttl: ttl(write.change), condition: None })
            };
            let items: Vec<BatchItem> = writes.iter().enumerate().map(item).collect::<Result<_, _>>()?;
            let answer = client.batch(&items, idempotency.as_ref()).await?;
            Ok(Answered { revision: answer.revision.0, created: false, replayed: answer.replayed })
        }
    }
}

/// Stores one value outside of any journal.
pub(crate) async fn put(client: &Client, name: &str, value: Bytes) -> Result<(), ClientError> {
    client.put(&key(name)?, value, &PutOptions::default()).await.map(|_| ())
}

/// Stores a batch of short values outside of any journal.
pub(crate) async fn batch(client: &Client, names: &[String]) -> Result<(), ClientError> {
    let item = |name: &String| Ok(BatchItem { key: key(name)?, value: Bytes::from_static(b"batched"), ttl: None, condition: None });
    let items: Vec<BatchItem> = names.iter().map(item).collect::<Result<_, ClientError>>()?;
    client.batch(&items, None).await.map(|_| ())
}

/// Reads one value.
pub(crate) async fn get(client: &Client, name: &str) -> anyhow::Result<Option<Bytes>> {
    let entry = client.get_raw(&key(name)?).await.with_context(|| format!("reading {name}"))?;
    Ok(entry.map(|entry| entry.value))
}

/// Deletes one key; false if it was absent.
pub(crate) async fn delete(client: &Client, name: &str) -> Result<bool, ClientError> {
    client.delete(&key(name)?, &DeleteOptions::default()).await
}

fn key(name: &str) -> Result<Key, ClientError> {
    Key::new(name).map_err(|error| ClientError::BadAnswer(format!("the load made a bad key: {error}")))
}

fn ttl(change: Change) -> Option<Ttl> {
    match change {
        Change::Put { ttl: Some(ttl), .. } => Ttl::from_seconds(ttl.as_secs()).ok(),
        Change::Put { ttl: None, .. } | Change::Delete => None,
    }
}

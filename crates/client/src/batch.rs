//! Storing many values, all or nothing.

use std::borrow::Cow;

use bytes::Bytes;
use kvstore_types::{Condition, IdempotencyKey, Key, Revision, Ttl};
use serde::{Deserialize, Serialize};

use crate::{
    Client, ClientError, EncodedItems,
    entry::wire_value,
    put::with_conditions,
    send::{Pass, Repeat},
};

/// One value of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// Its key; each occurs once in a batch.
    pub key: Key,
    /// The value.
    pub value: Bytes,
    /// When it expires.
    pub ttl: Option<Ttl>,
    /// What must hold of the key.
    pub condition: Option<Condition>,
}

/// A batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchAnswer {
    /// How many entries it holds.
    pub count: usize,
    /// The revision that they share.
    pub revision: Revision,
    /// Whether this is the answer to an earlier request under the same idempotency key.
    pub replayed: bool,
}

#[derive(Serialize)]
struct WireBatch<'a> {
    items: Vec<WireItem<'a>>,
}

#[derive(Serialize)]
struct WireItem<'a> {
    key: &'a str,
    value: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_none_match: Option<&'static str>,
}

#[derive(Deserialize)]
struct WireAnswer {
    count: usize,
    revision: u64,
}

impl<'a> From<&'a BatchItem> for WireItem<'a> {
    fn from(item: &'a BatchItem) -> Self {
        let (value, encoding) = wire_value(&item.value);
        let (if_match, if_none_match) = match item.condition {
            Some(Condition::Revision(revision)) => (Some(format!("\"{revision}\"")), None),
            Some(Condition::Present) => (Some("*".into()), None),
            Some(Condition::Absent) => (None, Some("*")),
            None => (None, None),
        };
        Self { key: item.key.as_str(), value, encoding, ttl: item.ttl.map(Ttl::as_seconds), if_match, if_none_match }
    }
}

impl BatchItem {
    /// Appends the item in its wire form; see [`EncodedItems`].
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // Texts and numbers always have a JSON form, and writing to a Vec can't fail.
        let _ = serde_json::to_writer(out, &WireItem::from(self));
    }
}

impl Client {
    /// Stores many values, all or nothing.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::outcome`] tells whether the batch may have taken effect.
    pub async fn batch(&self, items: &[BatchItem], idempotency: Option<&IdempotencyKey>) -> Result<BatchAnswer, ClientError> {
        self.send_batch(encode(items)?, items.len(), idempotency).await
    }

    /// Stores many values, all or nothing, that are in their wire form already.
    ///
    /// # Errors
    /// As for [`Client::batch`].
    pub async fn batch_encoded(&self, items: &EncodedItems, idempotency: Option<&IdempotencyKey>) -> Result<BatchAnswer, ClientError> {
        self.send_batch(items.body("{").into(), items.len(), idempotency).await
    }

    async fn send_batch(&self, body: Bytes, count: usize, idempotency: Option<&IdempotencyKey>) -> Result<BatchAnswer, ClientError> {
        let url = self.address.batch();
        let build = || {
            let request = self.http.post(&url).header("content-type", "application/json").header("prefer", "return=minimal");
            with_conditions(request.body(body.clone()), None, idempotency)
        };
        let answer = self.send(Repeat::of(idempotency), Pass::Success, build).await?;
        let wire: WireAnswer = answer.json()?;
        if wire.count != count {
            return Err(ClientError::BadAnswer(format!("{count} items were sent, and {} are answered", wire.count)));
        }
        Ok(BatchAnswer { count: wire.count, revision: Revision(wire.revision), replayed: answer.replayed() })
    }
}

fn encode(items: &[BatchItem]) -> Result<Bytes, ClientError> {
    let batch = WireBatch { items: items.iter().map(WireItem::from).collect() };
    // Texts and numbers always have a JSON form; if serde thinks otherwise, nothing was sent.
    serde_json::to_vec(&batch).map(Into::into).map_err(|error| ClientError::BadAnswer(error.to_string()))
}

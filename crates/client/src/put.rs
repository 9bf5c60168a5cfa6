//! Storing one value.

use bytes::Bytes;
use kvstore_types::{Condition, IdempotencyKey, Key, Ttl};
use reqwest::RequestBuilder;

use crate::{
    Client, ClientError, Entry,
    entry::WireEntry,
    send::{Pass, Repeat},
};

/// What goes with a put.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// When the entry expires; without it an earlier expiry is cleared.
    pub ttl: Option<Ttl>,
    /// What must hold of the key.
    pub condition: Option<Condition>,
    /// Makes repeating safe; the client then repeats by itself, a few times.
    pub idempotency: Option<IdempotencyKey>,
}

/// A value was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutAnswer {
    /// The entry after the write.
    pub entry: Entry,
    /// Whether the key was absent before.
    pub created: bool,
    /// Whether this is the answer to an earlier request under the same idempotency key.
    pub replayed: bool,
}

impl Client {
    /// Stores a value under a key.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::outcome`] tells whether the write may have taken effect.
    pub async fn put(&self, key: &Key, value: Bytes, options: &PutOptions) -> Result<PutAnswer, ClientError> {
        let query: Vec<_> = options.ttl.iter().map(|ttl| ("ttl", ttl.as_seconds().to_string())).collect();
        let url = self.address.key(key, &query);
        let build = || {
            let request = self.http.put(&url).header("content-type", "application/octet-stream").body(value.clone());
            with_conditions(request, options.condition, options.idempotency.as_ref())
        };
        let answer = self.send(Repeat::of(options.idempotency.as_ref()), Pass::Success, build).await?;
        answer.check_key(key)?;
        let entry = Entry::try_from(answer.json::<WireEntry>()?)?;
        Ok(PutAnswer { entry, created: answer.status == 201, replayed: answer.replayed() })
    }
}

/// Adds the headers of a condition and of an idempotency key.
pub(crate) fn with_conditions(
    mut request: RequestBuilder,
    condition: Option<Condition>,
    idempotency: Option<&IdempotencyKey>,
) -> RequestBuilder {
    request = match condition {
        Some(Condition::Revision(revision)) => request.header("if-match", format!("\"{revision}\"")),
        Some(Condition::Present) => request.header("if-match", "*"),
        Some(Condition::Absent) => request.header("if-none-match", "*"),
        None => request,
    };
    match idempotency {
        Some(key) => request.header("idempotency-key", key.as_str()),
        None => request,
    }
}

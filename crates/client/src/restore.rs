//! Restoring entries with all their metadata.

use kvstore_types::Revision;
use serde::Deserialize;

use crate::{
    Client, ClientError, EncodedItems,
    send::{Pass, Repeat},
};

/// Entries were restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreAnswer {
    /// How many of those that were sent are there: all of them.
    pub count: usize,
    /// The store's last applied revision: what the next batch expects.
    pub applied_revision: Revision,
}

#[derive(Deserialize)]
struct WireAnswer {
    count: usize,
    applied_revision: u64,
}

impl Client {
    /// Restores entries, all or none, if the store's last applied revision is the one expected: 0 in an empty store, then what the last
    /// answer said. Sending the same entries again is safe, so a lost answer is asked for again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restore(&self, expected: Revision, items: &EncodedItems) -> Result<RestoreAnswer, ClientError> {
        let body: bytes::Bytes = items.body(&format!("{{\"if_applied_revision\":{expected},")).into();
        let url = self.address.restore();
        let build = || self.http.post(&url).header("content-type", "application/json").body(body.clone());
        let answer = self.send(Repeat::Idempotent, Pass::Success, build).await?;
        let wire: WireAnswer = answer.json()?;
        if wire.count != items.len() {
            return Err(ClientError::BadAnswer(format!("{} entries were sent, and {} are answered", items.len(), wire.count)));
        }
        Ok(RestoreAnswer { count: wire.count, applied_revision: Revision(wire.applied_revision) })
    }
}

//! Reading many keys from one snapshot.

use kvstore_types::Key;
use serde::{Deserialize, Serialize};

use crate::{
    Client, ClientError, Entry,
    entry::WireEntry,
    send::{Pass, Repeat},
};

#[derive(Serialize)]
struct WireKeys<'a> {
    keys: Vec<&'a str>,
}

#[derive(Deserialize)]
struct WireResults {
    results: Vec<Option<WireEntry>>,
}

impl Client {
    /// Reads many keys (up to 1,000) from one snapshot; the answers stand in the order of the keys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, ClientError> {
        let wire = WireKeys { keys: keys.iter().map(Key::as_str).collect() };
        let url = self.address.read();
        let answer = self.send(Repeat::Never, Pass::Success, || self.http.post(&url).json(&wire)).await?;
        let WireResults { results } = answer.json()?;
        if results.len() != keys.len() {
            return Err(ClientError::BadAnswer(format!("{} keys were asked for, and {} are answered", keys.len(), results.len())));
        }
        results.into_iter().map(|wire| wire.map(Entry::try_from).transpose()).collect()
    }
}

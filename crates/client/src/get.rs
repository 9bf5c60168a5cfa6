//! Reading one key.

use kvstore_types::Key;

use crate::{
    Client, ClientError, Entry, RawEntry,
    entry::WireEntry,
    send::{Answer, Pass, Repeat},
};

impl Client {
    /// Reads a key. `None` where it is absent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, key: &Key) -> Result<Option<Entry>, ClientError> {
        let answer = self.send(Repeat::Never, Pass::Absent, || self.http.get(self.address.key(key, &[]))).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let entry = Entry::try_from(answer.json::<WireEntry>()?)?;
        if entry.key != *key {
            return Err(ClientError::BadAnswer(format!("{key:?} was asked for, and the answer is about {:?}", entry.key)));
        }
        Ok(Some(entry))
    }

    /// Reads the bytes of a key's value. `None` where the key is absent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get_raw(&self, key: &Key) -> Result<Option<RawEntry>, ClientError> {
        let url = self.address.key(key, &[]);
        let answer = self.send(Repeat::Never, Pass::Absent, || self.http.get(&url).header("accept", "application/octet-stream")).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        raw_entry(answer).map(Some)
    }
}

fn raw_entry(answer: Answer) -> Result<RawEntry, ClientError> {
    let missing = |name: &str| ClientError::BadAnswer(format!("it has no {name} header that can be read"));
    let revision = answer.revision().ok_or_else(|| missing("ETag"))?;
    let version = answer.header("kv-version").and_then(|text| text.parse().ok()).ok_or_else(|| missing("KV-Version"))?;
    Ok(RawEntry { value: answer.body, version, revision })
}

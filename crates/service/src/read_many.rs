//! Read many keys at once.

use kvstore_storage::Reservation;
use kvstore_types::{Consistency, Entry, Key, Revision, limits::READ_KEYS_MAX};

use crate::{Service, ServiceError};

/// Entries in the order of the keys.
#[derive(Debug)]
pub struct ManyAnswer {
    /// An entry or its absence for each key.
    pub entries: Vec<Option<Entry>>,
    /// For a stale read: all changes up to this revision are in the answer. Some stores can't tell.
    pub applied: Option<Revision>,
    /// The answer's share of the budget; to be kept until it is sent.
    pub reservation: Reservation,
}

impl Service {
    /// Reads up to [`READ_KEYS_MAX`] keys from one snapshot.
    ///
    /// # Errors
    /// Too many keys, no memory left for the answer, or the store failed.
    pub async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<ManyAnswer, ServiceError> {
        if keys.len() > READ_KEYS_MAX {
            return Err(ServiceError::TooManyKeys { keys: keys.len() });
        }
        let applied = self.applied(consistency);
        let entries = self.store.read_many(keys, consistency).await?;
        let reservation = self.reserve(weight(entries.iter().flatten()) as u64)?;
        Ok(ManyAnswer { entries, applied, reservation })
    }
}

/// Bytes that entries take in an answer, about.
pub(crate) fn weight<'a>(entries: impl Iterator<Item = &'a Entry>) -> usize {
    entries.map(|entry| entry.key.as_bytes().len() + entry.value.as_ref().map_or(0, |value| value.len()) + 200).sum()
}

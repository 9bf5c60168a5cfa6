//! Read one key.

use kvstore_storage::Reservation;
use kvstore_types::{Consistency, Entry, Key, Projection, Revision};

use crate::{Service, ServiceError};

/// Values up to this many bytes are answered without asking the budget: the cost of asking would be felt, theirs is not.
const SMALL_VALUE_BYTES: usize = 4 << 10;

/// An entry, or its absence.
#[derive(Debug)]
pub struct ReadAnswer {
    /// The entry, if the key is there.
    pub entry: Option<Entry>,
    /// For a stale read: all changes up to this revision are in the answer. Some stores can't tell.
    pub applied: Option<Revision>,
    /// The answer's share of the budget; to be kept until it is sent.
    pub reservation: Option<Reservation>,
}

impl Service {
    /// Reads a key.
    ///
    /// # Errors
    /// No memory is left for the answer, or the store failed.
    pub async fn read_value(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<ReadAnswer, ServiceError> {
        let applied = self.applied(consistency);
        let entry = self.store.read(key, projection, consistency).await?;
        let bytes = entry.as_ref().and_then(|entry| entry.value.as_ref()).map_or(0, |value| value.len());
        let reservation = if bytes > SMALL_VALUE_BYTES { Some(self.reserve(bytes as u64)?) } else { None };
        Ok(ReadAnswer { entry, applied, reservation })
    }
}

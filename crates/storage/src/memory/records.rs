//! Idempotency records in memory: kept for 24 hours of store time and up to a sum of bytes; the oldest go first.

use std::collections::BTreeMap;

use kvstore_types::{IdempotencyKey, IdempotencyRecord, Timestamp, limits::IDEMPOTENCY_BYTES_MAX};

/// The records of an engine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Records {
    by_key: BTreeMap<IdempotencyKey, IdempotencyRecord>,
    /// Keys in the order of their stamps, with the bytes each takes. A stamp belongs to one batch, so it names one record.
    by_age: BTreeMap<Timestamp, (IdempotencyKey, u64)>,
    bytes: u64,
    bytes_max: u64,
}

impl Default for Records {
    fn default() -> Self {
        Self::limited_to(IDEMPOTENCY_BYTES_MAX)
    }
}

impl Records {
    pub(super) const fn limited_to(bytes_max: u64) -> Self {
        Self { by_key: BTreeMap::new(), by_age: BTreeMap::new(), bytes: 0, bytes_max }
    }

    pub(super) fn get(&self, key: &IdempotencyKey) -> Option<&IdempotencyRecord> {
        self.by_key.get(key)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&IdempotencyKey, &IdempotencyRecord)> {
        self.by_key.iter()
    }

    /// Keeps a record in place of the one that the key may have had, and lets the oldest go while the sum is over its limit.
    pub(super) fn insert(&mut self, key: IdempotencyKey, record: IdempotencyRecord) {
        self.remove(&key);
        let bytes = (key.as_str().len() + record.encode().len()) as u64;
        self.by_age.insert(record.stamp, (key.clone(), bytes));
        self.by_key.insert(key, record);
        self.bytes += bytes;
        while self.bytes > self.bytes_max
            && let Some((_, (oldest, bytes))) = self.by_age.pop_first()
        {
            self.by_key.remove(&oldest);
            self.bytes -= bytes;
        }
    }

    /// Removes what no longer counts at this store time, and says how many records that were.
    pub(super) fn remove_ended(&mut self, now: Timestamp) -> usize {
        let ended: Vec<_> = self.by_key.iter().filter(|(_, record)| !record.is_live(now)).map(|(key, _)| key.clone()).collect();
        ended.iter().for_each(|key| self.remove(key));
        ended.len()
    }

    fn remove(&mut self, key: &IdempotencyKey) {
        if let Some(record) = self.by_key.remove(key)
            && let Some((_, bytes)) = self.by_age.remove(&record.stamp)
        {
            self.bytes -= bytes;
        }
    }
}

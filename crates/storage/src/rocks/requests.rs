//! Idempotency records: looked up by key, forgotten oldest first.

use kvstore_types::{
    IdempotencyKey, IdempotencyRecord, Timestamp,
    limits::{IDEMPOTENCY_BYTES_MAX, RECLAIM_ITEMS_MAX},
};
use rocksdb::{Direction, IteratorMode, WriteBatch};

use super::{
    generation::{Generation, read_error},
    layout::REQUESTS,
};
use crate::EngineError;

pub(super) const RECORD: u8 = b'k';
pub(super) const QUEUE: u8 = b'q';

pub(super) fn record_key(key: &str) -> Vec<u8> {
    [&[RECORD], key.as_bytes()].concat()
}

pub(super) fn queue_key(stamp: Timestamp, key: &str) -> Vec<u8> {
    [&[QUEUE], &stamp.as_micros().to_be_bytes()[..], key.as_bytes()].concat()
}

/// The stamp and the idempotency key of an entry in the queue, less its first byte.
pub(super) fn parse_queue_key(rest: &[u8]) -> Option<(Timestamp, &str)> {
    let (stamp, key) = rest.split_first_chunk::<8>()?;
    Some((Timestamp::from_micros(i64::from_be_bytes(*stamp)), std::str::from_utf8(key).ok()?))
}

impl Generation {
    pub(super) fn request(&self, key: &IdempotencyKey) -> Result<Option<IdempotencyRecord>, EngineError> {
        let stored = self.db.get_cf(self.family(REQUESTS)?, record_key(key.as_str())).map_err(read_error)?;
        stored.map(|bytes| IdempotencyRecord::decode(&bytes).map_err(EngineError::from)).transpose()
    }

    /// Adds a record to a write. Says how many bytes it takes.
    pub(super) fn put_request(&self, write: &mut WriteBatch, key: &IdempotencyKey, record: &IdempotencyRecord) -> Result<u64, EngineError> {
        let family = self.family(REQUESTS)?;
        let (record_key, queue_key, bytes) = (record_key(key.as_str()), queue_key(record.stamp, key.as_str()), record.encode());
        write.put_cf(family, &record_key, &bytes);
        write.put_cf(family, &queue_key, []);
        Ok((record_key.len() + queue_key.len() + bytes.len()) as u64)
    }

    /// Adds to a write the removal of records that have ended or are too many. Says how many bytes that frees.
    pub(super) fn forget_requests(&self, write: &mut WriteBatch, now: Timestamp, kept_bytes: u64) -> Result<u64, EngineError> {
        let family = self.family(REQUESTS)?;
        let mut freed = 0;
        let queue = self.db.iterator_cf(family, IteratorMode::From(&[QUEUE], Direction::Forward));
        for queued in queue.take(RECLAIM_ITEMS_MAX) {
            let (queued, _) = queued.map_err(read_error)?;
            let damaged = || EngineError::Damaged("the queue of idempotency records".into());
            let (stamp, key) = queued.get(1..).and_then(parse_queue_key).ok_or_else(damaged)?;
            let stored = self.db.get_cf(family, record_key(key)).map_err(read_error)?;
            let record = stored.as_deref().map(IdempotencyRecord::decode).transpose()?;
            // The key may have been used again after its record had ended: then the record is the later one's.
            let ours = record.filter(|record| record.stamp == stamp);
            let ended = ours.as_ref().is_none_or(|record| !record.is_live(now));
            if !ended && kept_bytes.saturating_sub(freed) <= IDEMPOTENCY_BYTES_MAX {
                break;
            }
            write.delete_cf(family, &queued);
            freed += queued.len() as u64;
            if ours.is_some() {
                write.delete_cf(family, record_key(key));
            }
            freed += (1 + key.len() + stored.map_or(0, |bytes| bytes.len())) as u64;
        }
        Ok(freed)
    }
}

//! Restoring: entries with all their metadata, in one write, into a store that has seen nothing else.

use kvstore_types::{RestoreBatch, RestoreOutcome, Revision, Timestamp, evaluate_restore};
use rocksdb::WriteBatch;

use super::{
    generation::Generation,
    layout::{self, ENTRIES, EXPIRY, META, POSITION, Placement, Record, VALUES, expiry_key, value_key},
};
use crate::{Durability, EngineError, Position, ReadTier};

pub(super) fn restore(
    generation: &Generation,
    batch: &RestoreBatch,
    proposed: Timestamp,
    meta: &[(&str, &[u8])],
    durability: Durability,
) -> Result<RestoreOutcome, EngineError> {
    let current: Vec<_> = batch.items().iter().map(|item| generation.stored_header(&item.key, ReadTier::Disk)).collect::<Result<_, _>>()?;
    let before = generation.position();
    let done = evaluate_restore(batch, &current, before.revision, before.stamp, proposed);
    let position = Position { revision: done.revision, stamp: done.stamp };
    let mut write = WriteBatch::default();
    let mut record = Vec::new();
    for item in &done.entries {
        Record::encode(&item.header, &item.value, &mut record);
        write.put_cf(generation.family(ENTRIES)?, &item.key, &record);
        if Placement::of(item.header.value_len) == Placement::Apart {
            write.put_cf(generation.family(VALUES)?, value_key(&item.key, item.header.revision), &item.value);
        }
        if let Some(at) = item.header.expires_at {
            write.put_cf(generation.family(EXPIRY)?, expiry_key(&item.key, item.header.revision, at), []);
        }
    }
    generation.carry(&mut write, meta)?;
    if write.is_empty() {
        return Ok(done.outcome);
    }
    let request_bytes = generation.request_bytes.lock();
    write.put_cf(generation.family(META)?, POSITION, layout::encode_position(position, *request_bytes));
    for item in &done.entries {
        generation.cache.begin_write(&item.key);
    }
    generation.write(write, durability)?;
    let mut recent = generation.recent.lock();
    for item in &done.entries {
        // Not kept in the cache: nobody has asked for it yet.
        generation.cache.end_write(&item.key, None);
        // The position may not have moved: one later makes sure that a header loaded before this is loaded again.
        recent.note(&item.key, Revision(position.revision.0.saturating_add(1)));
    }
    drop(recent);
    generation.publish(position);
    Ok(done.outcome)
}

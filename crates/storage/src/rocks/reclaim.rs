//! Reclaiming: expired entries and ended idempotency records are deleted by a write like any other.

use kvstore_types::{Revision, Timestamp};
use rocksdb::{IteratorMode, WriteBatch};

use super::{
    generation::{Generation, read_error},
    layout::{self, ENTRIES, EXPIRY, META, POSITION, Placement, VALUES, expiry_key, parse_expiry_key, value_key},
};
use crate::{Durability, EngineError, Position, ReadTier, Reclaimable};

/// Expired entries, oldest first.
pub(super) fn due(generation: &Generation, now: Timestamp, limit: usize) -> Result<Vec<Reclaimable>, EngineError> {
    let mut due = Vec::new();
    for indexed in generation.db.iterator_cf(generation.family(EXPIRY)?, IteratorMode::Start).take(limit) {
        let (indexed, _) = indexed.map_err(read_error)?;
        let (at, revision, key) = parse_expiry_key(&indexed)?;
        if at > now {
            break;
        }
        due.push(Reclaimable { key, revision });
    }
    Ok(due)
}

pub(super) fn reclaim(
    generation: &Generation,
    due: &[Reclaimable],
    proposed: Timestamp,
    meta: &[(&str, &[u8])],
    durability: Durability,
) -> Result<usize, EngineError> {
    if generation.read_only {
        return Ok(0);
    }
    let before = generation.position();
    // No revision is used, and the stamp stays where it is unless time went on: a caller can't tell that this ran.
    let position = Position { stamp: before.stamp.max(proposed), ..before };
    let mut write = WriteBatch::default();
    let mut gone = Vec::new();
    for expired in due {
        let stored = generation.stored_header(&expired.key, ReadTier::Disk)?;
        let Some(header) = stored.filter(|header| header.revision == expired.revision && !header.is_live(position.stamp)) else {
            continue;
        };
        write.delete_cf(generation.family(ENTRIES)?, &expired.key);
        if Placement::of(header.value_len) == Placement::Apart {
            write.delete_cf(generation.family(VALUES)?, value_key(&expired.key, header.revision));
        }
        if let Some(at) = header.expires_at {
            write.delete_cf(generation.family(EXPIRY)?, expiry_key(&expired.key, header.revision, at));
        }
        gone.push(&expired.key);
    }
    let mut request_bytes = generation.request_bytes.lock();
    let kept = request_bytes.saturating_sub(generation.forget_requests(&mut write, position.stamp, *request_bytes)?);
    generation.carry(&mut write, meta)?;
    if write.is_empty() {
        return Ok(0);
    }
    write.put_cf(generation.family(META)?, POSITION, layout::encode_position(position, kept));
    for key in &gone {
        generation.cache.begin_write(key);
    }
    generation.write(write, durability)?;
    *request_bytes = kept;
    let mut recent = generation.recent.lock();
    for key in &gone {
        generation.cache.end_write(key, None);
        // A header loaded before this has the same revision as now: one later makes sure that it is loaded again.
        recent.note(key, Revision(position.revision.0.saturating_add(1)));
    }
    drop(recent);
    generation.publish(position);
    Ok(gone.len())
}

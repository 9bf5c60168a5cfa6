//! `evaluate`: the one function that decides what a batch does. Every backend and every replica calls it, so it reads nothing but
//! its arguments.

use bytes::Bytes;

use crate::{
    Applied, Condition, FailedCondition, Header, IdempotencyRecord, Item, ItemOutcome, Kind, Mutation, Outcome, Revision, Timestamp,
    WriteBatch,
};

/// The version of these rules. A log entry carries the rules it was proposed under; a node that does not know them stops.
pub const RULES: u8 = 1;

/// A change to one key, to be made as part of an applied batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The item that it comes from.
    pub item: &'a Item,
    /// What was stored under the key, also if it had expired: its index entries and its value must go.
    pub before: Option<Header>,
    /// The new state; `None` for a delete.
    pub after: Option<(Header, &'a Bytes)>,
}

/// What evaluating a batch came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation<'a> {
    /// What the caller is told.
    pub outcome: Outcome,
    /// What must be stored; empty unless the outcome is a first `Applied`.
    pub changes: Vec<Change<'a>>,
    /// The record to keep for the batch's idempotency key.
    pub record: Option<IdempotencyRecord>,
}

impl Evaluation<'_> {
    const fn nothing(outcome: Outcome) -> Self {
        Self { outcome, changes: Vec::new(), record: None }
    }
}

/// The stamp of a batch: the time at which it was proposed, but always later than the stamp before it.
#[must_use]
pub fn next_stamp(last: Timestamp, proposed: Timestamp) -> Timestamp {
    proposed.max(last.next())
}

/// Decides a batch.
///
/// `current` holds, for each item in its order, the header stored under its key (expired ones too); `record` what is stored under
/// the batch's idempotency key; `revision` and `stamp` are what the batch gets if it is applied.
#[must_use]
pub fn evaluate<'a>(
    batch: &'a WriteBatch,
    current: &[Option<Header>],
    record: Option<&IdempotencyRecord>,
    revision: Revision,
    stamp: Timestamp,
) -> Evaluation<'a> {
    debug_assert_eq!(batch.items().len(), current.len(), "a header for each item");
    if let (Some((_, hash)), Some(record)) = (batch.idempotency(), record)
        && record.is_live(stamp)
    {
        return Evaluation::nothing(if record.hash == *hash {
            Outcome::Applied(record.replay(batch))
        } else {
            Outcome::IdempotencyMismatch
        });
    }
    let live = |stored: &Option<Header>| stored.filter(|header| header.is_live(stamp));
    let failed: Vec<_> = batch
        .items()
        .iter()
        .zip(current)
        .enumerate()
        .filter_map(|(index, (item, stored))| {
            let current = live(stored);
            (!holds(item.condition, current.as_ref())).then_some(FailedCondition { index, current })
        })
        .collect();
    if !failed.is_empty() {
        return Evaluation::nothing(Outcome::ConditionFailed(failed));
    }
    let mut items = Vec::with_capacity(current.len());
    let mut changes = Vec::with_capacity(current.len());
    for (item, stored) in batch.items().iter().zip(current) {
        let before = live(stored);
        match &item.mutation {
            Mutation::Put { value, ttl } => {
                let header = Header {
                    version: before.map_or(1, |header| header.version + 1),
                    revision,
                    created_at: before.map_or(stamp, |header| header.created_at),
                    updated_at: stamp,
                    expires_at: ttl.map(|ttl| stamp.plus_seconds(ttl.as_seconds())),
                    value_len: value.len() as u64,
                };
                let kind = if before.is_some() { Kind::Updated } else { Kind::Created };
                items.push(ItemOutcome { kind, header: Some(header) });
                changes.push(Change { item, before: *stored, after: Some((header, value)) });
            }
            Mutation::Delete if before.is_some() => {
                items.push(ItemOutcome { kind: Kind::Deleted, header: None });
                changes.push(Change { item, before: *stored, after: None });
            }
            Mutation::Delete => items.push(ItemOutcome { kind: Kind::Missing, header: None }),
        }
    }
    if changes.is_empty() {
        return Evaluation::nothing(Outcome::Unchanged);
    }
    let applied = Applied { revision, stamp, items, replayed: false };
    let record = batch.idempotency().map(|(_, hash)| IdempotencyRecord::of(*hash, &applied));
    Evaluation { outcome: Outcome::Applied(applied), changes, record }
}

fn holds(condition: Option<Condition>, current: Option<&Header>) -> bool {
    match condition {
        None => true,
        Some(Condition::Absent) => current.is_none(),
        Some(Condition::Present) => current.is_some(),
        Some(Condition::Revision(revision)) => current.is_some_and(|header| header.revision == revision),
    }
}

#[cfg(test)]
mod tests;

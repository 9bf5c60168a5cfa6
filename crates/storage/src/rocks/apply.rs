//! Applying a group: each batch is evaluated against what is stored and what the group changed before it; all of it is one RocksDB
//! write with one sync.

use foldhash::HashMap;

use kvstore_types::{Change, Evaluation, Header, IdempotencyKey, IdempotencyRecord, Key, Outcome, Timestamp, evaluate, next_stamp};
use rocksdb::{ColumnFamily, WriteBatch};

use super::{
    generation::Generation,
    layout::{self, ENTRIES, EXPIRY, META, POSITION, Placement, Record, VALUES, expiry_key, value_key},
};
use crate::{Durability, EngineError, Position, Proposal, ReadTier};

type Outcomes = Vec<Result<Outcome, EngineError>>;

pub(super) fn apply(
    generation: &Generation,
    proposals: &[Proposal],
    proposed: Timestamp,
    meta: &[(&str, &[u8])],
    durability: Durability,
) -> Result<Outcomes, EngineError> {
    let mut group = Group::new(generation)?;
    let outcomes: Outcomes = proposals.iter().map(|proposal| group.add(proposal, proposed)).collect();
    if durability == Durability::Buffered
        && let Some(Err(error)) = outcomes.iter().find(|outcome| outcome.is_err())
    {
        return Err(error.clone());
    }
    if proposals.is_empty() {
        group.position.stamp = group.position.stamp.max(proposed);
    }
    if group.changes.is_empty() && meta.is_empty() {
        return Ok(outcomes);
    }
    group.write(meta, durability)?;
    Ok(outcomes)
}

/// The column families that a change may touch.
struct Families<'a> {
    entries: &'a ColumnFamily,
    values: &'a ColumnFamily,
    expiry: &'a ColumnFamily,
}

/// A group on its way to disk.
struct Group<'a> {
    generation: &'a Generation,
    /// Looked up by name once, not for each change.
    families: Families<'a>,
    write: WriteBatch,
    position: Position,
    /// The last change to each key, in the order of the group.
    changes: Vec<Change<'a>>,
    headers: HashMap<&'a Key, Option<Header>>,
    requests: HashMap<&'a IdempotencyKey, IdempotencyRecord>,
    request_bytes: u64,
    /// Reused for each record.
    record: Vec<u8>,
}

impl<'a> Group<'a> {
    fn new(generation: &'a Generation) -> Result<Self, EngineError> {
        let families =
            Families { entries: generation.family(ENTRIES)?, values: generation.family(VALUES)?, expiry: generation.family(EXPIRY)? };
        Ok(Self {
            generation,
            families,
            write: WriteBatch::default(),
            position: generation.position(),
            changes: Vec::new(),
            headers: HashMap::default(),
            requests: HashMap::default(),
            request_bytes: 0,
            record: Vec::new(),
        })
    }

    /// Evaluates a batch and adds what it changes. An error is this batch's alone: nothing of it was added.
    fn add(&mut self, proposal: &'a Proposal, proposed: Timestamp) -> Result<Outcome, EngineError> {
        let current = self.current(proposal)?;
        let key = proposal.batch.idempotency().map(|(key, _)| key);
        let record = match key {
            Some(key) => match self.requests.get(key) {
                Some(record) => Some(record.clone()),
                None => self.generation.request(key)?,
            },
            None => None,
        };
        let position = Position { revision: self.position.revision.next(), stamp: next_stamp(self.position.stamp, proposed) };
        let Evaluation { outcome, changes, record } =
            evaluate(&proposal.batch, &current, record.as_ref(), position.revision, position.stamp);
        if changes.is_empty() {
            return Ok(outcome);
        }
        for change in changes {
            self.change(change);
        }
        if let (Some(key), Some(record)) = (key, record) {
            self.request_bytes += self.generation.put_request(&mut self.write, key, &record)?;
            self.requests.insert(key, record);
        }
        self.position = position;
        Ok(outcome)
    }

    /// The stored header of each item's key, as the group has left it so far.
    fn current(&self, proposal: &'a Proposal) -> Result<Vec<Option<Header>>, EngineError> {
        let recent = self.generation.recent.lock();
        let items = proposal.batch.items().iter().enumerate();
        items
            .map(|(index, item)| {
                if let Some(header) = self.headers.get(&item.key) {
                    return Ok(*header);
                }
                let hint = proposal.hints.as_ref().and_then(|hints| {
                    let header = hints.headers.get(index)?;
                    // What was read from contents that have been replaced since says nothing.
                    let known = hints.generation == self.generation.number && recent.unchanged_since(&item.key, hints.as_of);
                    known.then_some(*header)
                });
                // What changed since the hint was taken is still in memory, mostly.
                hint.map_or_else(|| self.generation.stored_header(&item.key, ReadTier::Disk), Ok)
            })
            .collect()
    }

    fn change(&mut self, change: Change<'a>) {
        let key = &change.item.key;
        let Families { entries, values, expiry } = self.families;
        if let Some(before) = change.before {
            if Placement::of(before.value_len) == Placement::Apart {
                self.write.delete_cf(values, value_key(key, before.revision));
            }
            if let Some(at) = before.expires_at {
                self.write.delete_cf(expiry, expiry_key(key, before.revision, at));
            }
        }
        match change.after {
            Some((header, value)) => {
                Record::encode(&header, value, &mut self.record);
                self.write.put_cf(entries, key, &self.record);
                if Placement::of(header.value_len) == Placement::Apart {
                    self.write.put_cf(values, value_key(key, header.revision), value);
                }
                if let Some(at) = header.expires_at {
                    self.write.put_cf(expiry, expiry_key(key, header.revision, at), []);
                }
            }
            None => self.write.delete_cf(entries, key),
        }
        self.headers.insert(key, change.after.map(|(header, _)| header));
        self.changes.push(change);
    }

    /// Writes the group, then makes it visible in the order that keeps the cache exact.
    fn write(mut self, meta: &[(&str, &[u8])], durability: Durability) -> Result<(), EngineError> {
        let generation = self.generation;
        generation.carry(&mut self.write, meta)?;
        let family = generation.family(META)?;
        let mut request_bytes = generation.request_bytes.lock();
        let total = *request_bytes + self.request_bytes;
        self.write.put_cf(family, POSITION, layout::encode_position(self.position, total));
        for change in &self.changes {
            generation.cache.begin_write(&change.item.key);
        }
        // On an error the keys stay open in the cache: readers go to the engine until the process ends.
        generation.write(self.write, durability)?;
        *request_bytes = total;
        let mut recent = generation.recent.lock();
        for change in &self.changes {
            let key = &change.item.key;
            // A key that the group changes twice is published with its last state both times.
            let last = self.headers.get(key).copied().flatten();
            let entry = change.after.filter(|(header, _)| Some(header.revision) == last.map(|last| last.revision));
            generation.cache.end_write(key, entry);
            recent.note(key, last.map_or(self.position.revision, |header| header.revision));
        }
        drop(recent);
        generation.publish(self.position);
        Ok(())
    }
}

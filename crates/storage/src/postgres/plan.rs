//! `Plan`: what a group of batches does, evaluated against a snapshot, before anything is written.
//!
//! Whatever an outcome rests on must still hold when the group is committed, or must have held at the snapshot alone:
//! - An applied batch rests on all its keys: those that it changes, and those that it found absent. All are written, the absent ones as
//!   tombstones, each on condition that its revision is the one read.
//! - A batch that changes nothing rests on the snapshot, as if it had come right then. Where it also rests on what the group changes,
//!   there is no such moment: it is left for the next group.
//! - A key that has just expired is absent only if no writer still holds it as live, so what rests on that is written too.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use kvstore_types::{
    Evaluation, Header, IdempotencyKey, IdempotencyRecord, Key, Outcome, Revision, Timestamp, WriteBatch, evaluate,
    limits::TOMBSTONE_SECONDS, next_stamp,
};

use super::rows::Stored;

/// What a group is evaluated against.
pub(super) struct Snapshot {
    pub(super) now: Timestamp,
    pub(super) rows: HashMap<Key, Stored>,
    pub(super) records: HashMap<String, IdempotencyRecord>,
    /// One for each member, greater than all that are in `rows`.
    pub(super) revisions: Vec<Revision>,
    /// When what rests on this must have reached the database, in microseconds of its clock.
    pub(super) latest_arrival: i64,
}

/// A row to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FinalRow<'a> {
    pub(super) key: &'a Key,
    /// `None` for a tombstone.
    pub(super) value: Option<&'a Bytes>,
    pub(super) header: Header,
    /// The revision of the row that it takes the place of; 0 where there is none.
    pub(super) prior: Revision,
}

/// A record to write.
pub(super) struct FinalRecord<'a> {
    pub(super) key: &'a IdempotencyKey,
    pub(super) record: IdempotencyRecord,
    /// The stamp of the record that it takes the place of; the epoch where there is none.
    pub(super) prior: Timestamp,
}

/// A key as the group has left it so far.
struct State<'a> {
    stored: Option<Stored>,
    current: Option<Header>,
    value: Option<&'a Bytes>,
    /// The revision and stamp of the current state; a later stamp must be greater.
    revision: Revision,
    stamp: Timestamp,
    is_changed: bool,
    is_written: bool,
}

impl State<'_> {
    fn of(stored: Option<Stored>) -> Self {
        let header = stored.map(|stored| stored.header);
        Self {
            stored,
            current: stored.and_then(|stored| stored.entry()),
            value: None,
            revision: header.map_or(Revision(0), |header| header.revision),
            stamp: header.map_or(Timestamp::ZERO, |header| header.updated_at),
            is_changed: false,
            is_written: false,
        }
    }
}

/// The evaluated group.
pub(super) struct Plan<'a> {
    states: BTreeMap<&'a Key, State<'a>>,
    records: HashMap<&'a IdempotencyKey, FinalRecord<'a>>,
    now: Timestamp,
    /// An outcome for each member; `None` for one that is left for the next group.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The first expiry of what was taken for live: it must not have come when the group is committed.
    pub(super) deadline: Option<Timestamp>,
    /// The greatest revision that was used.
    pub(super) applied: Option<Revision>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(batches: impl Iterator<Item = &'a WriteBatch>, snapshot: &Snapshot) -> Self {
        let mut plan = Self {
            states: BTreeMap::new(),
            records: HashMap::new(),
            now: snapshot.now,
            outcomes: Vec::with_capacity(snapshot.revisions.len()),
            deadline: None,
            applied: None,
        };
        for (batch, revision) in batches.zip(&snapshot.revisions) {
            let outcome = plan.add(batch, *revision, snapshot);
            plan.outcomes.push(outcome);
        }
        plan
    }

    fn add(&mut self, batch: &'a WriteBatch, revision: Revision, snapshot: &Snapshot) -> Option<Outcome> {
        let mut stamp = self.now;
        let mut current = Vec::with_capacity(batch.items().len());
        for item in batch.items() {
            let state = self.states.entry(&item.key).or_insert_with(|| State::of(snapshot.rows.get(&item.key).copied()));
            stamp = next_stamp(state.stamp, stamp);
            current.push(state.current);
        }
        let request = batch.idempotency().map(|(key, _)| key);
        let found = request.and_then(|key| snapshot.records.get(key.as_str()));
        let record = request.and_then(|key| self.records.get(key).map(|own| &own.record)).or(found);
        let Evaluation { outcome, changes, record } = evaluate(batch, &current, record, revision, stamp);
        if changes.is_empty() {
            return self.rests(batch, &outcome, stamp).then_some(outcome);
        }
        for change in changes {
            let Some(state) = self.states.get_mut(&change.item.key) else { continue };
            state.current = change.after.map(|(header, _)| header);
            state.value = change.after.map(|(_, value)| value);
            (state.revision, state.stamp, state.is_changed) = (revision, stamp, true);
        }
        for item in batch.items() {
            self.write_key(&item.key, revision, stamp);
        }
        if let (Some(key), Some(record)) = (request, record) {
            let prior = found.map_or(Timestamp::ZERO, |found| found.stamp);
            self.records.insert(key, FinalRecord { key, record, prior });
        }
        self.applied = self.applied.max(Some(revision));
        Some(outcome)
    }

    /// What a batch that changed nothing rests on. `false` where no moment has all of it.
    fn rests(&mut self, batch: &'a WriteBatch, outcome: &Outcome, stamp: Timestamp) -> bool {
        if !matches!(outcome, Outcome::ConditionFailed(_) | Outcome::Unchanged) {
            // A repeat rests on its record alone.
            return true;
        }
        let states = || batch.items().iter().filter_map(|item| self.states.get(&item.key));
        if states().any(|state| state.is_changed) && states().any(|state| !state.is_changed) {
            return false;
        }
        for item in batch.items() {
            let just_expired = self.states.get(&item.key).is_some_and(|state| {
                let stored = state.stored.and_then(|stored| stored.entry()).filter(|_| !state.is_changed);
                stored.and_then(|header| header.expires_at).is_some_and(|at| at <= stamp && stamp < at.plus_seconds(TOMBSTONE_SECONDS))
            });
            if just_expired {
                self.write_key(&item.key, Revision(0), stamp);
            }
        }
        true
    }

    /// Marks a key to be written, as what it is now.
    fn write_key(&mut self, key: &Key, revision: Revision, stamp: Timestamp) {
        let Some(state) = self.states.get_mut(key) else { return };
        if let Some(Stored { header, is_tombstone: false }) = &state.stored
            && let Some(at) = header.expires_at
            && stamp < at
        {
            self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
        }
        state.is_written = true;
        if state.current.is_some_and(|header| !header.is_live(stamp)) {
            // What has expired becomes a tombstone of the same revision, as when it is reclaimed.
            state.current = None;
        }
        if state.revision == Revision(0) {
            (state.revision, state.stamp) = (revision, stamp);
        }
    }

    /// Whether nothing has to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && !self.states.values().any(|state| state.is_written)
    }

    /// The rows to write, in the order of their keys: writers that lock in one order can't deadlock.
    pub(super) fn rows(&self) -> Vec<FinalRow<'_>> {
        let written = self.states.iter().filter(|(_, state)| state.is_written);
        written.map(|(key, state)| self.final_row(key, state)).collect()
    }

    fn final_row<'b>(&self, key: &'b Key, state: &State<'b>) -> FinalRow<'b> {
        let prior = state.stored.map_or(Revision(0), |stored| stored.header.revision);
        let tombstone = Header {
            version: 0,
            revision: state.revision,
            created_at: Timestamp::ZERO,
            updated_at: state.stamp,
            expires_at: Some(self.now.max(state.stamp).plus_seconds(TOMBSTONE_SECONDS)),
            value_len: 0,
        };
        match (state.current, state.value) {
            (Some(header), Some(value)) => FinalRow { key, value: Some(value), header, prior },
            _ => FinalRow { key, value: None, header: tombstone, prior },
        }
    }

    /// The records to write, in the order of their keys.
    pub(super) fn records(&self) -> Vec<&FinalRecord<'a>> {
        let mut records: Vec<_> = self.records.values().collect();
        records.sort_by_key(|record| record.key);
        records
    }
}

#[cfg(test)]
mod tests;

//! `RestoreBatch`: entries that come back with all their metadata, into a store that has seen nothing else.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    BatchError, FailedCondition, Header, Key, Revision, Timestamp,
    limits::{BATCH_ITEMS_MAX, CLOCK_JUMP_SECONDS_MAX},
};

/// An entry as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreItem {
    /// Its key.
    pub key: Key,
    /// Its metadata.
    pub header: Header,
    /// Its value.
    pub value: Bytes,
}

/// Entries that are restored together or not at all. Non-empty, and each key occurs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreBatch {
    expected: Revision,
    items: Vec<RestoreItem>,
}

/// What an entry's metadata must be like; anything else would break what a store promises of later writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Outside what is counted up to.
    #[error("version and revision are whole numbers from 1 to {}", RESTORED_NUMBER_MAX)]
    Number,
    /// Before the epoch, or an update before the creation.
    #[error("created_at is later than updated_at, or a time is before 1970")]
    Times,
    /// It expired before it was written.
    #[error("expires_at is not later than updated_at")]
    Expiry,
}

/// The greatest version or revision that is taken: what JSON's numbers hold exactly. Counting goes on from there for ever.
pub const RESTORED_NUMBER_MAX: u64 = 1 << 53;

impl RestoreItem {
    /// Checks an entry's metadata; `value_len` is set from the value.
    ///
    /// # Errors
    /// See [`MetadataError`].
    pub fn new(key: Key, header: Header, value: Bytes) -> Result<Self, MetadataError> {
        let numbers = 1..=RESTORED_NUMBER_MAX;
        if !numbers.contains(&header.version) || !numbers.contains(&header.revision.0) {
            return Err(MetadataError::Number);
        }
        if header.created_at <= Timestamp::ZERO || header.updated_at < header.created_at {
            return Err(MetadataError::Times);
        }
        if header.expires_at.is_some_and(|at| at <= header.updated_at) {
            return Err(MetadataError::Expiry);
        }
        let header = Header { value_len: value.len() as u64, ..header };
        Ok(Self { key, header, value })
    }
}

impl RestoreBatch {
    /// Checks items and makes them a batch that is applied where the last applied revision is `expected`.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn new(expected: Revision, items: Vec<RestoreItem>) -> Result<Self, BatchError> {
        if items.is_empty() {
            return Err(BatchError::Empty);
        }
        if items.len() > BATCH_ITEMS_MAX {
            return Err(BatchError::TooLong { items: items.len() });
        }
        let mut first = HashMap::with_capacity(items.len());
        let mut duplicates = Vec::new();
        for (at, item) in items.iter().enumerate() {
            if let Some(before) = first.insert(&item.key, at) {
                duplicates.push((at, before));
            }
        }
        if duplicates.is_empty() { Ok(Self { expected, items }) } else { Err(BatchError::DuplicateKeys(duplicates)) }
    }

    /// The last applied revision that the store must have.
    #[must_use]
    pub const fn expected(&self) -> Revision {
        self.expected
    }

    /// The entries, in the order in which they were given.
    #[must_use]
    pub fn items(&self) -> &[RestoreItem] {
        &self.items
    }

    /// Bytes of its keys and values, with a fixed sum per entry for what surrounds them.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.items.iter().map(|item| item.key.as_bytes().len() + item.value.len() + 64).sum()
    }
}

/// What became of a batch of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// All of them are there.
    Restored {
        /// The store's last applied revision now: what the next batch expects.
        applied: Revision,
    },
    /// Something else was written since: nothing changed.
    Moved {
        /// The store's last applied revision.
        applied: Revision,
    },
    /// Keys that hold another entry: nothing changed.
    Occupied(Vec<FailedCondition>),
    /// Entries, by their positions, that were written too far in the future of this store's clock: nothing changed.
    Ahead(Vec<usize>),
}

/// What evaluating a batch of entries came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEvaluation<'a> {
    /// What the caller is told.
    pub outcome: RestoreOutcome,
    /// What must be stored.
    pub entries: Vec<&'a RestoreItem>,
    /// The last revision and stamp of the store once that is stored.
    pub revision: Revision,
    /// See `revision`.
    pub stamp: Timestamp,
}

/// Decides a batch of entries, as [`evaluate`](crate::evaluate) decides a batch of writes.
///
/// `current` holds, for each item in its order, the header stored under its key (expired ones too); `revision` and `stamp` are the
/// store's last ones; `proposed` is the time at which the batch was proposed.
///
/// A batch whose entries are all there already is answered as restored whatever revision it expects, so that a caller who does not
/// know what became of it can send it again. An entry that has expired counts as there where it is not: it may have been reclaimed.
/// `proposed` must be the clock's own time: measured from stamps, entries from the future could lead store time on step by step.
#[must_use]
pub fn evaluate_restore<'a>(
    batch: &'a RestoreBatch,
    current: &[Option<Header>],
    revision: Revision,
    stamp: Timestamp,
    proposed: Timestamp,
) -> RestoreEvaluation<'a> {
    debug_assert_eq!(batch.items().len(), current.len(), "a header for each item");
    let nothing = |outcome| RestoreEvaluation { outcome, entries: Vec::new(), revision, stamp };
    let now = stamp.max(proposed);
    let there = |item: &RestoreItem, stored: &Option<Header>| match stored {
        // Every store counts its revisions from 1: the same number alone would not show that it is the same entry.
        Some(header) => *header == item.header,
        None => !item.header.is_live(now),
    };
    let pairs = || batch.items.iter().zip(current);
    if batch.expected != revision {
        // One at least must be stored: entries that have all expired would prove nothing of what was restored here.
        let repeated = pairs().all(|(item, stored)| there(item, stored)) && current.iter().any(Option::is_some);
        return nothing(if repeated {
            RestoreOutcome::Restored { applied: revision }
        } else {
            RestoreOutcome::Moved { applied: revision }
        });
    }
    let occupied = pairs().enumerate().filter(|(_, (item, stored))| stored.is_some_and(|header| header != item.header));
    let occupied: Vec<_> = occupied.map(|(index, (_, stored))| FailedCondition { index, current: *stored }).collect();
    if !occupied.is_empty() {
        return nothing(RestoreOutcome::Occupied(occupied));
    }
    // Store time never goes back: an entry from the far future would take it along for ever.
    let latest = stamp.max(proposed.plus_seconds(CLOCK_JUMP_SECONDS_MAX));
    let ahead: Vec<_> = pairs().enumerate().filter(|(_, (item, _))| item.header.updated_at > latest).map(|(index, _)| index).collect();
    if !ahead.is_empty() {
        return nothing(RestoreOutcome::Ahead(ahead));
    }
    let entries: Vec<_> = pairs().filter(|(_, stored)| stored.is_none()).map(|(item, _)| item).collect();
    let greatest = entries.iter().map(|item| item.header.revision).fold(revision, Ord::max);
    let latest = entries.iter().map(|item| item.header.updated_at).fold(stamp, Ord::max);
    RestoreEvaluation { outcome: RestoreOutcome::Restored { applied: greatest }, entries, revision: greatest, stamp: latest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

    fn item(key: &str, revision: u64) -> RestoreItem {
        let header = Header {
            version: 1,
            revision: Revision(revision),
            created_at: Timestamp::from_micros(1),
            updated_at: Timestamp::from_micros(2),
            expires_at: None,
            value_len: 0,
        };
        RestoreItem::new(Key::new(key).expect("a key"), header, Bytes::from_static(b"v")).expect("an entry")
    }

    fn batch(expected: u64, items: Vec<RestoreItem>) -> RestoreBatch {
        RestoreBatch::new(Revision(expected), items).expect("a batch")
    }

    fn decide<'a>(batch: &'a RestoreBatch, current: &[Option<Header>], revision: u64) -> RestoreEvaluation<'a> {
        evaluate_restore(batch, current, Revision(revision), Timestamp::from_micros(5), NOW)
    }

    #[test]
    fn an_empty_store_takes_entries_and_goes_on_from_the_greatest() {
        let batch = batch(0, vec![item("a", 9), item("b", 7)]);
        let done = decide(&batch, &[None, None], 0);
        assert_eq!(done.outcome, RestoreOutcome::Restored { applied: Revision(9) });
        assert_eq!((done.entries.len(), done.revision, done.stamp), (2, Revision(9), Timestamp::from_micros(5)));
    }

    #[test]
    fn a_repeat_changes_nothing_and_another_write_stops_it() {
        let one = item("a", 9);
        let batch = batch(0, vec![one.clone(), item("b", 7)]);
        let all = [Some(one.header), Some(item("b", 7).header)];
        assert_eq!(decide(&batch, &all, 9).outcome, RestoreOutcome::Restored { applied: Revision(9) });
        assert!(decide(&batch, &all, 9).entries.is_empty());
        assert_eq!(decide(&batch, &[Some(one.header), None], 9).outcome, RestoreOutcome::Moved { applied: Revision(9) });
        let none_stored = decide(&batch, &[None, None], 9).outcome;
        assert_eq!(none_stored, RestoreOutcome::Moved { applied: Revision(9) });
        let same_number = Header { version: 2, ..one.header };
        assert_eq!(decide(&batch, &[Some(same_number), all[1]], 9).outcome, RestoreOutcome::Moved { applied: Revision(9) });
        let other = Header { revision: Revision(1), ..one.header };
        match decide(&batch, &[None, Some(other)], 0).outcome {
            RestoreOutcome::Occupied(failed) => assert_eq!(failed, [FailedCondition { index: 1, current: Some(other) }]),
            outcome => panic!("{outcome:?}"),
        }
    }

    /// A batch of expired entries was taken for a repeat in a store that had never seen them, and opened it for the next batch.
    #[test]
    fn expired_entries_alone_are_no_repeat() {
        let mut expired = item("a", 9);
        expired.header.expires_at = Some(Timestamp::from_micros(3));
        let batch = batch(0, vec![expired]);
        assert_eq!(decide(&batch, &[None], 5_000).outcome, RestoreOutcome::Moved { applied: Revision(5_000) });
    }

    /// Each batch could move store time on by an hour, and the next was measured from there.
    #[test]
    fn entries_from_the_future_do_not_lead_store_time_on() {
        let ahead = NOW.plus_seconds(CLOCK_JUMP_SECONDS_MAX);
        let mut further = item("b", 10);
        further.header.updated_at = ahead.plus_seconds(CLOCK_JUMP_SECONDS_MAX);
        let batch = batch(9, vec![further]);
        let done = evaluate_restore(&batch, &[None], Revision(9), ahead, NOW);
        assert_eq!(done.outcome, RestoreOutcome::Ahead(vec![0]));
    }

    #[test]
    fn metadata_that_no_store_gives_is_refused() {
        let good = item("a", 1);
        let with = |header: Header| RestoreItem::new(good.key.clone(), header, good.value.clone());
        let header = good.header;
        assert!(with(Header { expires_at: Some(Timestamp::from_micros(3)), ..header }).is_ok());
        for damaged in [
            Header { version: 0, ..header },
            Header { revision: Revision(0), ..header },
            Header { revision: Revision(RESTORED_NUMBER_MAX + 1), ..header },
            Header { created_at: Timestamp::from_micros(3), ..header },
            Header { created_at: Timestamp::ZERO, ..header },
            Header { expires_at: Some(header.updated_at), ..header },
        ] {
            assert!(with(damaged).is_err(), "{damaged:?} was taken");
        }
        let mut ahead = item("a", 1);
        ahead.header.updated_at = NOW.plus_seconds(CLOCK_JUMP_SECONDS_MAX + 1);
        assert_eq!(decide(&batch(0, vec![ahead]), &[None], 0).outcome, RestoreOutcome::Ahead(vec![0]));
        assert!(
            matches!(RestoreBatch::new(Revision(0), vec![item("a", 1), item("a", 2)]), Err(BatchError::DuplicateKeys(at)) if at == [(1, 0)])
        );
    }
}

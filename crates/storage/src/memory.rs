//! `MemoryEngine`: the executable specification of [`Engine`]. Maps under one lock, and nothing clever: other engines are held
//! against it. It keeps no files but the checkpoints it is asked for, ignores hints, and never waits for a disk.

mod checkpoint;
mod records;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, ops::Bound, path::Path};

use bytes::Bytes;
use kvstore_types::{
    Entry, Evaluation, Header, Key, Outcome, Page, Projection, RestoreBatch, RestoreOutcome, Scan, Timestamp, WriteBatch, evaluate,
    evaluate_restore,
    limits::{PAGE_BYTES_MAX, SCAN_RECORDS_MAX},
    next_stamp,
};
use parking_lot::RwLock;

use self::records::Records;
use crate::{Durability, Engine, EngineError, EngineStats, Hints, Position, Proposal, ReadTier, Reclaimable};

/// An engine in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryEngine {
    contents: RwLock<Contents>,
}

/// All that an engine holds, so that `replace` is one assignment.
#[derive(Debug, Default, PartialEq, Eq)]
struct Contents {
    position: Position,
    entries: BTreeMap<Key, (Header, Bytes)>,
    records: Records,
    meta: BTreeMap<String, Bytes>,
}

impl Contents {
    fn headers(&self, batch: &WriteBatch) -> Vec<Option<Header>> {
        batch.items().iter().map(|item| self.entries.get(&item.key).map(|(header, _)| *header)).collect()
    }

    fn apply(&mut self, batch: &WriteBatch, proposed: Timestamp) -> Outcome {
        let revision = self.position.revision.next();
        let stamp = next_stamp(self.position.stamp, proposed);
        let current = self.headers(batch);
        let record = batch.idempotency().and_then(|(key, _)| self.records.get(key));
        let Evaluation { outcome, changes, record } = evaluate(batch, &current, record, revision, stamp);
        if changes.is_empty() {
            return outcome;
        }
        self.position = Position { revision, stamp };
        for change in changes {
            match change.after {
                Some((header, value)) => self.entries.insert(change.item.key.clone(), (header, value.clone())),
                None => self.entries.remove(&change.item.key),
            };
        }
        if let (Some((key, _)), Some(record)) = (batch.idempotency(), record) {
            self.records.insert(key.clone(), record);
        }
        outcome
    }

    fn carry(&mut self, meta: &[(&str, &[u8])]) {
        for (key, value) in meta {
            self.meta.insert((*key).to_owned(), Bytes::copy_from_slice(value));
        }
    }

    fn get(&self, key: &Key, projection: Projection, now: Timestamp) -> Option<Entry> {
        self.entries.get(key).and_then(|(header, value)| shown(key, header, value, projection, now))
    }

    fn scan(&self, scan: &Scan, now: Timestamp) -> Page {
        let (low, high) = match (&scan.after, scan.reverse) {
            (None, _) => (Bound::Unbounded, Bound::Unbounded),
            (Some(after), false) => (Bound::Excluded(after), Bound::Unbounded),
            (Some(after), true) => (Bound::Unbounded, Bound::Excluded(after)),
        };
        let span = self.entries.range::<Key, _>((low, high)).filter(|(key, _)| scan.range.contains(key));
        if scan.reverse { self.page(span.rev(), scan, now) } else { self.page(span, scan, now) }
    }

    /// Examines records in order until the page is full. A full page has a `next` only if another record follows in the range.
    fn page<'a>(&self, span: impl Iterator<Item = (&'a Key, &'a (Header, Bytes))>, scan: &Scan, now: Timestamp) -> Page {
        let mut page = Page { applied: self.position.revision, ..Page::default() };
        let (mut bytes, mut examined, mut last) = (0, 0, None);
        for (key, (header, value)) in span {
            let entry = shown(key, header, value, scan.projection, now);
            let weight = entry.as_ref().and_then(|entry| entry.value.as_ref()).map_or(0, Bytes::len);
            // The first value goes in whatever its size, so that paging gets on.
            let too_large = bytes > 0 && bytes + weight > PAGE_BYTES_MAX;
            if page.entries.len() >= scan.limit || examined >= SCAN_RECORDS_MAX || too_large {
                page.next = last;
                break;
            }
            examined += 1;
            bytes += weight;
            page.entries.extend(entry);
            last = Some(key.clone());
        }
        page
    }
}

/// An entry as a reader sees it at this store time.
fn shown(key: &Key, header: &Header, value: &Bytes, projection: Projection, now: Timestamp) -> Option<Entry> {
    let value = (projection == Projection::Full).then(|| value.clone());
    header.is_live(now).then(|| Entry { key: key.clone(), header: *header, value })
}

impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn apply(
        &self,
        group: &[Proposal],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        _durability: Durability,
    ) -> Result<Vec<Result<Outcome, EngineError>>, EngineError> {
        let mut contents = self.contents.write();
        let outcomes = group.iter().map(|proposal| Ok(contents.apply(&proposal.batch, proposed))).collect();
        contents.carry(meta);
        if group.is_empty() && !meta.is_empty() {
            contents.position.stamp = contents.position.stamp.max(proposed);
        }
        Ok(outcomes)
    }

    fn reclaim(
        &self,
        due: &[Reclaimable],
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        _durability: Durability,
    ) -> Result<usize, EngineError> {
        let mut contents = self.contents.write();
        contents.carry(meta);
        let stamp = next_stamp(contents.position.stamp, proposed);
        let mut entries = 0;
        for Reclaimable { key, revision } in due {
            let ended = |(header, _): &(Header, Bytes)| header.revision == *revision && !header.is_live(stamp);
            if contents.entries.get(key).is_some_and(ended) {
                contents.entries.remove(key);
                entries += 1;
            }
        }
        let records = contents.records.remove_ended(stamp);
        if entries + records > 0 {
            contents.position.stamp = stamp;
        }
        Ok(entries)
    }

    fn restore(
        &self,
        batch: &RestoreBatch,
        proposed: Timestamp,
        meta: &[(&str, &[u8])],
        _durability: Durability,
    ) -> Result<RestoreOutcome, EngineError> {
        let mut contents = self.contents.write();
        let current: Vec<_> = batch.items().iter().map(|item| contents.entries.get(&item.key).map(|(header, _)| *header)).collect();
        let Position { revision, stamp } = contents.position;
        let done = evaluate_restore(batch, &current, revision, stamp, proposed);
        for item in done.entries {
            contents.entries.insert(item.key.clone(), (item.header, item.value.clone()));
        }
        contents.position = Position { revision: done.revision, stamp: done.stamp };
        contents.carry(meta);
        Ok(done.outcome)
    }

    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Reclaimable>, EngineError> {
        let contents = self.contents.read();
        let mut due: Vec<_> = contents
            .entries
            .iter()
            .filter(|(_, (header, _))| !header.is_live(now))
            .map(|(key, (header, _))| (header.expires_at, key, header.revision))
            .collect();
        due.sort();
        Ok(due.into_iter().take(limit).map(|(_, key, revision)| Reclaimable { key: key.clone(), revision }).collect())
    }

    fn get(&self, key: &Key, projection: Projection, now: Timestamp, _tier: ReadTier) -> Result<Option<Entry>, EngineError> {
        Ok(self.contents.read().get(key, projection, now))
    }

    fn hints(&self, batch: &WriteBatch, _tier: ReadTier) -> Result<Hints, EngineError> {
        let contents = self.contents.read();
        Ok(Hints { generation: 0, as_of: contents.position.revision, headers: contents.headers(batch) })
    }

    fn get_many(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Entry>>, EngineError> {
        let contents = self.contents.read();
        Ok(keys.iter().map(|key| contents.get(key, Projection::Full, now)).collect())
    }

    fn scan(&self, scan: &Scan, now: Timestamp, _tier: ReadTier) -> Result<Page, EngineError> {
        Ok(self.contents.read().scan(scan, now))
    }

    fn position(&self) -> Position {
        self.contents.read().position
    }

    fn meta(&self, key: &str) -> Result<Option<Bytes>, EngineError> {
        Ok(self.contents.read().meta.get(key).cloned())
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        checkpoint::save(&self.contents.read(), dir)
    }

    fn replace(&self, dir: &Path) -> Result<(), EngineError> {
        let contents = checkpoint::load(dir)?;
        *self.contents.write() = contents;
        Ok(())
    }

    fn stats(&self) -> EngineStats {
        let contents = self.contents.read();
        vec![("entries", contents.entries.len() as f64), ("idempotency_record_bytes", contents.records.bytes() as f64)]
    }
}

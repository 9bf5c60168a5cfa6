//! Reading a generation: a key, many keys, a page, and the headers that a batch will be evaluated against.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kvstore_types::{
    Entry, Header, Key, Page, Projection, Scan, Timestamp, WriteBatch,
    limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, SCAN_CACHED_RECORDS_MAX, SCAN_RECORDS_MAX, SCAN_TIME_MS_MAX},
};
use rocksdb::{ColumnFamily, DBRawIterator, ReadOptions, Snapshot};

use super::{
    entry_cache::Cached,
    generation::{Generation, read_error},
    layout::{ENTRIES, Record, VALUES, value_key},
};
use crate::{EngineError, Hints, ReadTier};

/// How many records a scan examines between two looks at the clock.
const RECORDS_PER_CLOCK_LOOK: usize = 256;

fn read_options(tier: ReadTier) -> ReadOptions {
    let mut options = ReadOptions::default();
    if tier != ReadTier::Disk {
        options.set_read_tier(rocksdb::ReadTier::BlockCache);
    }
    options
}

fn entry(key: &Key, header: Header, value: Option<Bytes>) -> Entry {
    Entry { key: key.clone(), header, value }
}

impl Generation {
    pub(super) fn get(&self, key: &Key, projection: Projection, now: Timestamp, tier: ReadTier) -> Result<Option<Entry>, EngineError> {
        if let Some(Cached { header, value }) = self.cache.get(key) {
            let value = (projection == Projection::Full).then_some(value);
            return Ok(header.is_live(now).then(|| entry(key, header, value)));
        }
        if tier == ReadTier::Cache {
            self.cache.count_miss();
            return Err(EngineError::WouldBlock);
        }
        // The ticket comes before the read: what is written in between must not be covered by what was read.
        let ticket = self.cache.ticket(key);
        let stored = self.db.get_pinned_cf_opt(self.family(ENTRIES)?, key, &read_options(tier)).map_err(read_error)?;
        let Some(stored) = stored else { return Ok(None) };
        let record = Record::decode(&stored).map_err(|error| damaged(key, &error))?;
        if !record.header.is_live(now) {
            return Ok(None);
        }
        match (projection, record.inline) {
            (Projection::Header, _) => Ok(Some(entry(key, record.header, None))),
            (Projection::Full, Some(value)) => {
                let value = Bytes::copy_from_slice(value);
                if let Some(ticket) = ticket {
                    self.cache.fill(ticket, key, record.header, &value);
                }
                Ok(Some(entry(key, record.header, Some(value))))
            }
            (Projection::Full, None) => {
                drop(stored);
                self.get_apart(key, now, tier, ticket)
            }
        }
    }

    /// Reads an entry whose value lies apart: record and value from one snapshot, since an overwrite removes the value.
    fn get_apart(
        &self,
        key: &Key,
        now: Timestamp,
        tier: ReadTier,
        ticket: Option<super::entry_cache::Ticket>,
    ) -> Result<Option<Entry>, EngineError> {
        let view = View::of(self, tier)?;
        let Some(found) = view.entry(key, Projection::Full, now)? else { return Ok(None) };
        if let (Some(ticket), Some(value)) = (ticket, &found.value) {
            self.cache.fill(ticket, key, found.header, value);
        }
        Ok(Some(found))
    }

    /// What is stored under a key, expired or not, without its value.
    pub(super) fn stored_header(&self, key: &Key, tier: ReadTier) -> Result<Option<Header>, EngineError> {
        if let Some(header) = self.cache.peek_header(key) {
            return Ok(Some(header));
        }
        if tier == ReadTier::Cache {
            return Err(EngineError::WouldBlock);
        }
        let stored = self.db.get_pinned_cf_opt(self.family(ENTRIES)?, key, &read_options(tier)).map_err(read_error)?;
        stored.map(|bytes| Record::decode(&bytes).map(|record| record.header).map_err(|error| damaged(key, &error))).transpose()
    }

    pub(super) fn hints(&self, batch: &WriteBatch, tier: ReadTier) -> Result<Hints, EngineError> {
        // The position comes first: a change after it may or may not be in the headers, and the committer will look.
        let as_of = self.position().revision;
        let headers = batch.items().iter().map(|item| self.stored_header(&item.key, tier)).collect::<Result<_, _>>()?;
        Ok(Hints { generation: self.number, as_of, headers })
    }

    pub(super) fn get_many(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Entry>>, EngineError> {
        let view = View::of(self, ReadTier::Disk)?;
        keys.iter().map(|key| view.entry(key, Projection::Full, now)).collect()
    }

    pub(super) fn scan(&self, scan: &Scan, now: Timestamp, tier: ReadTier) -> Result<Page, EngineError> {
        let applied = self.position().revision;
        let view = View::of(self, tier)?;
        let mut cursor = view.cursor(scan, scan.after.as_ref(), Blocks::Cached);
        let mut page = Page { applied, ..Page::default() };
        let limit = scan.limit.clamp(1, PAGE_ENTRIES_MAX);
        let deadline = Instant::now() + Duration::from_millis(SCAN_TIME_MS_MAX);
        let (mut bytes, mut examined) = (0, 0);
        let mut last = None;
        while let Some((stored_key, stored)) = cursor.item() {
            let scan_is_over = examined >= SCAN_RECORDS_MAX
                || (examined % RECORDS_PER_CLOCK_LOOK == RECORDS_PER_CLOCK_LOOK - 1 && Instant::now() >= deadline);
            if page.entries.len() >= limit || scan_is_over {
                page.next = last;
                return Ok(page);
            }
            let key = Key::from_bytes(stored_key).map_err(|error| EngineError::Damaged(format!("a stored key: {error}")))?;
            examined += 1;
            if let Some(found) = view.decode(&key, stored, scan.projection, now, bytes)? {
                match found {
                    Found::Entry(found) => {
                        bytes += found.value.as_ref().map_or(0, Bytes::len);
                        page.entries.push(found);
                    }
                    Found::TooLarge => {
                        page.next = last;
                        return Ok(page);
                    }
                }
            }
            if examined == SCAN_CACHED_RECORDS_MAX {
                cursor = view.cursor(scan, Some(&key), Blocks::Passing);
            } else {
                cursor.advance();
            }
            last = Some(key);
        }
        cursor.finish()?;
        Ok(page)
    }
}

/// What becomes of the blocks that a scan reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blocks {
    /// They are put into the block cache.
    Cached,
    /// They are not: an export must not push out what others read often, nor fill the memory by itself.
    Passing,
}

/// What a record holds for a page that already holds some bytes.
enum Found {
    Entry(Entry),
    /// It does not fit any more.
    TooLarge,
}

/// A snapshot across column families.
struct View<'a> {
    snapshot: Snapshot<'a>,
    entries: &'a ColumnFamily,
    values: &'a ColumnFamily,
    tier: ReadTier,
}

impl<'a> View<'a> {
    fn of(generation: &'a Generation, tier: ReadTier) -> Result<Self, EngineError> {
        let (entries, values) = (generation.family(ENTRIES)?, generation.family(VALUES)?);
        Ok(Self { snapshot: generation.db.snapshot(), entries, values, tier })
    }

    fn entry(&self, key: &Key, projection: Projection, now: Timestamp) -> Result<Option<Entry>, EngineError> {
        let stored = self.snapshot.get_pinned_cf_opt(self.entries, key, read_options(self.tier)).map_err(read_error)?;
        let Some(stored) = stored else { return Ok(None) };
        match self.decode(key, &stored, projection, now, 0)? {
            Some(Found::Entry(found)) => Ok(Some(found)),
            Some(Found::TooLarge) | None => Ok(None),
        }
    }

    /// The entry of a record, with its value from wherever it lies; `None` if it has expired.
    fn decode(&self, key: &Key, stored: &[u8], projection: Projection, now: Timestamp, bytes: usize) -> Result<Option<Found>, EngineError> {
        let record = Record::decode(stored).map_err(|error| damaged(key, &error))?;
        if !record.header.is_live(now) {
            return Ok(None);
        }
        if projection == Projection::Header {
            return Ok(Some(Found::Entry(entry(key, record.header, None))));
        }
        // The first entry goes in whatever its size, so that a page makes progress.
        if bytes > 0 && bytes as u64 + record.header.value_len > PAGE_BYTES_MAX as u64 {
            return Ok(Some(Found::TooLarge));
        }
        let value = match record.inline {
            Some(value) => Bytes::copy_from_slice(value),
            None => self.value(key, &record.header)?,
        };
        Ok(Some(Found::Entry(entry(key, record.header, Some(value)))))
    }

    fn value(&self, key: &Key, header: &Header) -> Result<Bytes, EngineError> {
        let stored = self
            .snapshot
            .get_cf_opt(self.values, value_key(key, header.revision), read_options(self.tier))
            .map_err(read_error)?
            .ok_or_else(|| EngineError::Damaged(format!("the value of key {key} at revision {} is missing", header.revision)))?;
        if stored.len() as u64 != header.value_len {
            return Err(EngineError::Damaged(format!("the value of key {key} has {} bytes, not {}", stored.len(), header.value_len)));
        }
        Ok(stored.into())
    }

    /// An iterator that stands at the first record of the scan after this key.
    fn cursor(&self, scan: &Scan, after: Option<&Key>, blocks: Blocks) -> Cursor<'_> {
        let mut options = read_options(self.tier);
        options.fill_cache(blocks == Blocks::Cached);
        let after = after.map(Key::as_bytes);
        let mut lower = scan.range.lower().to_vec();
        let mut upper = scan.range.upper();
        match (after, scan.reverse) {
            // No key holds a zero byte, so this is the first text after the key.
            (Some(after), false) => lower = lower.max([after, &[0]].concat()),
            (Some(after), true) => upper = Some(upper.map_or_else(|| after.to_vec(), |upper| upper.min(after.to_vec()))),
            (None, _) => {}
        }
        let is_empty = upper.as_ref().is_some_and(|upper| *upper <= lower);
        options.set_iterate_lower_bound(lower);
        if let Some(upper) = upper {
            options.set_iterate_upper_bound(upper);
        }
        let mut inner = self.snapshot.raw_iterator_cf_opt(self.entries, options);
        if !is_empty {
            if scan.reverse { inner.seek_to_last() } else { inner.seek_to_first() }
        }
        Cursor { inner, reverse: scan.reverse, is_empty }
    }
}

/// A position in the records of a scan.
struct Cursor<'a> {
    inner: DBRawIterator<'a>,
    reverse: bool,
    /// Nothing can lie between the bounds: the iterator was never placed.
    is_empty: bool,
}

impl Cursor<'_> {
    fn item(&self) -> Option<(&[u8], &[u8])> {
        if self.is_empty { None } else { self.inner.item() }
    }

    fn advance(&mut self) {
        if self.reverse { self.inner.prev() } else { self.inner.next() }
    }

    /// Tells the end of the range from a failed read.
    fn finish(self) -> Result<(), EngineError> {
        self.inner.status().map_err(read_error)
    }
}

fn damaged(key: &Key, error: &kvstore_types::DecodeError) -> EngineError {
    EngineError::Damaged(format!("the record of key {key}: {error}"))
}

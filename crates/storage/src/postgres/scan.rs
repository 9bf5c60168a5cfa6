//! Reading pages. One statement gives most of them: the rows that the page may need, each with its value where that is small, so that
//! what is held in memory is one page at most.
//!
//! Where that is not enough, since a value is larger or many rows are of deleted keys, or where the table is sharded, headers come first.
//! The page is cut by them, and only then are its values read, however large those beyond its end are: from the same snapshot, if there is one.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::LazyLock,
    time::{Duration, Instant},
};

use kvstore_types::{
    Entry, Key, Page, Projection, Revision, Scan, Timestamp,
    limits::{
        DATABASE_ATTEMPTS_MAX, KEY_CHARS_MAX, PAGE_BYTES_MAX, PAGE_CONFIRMATIONS_MAX, PAGE_ENTRIES_MAX, SCAN_RECORDS_MAX, SCAN_TIME_MS_MAX,
    },
};
use tokio_postgres::Row;

use super::{
    Shared,
    connect::{Lease, within},
    error::Fault,
    pooling::Purpose,
    read::{Seen, seen},
    rows::{self, AFTER_HEADER},
    time::StoreTime,
};
use crate::StoreError;

/// A text after every key.
static AFTER_ALL: LazyLock<String> = LazyLock::new(|| "\u{10ffff}".repeat(KEY_CHARS_MAX + 1));

impl Shared {
    pub(super) async fn scan(&self, scan: &Scan) -> Result<Page, StoreError> {
        let mut broke = false;
        for _ in 0..DATABASE_ATTEMPTS_MAX {
            match self.page(scan).await {
                Ok(Some(page)) => return Ok(page),
                Ok(None) => {}
                Err(fault) if fault.is_broken_connection() && !broke => broke = true,
                Err(fault) if fault.is_conflict() => {}
                Err(fault) => return Err(fault.told()),
            }
        }
        Err(StoreError::Overloaded("other writes change the same keys all the time"))
    }

    /// One attempt: `None` where a key that has just expired was changed meanwhile.
    async fn page(&self, scan: &Scan) -> Result<Option<Page>, Fault> {
        let applied = self.applied();
        let bounds = Bounds::of(scan);
        // Each shard would give as many values as the whole page needs.
        let is_one_table = scan.projection == Projection::Header || !self.pool.is_distributed();
        let cut = if is_one_table { self.cut_at_once(scan, &bounds).await? } else { None };
        let cut = match cut {
            Some(cut) => cut,
            None => self.cut_in_steps(scan, bounds).await?,
        };
        Ok(self.confirm(&cut.just_expired).await?.then(|| cut.page(applied)))
    }

    /// `None` where one statement does not give the whole page.
    async fn cut_at_once(&self, scan: &Scan, bounds: &Bounds<'_>) -> Result<Option<Cut>, Fault> {
        let mut cut = Cut::new(scan);
        let asked = cut.limit + 1;
        let values = match scan.projection {
            Projection::Full => Values::UpTo(PAGE_BYTES_MAX / asked),
            Projection::Header => Values::None,
        };
        let mut lease = self.pool.get().await?;
        lease.begin();
        let answer = within(rows_of(&lease, bounds, scan.reverse, asked, values)).await;
        lease.end();
        let rows = lease.settle(answer)?;
        drop(lease);
        let is_end = rows.len() < asked;
        let is_cut = cut.add(rows, &self.time)? == More::No || is_end;
        Ok((is_cut && cut.has_values()).then_some(cut))
    }

    async fn cut_in_steps(&self, scan: &Scan, mut bounds: Bounds<'_>) -> Result<Cut, Fault> {
        let mut cut = Cut::new(scan);
        let mut asked = cut.limit + 1;
        let mut lease = self.pool.get().await?;
        let is_distributed = lease.is_distributed;
        lease.begin();
        let answer = within(async {
            // Where there is no common snapshot, a transaction has none either.
            let begin = async { if is_distributed { Ok(()) } else { lease.start(Purpose::Snapshot).await } };
            let (begun, rows) = tokio::join!(biased; begin, rows_of(&lease, &bounds, scan.reverse, asked, Values::None));
            begun?;
            rows
        });
        let answer = answer.await;
        let mut rows = lease.settle(answer)?;
        loop {
            let is_end = rows.len() < asked;
            if cut.add(rows, &self.time)? == More::No || is_end {
                break;
            }
            if cut.is_over_time() {
                cut.next = cut.last.clone();
                break;
            }
            asked = PAGE_ENTRIES_MAX;
            bounds.pass(cut.last.as_ref(), scan.reverse);
            let answer = within(rows_of(&lease, &bounds, scan.reverse, asked, Values::None)).await;
            rows = lease.settle(answer)?;
        }
        cut.finish(lease).await?;
        if is_distributed {
            cut.read_changed(self).await?;
        }
        Ok(cut)
    }
}

/// Which values come with their rows.
#[derive(Clone, Copy)]
enum Values {
    None,
    /// Those of so many bytes at most.
    UpTo(usize),
}

async fn rows_of(
    lease: &Lease,
    bounds: &Bounds<'_>,
    reverse: bool,
    limit: usize,
    values: Values,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = if reverse { &lease.statements.page_down } else { &lease.statements.page_up };
    let value_max = match values {
        Values::None => -1,
        Values::UpTo(bytes) => rows::bigint(bytes as u64),
    };
    lease.query(statement, &[&&*bounds.from, &&*bounds.below, &rows::bigint(limit as u64), &value_max]).await
}

/// Where keys lie: from one text on, and below another. Texts, since the database takes no other bytes.
struct Bounds<'a> {
    from: Cow<'a, str>,
    below: Cow<'a, str>,
}

/// The first text behind a key: no text holds a character less than this one.
fn behind(key: &Key) -> String {
    // Not as it is displayed, which escapes some characters.
    format!("{}\u{1}", key.as_str())
}

impl<'a> Bounds<'a> {
    fn of(scan: &'a Scan) -> Self {
        let below = [scan.range.end().map(behind), scan.range.text_after_prefix()].into_iter().flatten().min();
        let mut bounds = Self { from: scan.range.lower_text().into(), below: below.map_or(Cow::Borrowed(AFTER_ALL.as_str()), Cow::Owned) };
        bounds.pass(scan.after.as_ref(), scan.reverse);
        bounds
    }

    /// Leaves what lies behind a key, where there is one.
    fn pass(&mut self, key: Option<&Key>, reverse: bool) {
        match key {
            Some(key) if reverse && key.as_str() < &*self.below => self.below = key.as_str().to_owned().into(),
            Some(key) if !reverse && key.as_str() >= &*self.from => self.from = behind(key).into(),
            _ => {}
        }
    }
}

#[derive(PartialEq, Eq)]
enum More {
    Yes,
    No,
}

/// A page as far as it is cut.
struct Cut {
    /// Read with the first rows that can expire.
    now: Option<Timestamp>,
    limit: usize,
    projection: Projection,
    deadline: Instant,
    entries: Vec<Entry>,
    just_expired: Vec<(Key, Revision)>,
    bytes: u64,
    examined: usize,
    last: Option<Key>,
    next: Option<Key>,
}

impl Cut {
    fn new(scan: &Scan) -> Self {
        Self {
            now: None,
            limit: scan.limit.clamp(1, PAGE_ENTRIES_MAX),
            projection: scan.projection,
            deadline: Instant::now() + Duration::from_millis(SCAN_TIME_MS_MAX),
            entries: Vec::new(),
            just_expired: Vec::new(),
            bytes: 0,
            examined: 0,
            last: None,
            next: None,
        }
    }

    fn is_over_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Whether each entry has its value, as far as the page shows values.
    fn has_values(&self) -> bool {
        self.projection == Projection::Header || self.entries.iter().all(|entry| entry.value.is_some())
    }

    /// The one time by which all rows are judged: not before any of the first rows that can expire was read.
    fn now(&mut self, rows: &[Row], time: &StoreTime) -> Result<Timestamp, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let mut read = 0;
        for row in rows {
            read = read.max(rows::column(row, AFTER_HEADER)?);
        }
        if read == 0 {
            return Ok(time.seen());
        }
        Ok(*self.now.insert(time.at(read)))
    }

    /// Takes rows into the page, up to the first that does not go in.
    fn add(&mut self, rows: Vec<Row>, time: &StoreTime) -> Result<More, StoreError> {
        let now = self.now(&rows, time)?;
        for row in rows {
            let (key, stored) = (rows::key(&row)?, rows::stored(&row)?);
            let seen = seen(&stored, now);
            let weight = if self.projection == Projection::Full { stored.header.value_len } else { 0 };
            // The first value goes in whatever its size, so that paging gets on.
            let is_too_large = matches!(seen, Seen::There) && self.bytes > 0 && self.bytes + weight > PAGE_BYTES_MAX as u64;
            let is_full = self.entries.len() >= self.limit || self.just_expired.len() >= PAGE_CONFIRMATIONS_MAX;
            if is_full || is_too_large || self.examined >= SCAN_RECORDS_MAX {
                self.next = self.last.take();
                return Ok(More::No);
            }
            self.examined += 1;
            match seen {
                Seen::There => {
                    self.bytes += weight;
                    let value = rows::value_if_read(&row, AFTER_HEADER + 1, &stored.header)?;
                    self.entries.push(Entry { key: key.clone(), header: stored.header, value });
                }
                Seen::Absent => {}
                Seen::JustExpired => self.just_expired.push((key.clone(), stored.header.revision)),
            }
            self.last = Some(key);
        }
        Ok(More::Yes)
    }

    /// Reads the values, and ends the transaction where there is one.
    async fn finish(&mut self, mut lease: Lease) -> Result<(), Fault> {
        let is_full = self.projection == Projection::Full && !self.entries.is_empty();
        let names: Vec<_> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
        let revisions: Vec<_> = self.entries.iter().map(|entry| rows::bigint(entry.header.revision.0)).collect();
        let answer = within(async {
            let values = async {
                match (is_full, lease.is_distributed) {
                    (false, _) => Ok(Vec::new()),
                    (true, false) => lease.query(&lease.statements.page_values, &[&names]).await,
                    (true, true) => lease.query(&lease.statements.page_values_at, &[&names, &revisions]).await,
                }
            };
            let end = async { if lease.is_distributed { Ok(()) } else { lease.client.batch_execute("COMMIT").await } };
            let (values, ended) = tokio::join!(biased; values, end);
            ended?;
            values
        });
        let answer = answer.await;
        let rows = lease.settle(answer)?;
        lease.end();
        let is_distributed = lease.is_distributed;
        if !is_full {
            return Ok(());
        }
        let mut values = HashMap::with_capacity(rows.len());
        for row in &rows {
            values.insert(rows::column::<&str>(row, 0)?, row);
        }
        for entry in &mut self.entries {
            match values.get(entry.key.as_str()) {
                Some(row) => entry.value = Some(rows::value(row, 1, &entry.header)?),
                None if is_distributed => {}
                None => return Err(StoreError::Damaged(format!("key {} has no value", entry.key)).into()),
            }
        }
        Ok(())
    }

    /// Without a common snapshot a row may change before its value is read. Such entries are read anew, each whole, as far as the page
    /// has room and time for them: it is cut behind the last that it has.
    async fn read_changed(&mut self, shared: &Shared) -> Result<(), StoreError> {
        if self.projection == Projection::Header {
            return Ok(());
        }
        let (mut kept, mut bytes, mut examined) = (Vec::with_capacity(self.entries.len()), 0, None);
        for entry in std::mem::take(&mut self.entries) {
            let key = entry.key.clone();
            let entry = match entry.value {
                Some(_) => Some(entry),
                None if examined.is_some() && self.is_over_time() => {
                    self.next = examined;
                    break;
                }
                None => shared.read(&key, Projection::Full).await?,
            };
            bytes += entry.as_ref().map_or(0, |entry| entry.header.value_len);
            if examined.is_some() && bytes > PAGE_BYTES_MAX as u64 {
                self.next = examined;
                break;
            }
            kept.extend(entry);
            examined = Some(key);
        }
        self.entries = kept;
        Ok(())
    }

    fn page(self, applied: Revision) -> Page {
        Page { entries: self.entries, next: self.next, applied }
    }
}

//! Reading pages. Headers come first, as many as the page may need; the page is cut by them, and only then are its values read, from
//! the same snapshot: what is held in memory is one page, however large the values beyond its end are.

use std::{
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
    rows,
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
        let mut lease = self.pool.get().await?;
        lease.begin();
        let bounds = Bounds::of(scan);
        let mut cut = Cut::new(scan, Timestamp::ZERO);
        let mut asked = cut.limit + 1;
        let answer = within(async {
            let (begun, clock, rows) = tokio::join!(
                biased;
                lease.start(Purpose::Snapshot),
                lease.query_one(&lease.statements.clock, &[]),
                headers(&lease, &bounds, scan.reverse, asked),
            );
            begun?;
            Ok((clock?, rows?))
        });
        let answer = answer.await;
        let (clock, mut rows) = lease.settle(answer)?;
        cut.now = self.time.at(rows::column(&clock, 0)?);
        loop {
            let is_end = rows.len() < asked;
            if cut.add(rows)? == More::No || is_end {
                break;
            }
            if cut.is_over_time() {
                cut.next = cut.last.clone();
                break;
            }
            asked = PAGE_ENTRIES_MAX;
            let bounds = bounds.after(cut.last.as_ref(), scan.reverse);
            let answer = within(headers(&lease, &bounds, scan.reverse, asked)).await;
            rows = lease.settle(answer)?;
        }
        let is_distributed = lease.is_distributed;
        cut.finish(lease).await?;
        if is_distributed {
            cut.read_changed(self).await?;
        }
        Ok(self.confirm(&cut.just_expired).await?.then(|| cut.page(applied)))
    }
}

async fn headers(lease: &Lease, bounds: &Bounds<'_>, reverse: bool, limit: usize) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = if reverse { &lease.statements.page_down } else { &lease.statements.page_up };
    let Bounds { above, from, to, below } = bounds;
    lease.query(statement, &[above, from, to, below, &rows::bigint(limit as u64)]).await
}

/// Where keys lie: above one text, from another on, up to a third, and below a fourth. Texts, since the database takes no other bytes.
#[derive(Clone)]
struct Bounds<'a> {
    above: &'a str,
    from: &'a str,
    to: &'a str,
    below: String,
}

impl<'a> Bounds<'a> {
    fn of(scan: &'a Scan) -> Self {
        let bounds = Self {
            above: "",
            from: scan.range.lower_text(),
            to: scan.range.end().map_or(&AFTER_ALL, Key::as_str),
            below: scan.range.text_after_prefix().unwrap_or_else(|| AFTER_ALL.clone()),
        };
        match &scan.after {
            Some(after) if scan.reverse => Self { below: bounds.below.min(after.as_str().to_owned()), ..bounds },
            Some(after) => Self { above: after.as_str(), ..bounds },
            None => bounds,
        }
    }

    /// What is left behind the last key examined.
    fn after<'b>(&'b self, last: Option<&'b Key>, reverse: bool) -> Bounds<'b> {
        match last {
            Some(last) if reverse => Bounds { below: last.as_str().to_owned(), ..self.clone() },
            Some(last) => Bounds { above: last.as_str(), ..self.clone() },
            None => self.clone(),
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
    now: Timestamp,
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
    fn new(scan: &Scan, now: Timestamp) -> Self {
        Self {
            now,
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

    /// Takes rows into the page, up to the first that does not go in.
    fn add(&mut self, rows: Vec<Row>) -> Result<More, StoreError> {
        for row in rows {
            let (key, stored) = (rows::key(&row)?, rows::stored(&row)?);
            let seen = seen(&stored, self.now);
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
                    self.entries.push(Entry { key: key.clone(), header: stored.header, value: None });
                }
                Seen::Absent => {}
                Seen::JustExpired => self.just_expired.push((key.clone(), stored.header.revision)),
            }
            self.last = Some(key);
        }
        Ok(More::Yes)
    }

    /// Reads the values, and ends the transaction.
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
            let (values, ended) = tokio::join!(biased; values, lease.client.batch_execute("COMMIT"));
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

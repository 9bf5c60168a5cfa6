//! The check of all that is stored: every record of every family is read and held against the rules of `layout.rs` and against what
//! other families say of it. Nothing is changed, and nothing that is damaged ends it.
//!
//! What must be found both ways, such as an entry and its value, is counted one way and looked up the other. Only where the counts
//! differ is it looked up both ways, so that a sound store is read once.
//!
//! Filters of tables are not read: damage there costs time and loses nothing.

mod entries;
mod index;
mod requests;
mod values;
mod walk;

use std::path::Path;

use kvstore_types::{Header, Key, Revision};
use rocksdb::{ColumnFamily, DB, Options, ReadOptions};

use super::{
    directory,
    layout::{ENTRIES, FAMILIES, META, META_PREFIX, POSITION, Record},
    read_only::ReadOnly,
};
use crate::{CheckObserver, CheckProgress, Checked, Finding, OpenError, Position};

/// Checks a data directory that no process uses.
pub(crate) fn check_data_dir(root: &Path, observer: &mut dyn CheckObserver) -> Result<Checked, OpenError> {
    let look = directory::look(root)?;
    if let Some(database) = &look.database {
        return Ok(check_database(database, observer));
    }
    observer.note("no database was ever opened here, so there is nothing to read".into());
    Ok(Checked::default())
}

/// Checks a database.
pub(crate) fn check_database(path: &Path, observer: &mut dyn CheckObserver) -> Checked {
    let mut checked = Checked::default();
    let opened = ReadOnly::open(path).and_then(|opened| {
        let families = DB::list_cf(&Options::default(), path).map_err(super::generation::open_error)?;
        Ok((opened, families))
    });
    let (opened, families) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            checked.findings = 1;
            let what = format!("it can't be opened, so nothing in it was read: {}", reason(error));
            observer.finding(Finding { place: format!("the database {}", path.display()), key: None, what });
            return checked;
        }
    };
    let mut check = Check {
        db: &opened.db,
        observer,
        checked,
        progress: CheckProgress::default(),
        limit: Position { revision: Revision(u64::MAX), stamp: kvstore_types::Timestamp::from_micros(i64::MAX) },
        apart: 0,
        expiring: 0,
    };
    check.log(&opened);
    check.families(&families);
    check.position(&opened);
    check.meta();
    check.entries();
    check.values();
    check.expiry();
    check.requests();
    check.checked
}

/// What is wrong, without advice for those who want to serve.
fn reason(error: OpenError) -> String {
    match error {
        OpenError::Damaged(reason) | OpenError::Other(reason) => reason,
        error => error.to_string(),
    }
}

/// A check under way.
struct Check<'a> {
    db: &'a DB,
    observer: &'a mut dyn CheckObserver,
    checked: Checked,
    progress: CheckProgress,
    /// Nothing stored may be later than this.
    limit: Position,
    /// Entries whose value lies apart, and entries that expire.
    apart: u64,
    expiring: u64,
}

/// What is known of the entry that another record belongs to.
enum Owner {
    Found(Header),
    Absent,
    /// It can't be read, which was reported with the entries.
    Unknown,
}

impl<'a> Check<'a> {
    fn finding(&mut self, place: &str, key: Option<&[u8]>, what: impl Into<String>) {
        self.checked.findings += 1;
        self.observer.finding(Finding { place: place.into(), key: key.map(<[u8]>::to_vec), what: what.into() });
    }

    fn family(&self, name: &'static str) -> Option<&'a ColumnFamily> {
        self.db.cf_handle(name)
    }

    /// What stands at the end of the log.
    fn log(&mut self, opened: &ReadOnly) {
        let Some(end) = &opened.end else { return };
        let (file, offset, bytes) = (end.file.display(), end.offset, end.bytes);
        if end.torn {
            self.observer.note(format!(
                "the log {file} ends in a write that was cut off ({bytes} bytes from offset {offset} on), as a crash leaves it \
                 before it is acknowledged; the next start sets it aside"
            ));
        } else {
            let place = file.to_string();
            let what = format!("the end of the log is damaged from offset {offset} on ({bytes} bytes): {}", end.reason);
            self.finding(&place, None, what);
        }
    }

    /// Families that are missing keep the database from opening; here are those that nobody knows.
    fn families(&mut self, found: &[String]) {
        for name in found.iter().filter(|name| !FAMILIES.contains(&name.as_str())) {
            self.finding(name, None, "this version knows no such column family");
        }
        let records =
            FAMILIES.iter().filter_map(|name| self.db.property_int_value_cf(self.family(name)?, "rocksdb.estimate-num-keys").ok()?);
        self.progress.items_expected = records.sum();
    }

    fn position(&mut self, opened: &ReadOnly) {
        match opened.position() {
            Ok(Some(position)) => {
                self.checked.position = Some(position);
                self.limit = position;
            }
            Ok(None) => {
                let mut entries = self.iterator(ENTRIES);
                if let Some(entries) = &mut entries {
                    entries.seek_to_first();
                }
                if entries.is_some_and(|entries| entries.valid()) {
                    self.finding(META, Some(POSITION), "the position is missing, so revisions can't be checked against it");
                }
            }
            Err(error) => self.finding(META, Some(POSITION), reason(error)),
        }
    }

    fn meta(&mut self) {
        self.walk(META, &mut |check, key, _| {
            if key != POSITION && !key.starts_with(META_PREFIX.as_bytes()) {
                check.finding(META, Some(key), "this version knows no such record");
            }
        });
    }

    /// The entry of a key.
    fn owner(&self, key: &Key) -> Owner {
        let Some(entries) = self.family(ENTRIES) else { return Owner::Unknown };
        match self.db.get_pinned_cf_opt(entries, key, &read_options()) {
            Ok(None) => Owner::Absent,
            Ok(Some(stored)) => Record::decode(&stored).map_or(Owner::Unknown, |record| Owner::Found(record.header)),
            Err(_) => Owner::Unknown,
        }
    }

    fn check_revision(&mut self, place: &str, key: &[u8], revision: Revision) {
        let last = self.limit.revision;
        if revision > last || revision == Revision(0) {
            self.finding(place, Some(key), format!("it has revision {revision}; the store has given those from 1 to {last}"));
        }
    }
}

fn read_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}

//! A database directory as a crash leaves it, with a known list of records in its logs, and the judgement of a check on a copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, Options, WriteBatch, WriteOptions};
use tempfile::TempDir;

use super::super::{Checked, WalError, check};

const FAMILIES: [&str; 3] = ["default", "headers", "values"];

pub(super) type Contents = BTreeMap<(String, Vec<u8>), Vec<u8>>;

/// One logical record: a batch of puts.
type Puts = Vec<(&'static str, Vec<u8>, Vec<u8>)>;

/// A live directory, copied while the database was open, and what its logs hold.
pub(super) struct Image {
    dir: TempDir,
    records: Vec<Puts>,
    /// Log file and start of each record, in the order of `records`.
    pub(super) places: Vec<(PathBuf, u64)>,
}

/// A damaged copy, checked.
pub(super) struct Case {
    dir: TempDir,
    pub(super) result: Result<Checked, WalError>,
}

pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    options.set_track_and_verify_wals_in_manifest(true);
    options
}

pub(super) fn open(path: &Path) -> Result<DB, rocksdb::Error> {
    DB::open_cf_descriptors(&options(), path, FAMILIES.map(|name| ColumnFamilyDescriptor::new(name, options())))
}

impl Image {
    /// Writes one record per length in `values`; starts a new log file before the records in `switches`.
    pub(super) fn new(values: &[usize], switches: &[usize]) -> Image {
        let live = TempDir::new().unwrap();
        let db = open(live.path()).unwrap();
        let mut records = Vec::new();
        let mut per_file: Vec<usize> = vec![0];
        for (n, length) in values.iter().enumerate() {
            if switches.contains(&n) {
                // Flushing one family starts a new log; the other families keep the old one alive.
                db.flush_cf(db.cf_handle("values").unwrap()).unwrap();
                per_file.push(0);
            }
            let puts = puts(n, *length);
            let mut batch = WriteBatch::default();
            for (family, key, value) in &puts {
                batch.put_cf(db.cf_handle(family).unwrap(), key, value);
            }
            let mut synced = WriteOptions::default();
            synced.set_sync(true);
            db.write_opt(batch, &synced).unwrap();
            *per_file.last_mut().unwrap() += 1;
            records.push(puts);
        }
        let dir = TempDir::new().unwrap();
        copy(live.path(), dir.path());
        drop(db);
        let logs = logs(dir.path());
        let logs = &logs[logs.len() - per_file.len()..];
        let mut places = Vec::new();
        for (log, count) in logs.iter().zip(per_file) {
            let starts = starts(&fs::read(log).unwrap());
            assert_eq!(starts.len(), count, "records in {}", log.display());
            let name = PathBuf::from(log.file_name().unwrap());
            places.extend(starts.into_iter().map(|start| (name.clone(), start)));
        }
        Image { dir, records, places }
    }

    /// The bytes of a log file.
    pub(super) fn log(&self, name: &Path) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    /// Checks a copy in which the log `name` holds `bytes`. A refusal must leave every file as it was.
    pub(super) fn with_log(&self, name: &Path, bytes: &[u8]) -> Case {
        let dir = TempDir::new().unwrap();
        copy(self.dir.path(), dir.path());
        fs::write(dir.path().join(name), bytes).unwrap();
        let before: Vec<_> = logs(dir.path()).into_iter().map(|log| (fs::read(&log).unwrap(), log)).collect();
        let result = check(dir.path(), &dir.path().join("set-aside"));
        if result.is_err() {
            for (bytes, log) in before {
                assert!(fs::read(&log).unwrap() == bytes, "a refused check changed {}", log.display());
            }
            assert!(!dir.path().join("set-aside").exists(), "a refused check set something aside");
        }
        Case { dir, result }
    }

    /// A copy in which `change` was made to every log.
    pub(super) fn copied(&self, change: impl Fn(&Path, &mut Vec<u8>)) -> TempDir {
        let dir = TempDir::new().unwrap();
        copy(self.dir.path(), dir.path());
        for log in logs(dir.path()) {
            let mut bytes = fs::read(&log).unwrap();
            change(&log, &mut bytes);
            fs::write(&log, bytes).unwrap();
        }
        dir
    }

    /// Checks a copy in which `change` was made to the log that holds record `n`.
    pub(super) fn damaged(&self, n: usize, change: impl FnOnce(&mut Vec<u8>)) -> Case {
        let name = &self.places[n].0;
        let mut bytes = self.log(name);
        change(&mut bytes);
        self.with_log(name, &bytes)
    }

    /// What a database holds after its first `n` records.
    pub(super) fn prefix(&self, n: usize) -> Contents {
        let puts = self.records[..n].iter().flatten();
        puts.map(|(family, key, value)| (((*family).to_owned(), key.clone()), value.clone())).collect()
    }
}

impl Case {
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Asserts a refusal that names the file of record `n`, at its start or later.
    pub(super) fn assert_refused(&self, image: &Image, n: usize, what: &str) {
        match &self.result {
            Err(WalError::Damaged { file, offset, reason }) => {
                let (name, start) = &image.places[n];
                assert!(file.ends_with(name), "{what}: {} named, damaged was {}", file.display(), name.display());
                assert!(offset >= start, "{what}: offset {offset} is before the damage at {start}: {reason}");
            }
            other => panic!("{what}: expected a refusal, got {other:?}"),
        }
    }

    /// Asserts that record `n` and nothing else was cut, that the cut bytes were kept, and that RocksDB opens to the records before.
    pub(super) fn assert_cut(&self, image: &Image, n: usize, what: &str) {
        let checked = self.result.as_ref().unwrap_or_else(|error| panic!("{what}: refused: {error}"));
        let cut = checked.cut.as_ref().unwrap_or_else(|| panic!("{what}: nothing was cut"));
        let (name, start) = &image.places[n];
        assert!(cut.file.ends_with(name), "{what}: cut in {}", cut.file.display());
        assert_eq!(cut.offset, *start, "{what}: offset of the cut");
        assert!(cut.kept, "{what}: nothing was set aside");
        assert_eq!(fs::metadata(&cut.set_aside).unwrap().len(), cut.bytes, "{what}: bytes set aside");
        assert_eq!(checked.records, n as u64, "{what}: records kept");
        self.assert_holds(image, n, what);
    }

    /// Asserts that RocksDB opens the copy, and that it holds exactly the first `n` records.
    pub(super) fn assert_holds(&self, image: &Image, n: usize, what: &str) {
        let db = open(self.dir.path()).unwrap_or_else(|error| panic!("{what}: RocksDB refused what the check let pass: {error}"));
        assert!(contents(&db) == image.prefix(n), "{what}: contents are not those of the first {n} records");
    }
}

pub(super) fn contents(db: &DB) -> Contents {
    let mut contents = Contents::new();
    for family in FAMILIES {
        for item in db.iterator_cf(db.cf_handle(family).unwrap(), rocksdb::IteratorMode::Start) {
            let (key, value) = item.unwrap();
            contents.insert((family.to_owned(), key.into_vec()), value.into_vec());
        }
    }
    contents
}

fn puts(n: usize, length: usize) -> Puts {
    let value: Vec<u8> = (0..length).map(|i| ((i * 31 + n * 7) % 251) as u8).collect();
    let family = FAMILIES[n % 3];
    vec![(family, format!("key{n:04}").into_bytes(), value), ("headers", b"shared".to_vec(), n.to_string().into_bytes())]
}

/// The log files by number.
fn logs(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    logs
}

/// Starts of the logical records of an undamaged log, by the lengths and types in its headers alone.
fn starts(log: &[u8]) -> Vec<u64> {
    let (mut at, mut starts) = (0, Vec::new());
    while at < log.len() {
        let left = 32768 - at % 32768;
        if left < 7 {
            at += left;
            continue;
        }
        if matches!(log[at + 6], 1 | 2) {
            starts.push(at as u64);
        }
        at += 7 + usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
    }
    starts
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

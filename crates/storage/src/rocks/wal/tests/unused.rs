//! Zeros ahead of the records: written by [`Ahead`](super::super::Ahead), found by the check.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rocksdb::{ColumnFamilyDescriptor, DB, DBRecoveryMode, WriteBatch, WriteOptions};
use tempfile::TempDir;

use super::super::{
    WalError,
    ahead::{Ahead, State},
    check, inspect, log_files,
};
use super::image::{Image, contents, open, options};

#[test]
fn zeros_after_the_last_record_are_taken_off() {
    let image = Image::new(&[20, 300, 40, 9_000, 60, 70_000, 80], &[]);
    let count = image.places.len();
    let bytes = image.log(&image.places[0].0).len() as u64;
    for zeros in [1, 6, 7, 8, 4_096, 100_000] {
        let case = image.damaged(0, |log| log.resize(log.len() + zeros, 0));
        let checked = case.result.as_ref().unwrap();
        assert!(checked.cut.is_none() && checked.bytes == bytes, "{zeros} zeros: {checked:?}");
        assert_eq!(fs::metadata(case.path().join(&image.places[0].0)).unwrap().len(), bytes, "{zeros} zeros are still there");
        case.assert_holds(&image, count, &format!("{zeros} zeros"));
    }
}

/// A write over zeros that a power cut interrupts leaves sectors of zeros, in any order. The log said "damaged" of it.
#[test]
fn a_record_with_sectors_that_were_not_written_is_a_torn_write() {
    let image = Image::new(&[20, 300, 100_000], &[]);
    let (from, end) = (usize::try_from(image.places[2].1).unwrap(), image.log(&image.places[0].0).len());
    let torn = |what: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let case = image.damaged(2, |log| {
            log.resize(end + 200_000, 0);
            change(log);
        });
        case.assert_cut(&image, 2, what);
        case.result.unwrap().cut.unwrap()
    };
    for kept in [512, 1_024, 4_096, 32_768, 65_536, 98_304] {
        let cut = torn("the first sectors", &|log| log[kept..].fill(0));
        assert!(cut.torn && cut.bytes <= (kept - from) as u64, "{kept} bytes and zeros: {cut:?}");
    }
    for lost in [from..512, from..8_192, 512..1_024, 8_192..12_288, 32_768..33_280, 65_536..98_304] {
        let cut = torn("some sectors", &|log| log[lost.clone()].fill(0));
        assert!(cut.torn && cut.bytes > 90_000, "{lost:?} are zeros: {cut:?}");
    }
    for flipped in [from, from + 100, 32_768, end - 100] {
        let cut = torn("a flipped byte", &|log| log[flipped] ^= 0x10);
        assert!(!cut.torn, "a flip at {flipped} of {end} is told as torn: {cut:?}");
    }
}

/// Half a header was taken for damage before a valid record: the record's own later parts.
#[test]
fn a_header_of_which_one_sector_was_written_is_a_torn_write() {
    let start = Image::new(&[20, 300, 100_000], &[]).places[2].1;
    for into in 506..512 {
        let image = Image::new(&[20, 300 + usize::try_from((into + 512 - start % 512) % 512).unwrap(), 100_000], &[]);
        let from = usize::try_from(image.places[2].1).unwrap();
        assert_eq!(from % 512, usize::try_from(into).unwrap());
        let boundary = from.next_multiple_of(512);
        for lost in [from..boundary, boundary..boundary + 512] {
            let case = image.damaged(2, |log| log[lost.clone()].fill(0));
            case.assert_cut(&image, 2, &format!("{lost:?} of a record from {from} on"));
            assert!(case.result.as_ref().unwrap().cut.as_ref().unwrap().torn, "{lost:?} of a record from {from} on");
        }
    }
}

/// What may have been acknowledged was cut without a copy where the disk had no room for one.
#[test]
fn only_what_is_surely_torn_is_cut_without_a_copy() {
    let image = Image::new(&[20, 300, 10_000], &[]);
    let (from, end) = (usize::try_from(image.places[2].1).unwrap(), image.log(&image.places[0].0).len());
    for (lost, surely_torn) in [(end - 100..end, true), (1_024..1_536, false)] {
        let dir = image.copied(|_, log| {
            if surely_torn {
                log.truncate(lost.start);
            } else {
                log[lost.clone()].fill(0);
            }
            log.resize(log.len() + 5_000 * usize::from(!surely_torn), 0);
        });
        let aside = dir.path().join("aside");
        fs::create_dir(&aside).unwrap();
        // Every write to this device fails as on a full disk.
        let log = dir.path().join(&image.places[2].0);
        std::os::unix::fs::symlink("/dev/full", aside.join(format!("{}.{from}", image.places[2].0.display()))).unwrap();
        let result = check(dir.path(), &aside);
        if surely_torn {
            let cut = result.unwrap().cut.unwrap();
            assert!(cut.torn && !cut.kept, "{cut:?}");
            assert_eq!(fs::metadata(&log).unwrap().len(), from as u64);
        } else {
            assert!(matches!(result, Err(WalError::Io { .. })), "{result:?}");
            assert_eq!(fs::metadata(&log).unwrap().len(), end as u64, "zeros alone were taken off");
        }
    }
}

#[test]
fn zeros_before_a_file_that_goes_on_are_taken_off_and_before_a_gap_refused() {
    let image = Image::new(&[20, 30, 5_000, 40, 50], &[3]);
    let case = image.damaged(2, |log| log.resize(log.len() + 50_000, 0));
    assert!(case.result.as_ref().unwrap().cut.is_none(), "{:?}", case.result);
    case.assert_holds(&image, 5, "zeros at the end of the first file");
    // The last record of the first file was turned to zeros: the second file does not go on where the first one ends.
    let from = usize::try_from(image.places[2].1).unwrap();
    let case = image.damaged(2, |log| log[from..].fill(0));
    case.assert_refused(&image, 2, "zeros instead of the last record of the first file");
    let reason = case.result.unwrap_err().to_string();
    assert!(reason.contains("sequence number"), "{reason}");
    // Each file that gets zeros gets a record at once.
    image.damaged(0, |log| log.fill(0)).assert_refused(&image, 0, "zeros instead of the first file");
}

#[test]
fn a_file_of_zeros_only_holds_nothing() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("000004.log"), [0; 100_000]).unwrap();
    let checked = check(dir.path(), &dir.path().join("aside")).unwrap();
    assert!(checked.records == 0 && checked.bytes == 0 && checked.cut.is_none(), "{checked:?}");
    assert_eq!(fs::metadata(dir.path().join("000004.log")).unwrap().len(), 0);
}

/// For a database that must stay as it is, nobody takes the zeros off.
#[test]
fn rocksdb_reads_logs_with_zeros_at_their_ends() {
    let image = Image::new(&[20, 30, 5_000, 40, 50], &[3]);
    let last = image.places[4].0.clone();
    for (zeros, in_all) in [(5, false), (4_096, true), (1 << 20, true)] {
        let dir = image.copied(|log, bytes| {
            if in_all || log.ends_with(&last) {
                bytes.resize(bytes.len() + zeros, 0);
            }
        });
        let inspected = inspect(dir.path()).unwrap();
        assert!(inspected.end.is_none() && inspected.has_unused, "{zeros} zeros are no damage: {inspected:?}");
        let mut options = options();
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        let families = ["default", "headers", "values"].map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = DB::open_cf_descriptors_read_only(&options, dir.path(), families, false).unwrap();
        assert!(contents(&db) == image.prefix(5), "{zeros} zeros");
    }
}

fn state(ahead: &Ahead) -> Option<(PathBuf, u64, u64)> {
    let State { file, length, at, .. } = &*ahead.state.as_ref()?.lock();
    Some((file.clone()?, *length, *at))
}

fn newest(dir: &Path) -> (PathBuf, u64) {
    let path = log_files(dir).unwrap().pop().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    (path, length)
}

/// A database, its filler, and what was written.
struct Filled {
    dir: TempDir,
    db: DB,
    ahead: Ahead,
    written: u64,
}

impl Filled {
    fn new() -> Filled {
        let dir = TempDir::new().unwrap();
        let db = open(dir.path()).unwrap();
        Filled { ahead: Ahead::in_place(dir.path()), dir, db, written: 0 }
    }

    fn write(&mut self, bytes: usize) {
        let mut batch = WriteBatch::default();
        batch.put(self.written.to_be_bytes(), vec![7; bytes]);
        self.written += 1;
        self.ahead.make_room(batch.size_in_bytes());
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        self.db.write_opt(batch, &synced).unwrap();
    }

    /// A copy as a crash now would leave it, checked, opened, and compared with what was written.
    fn assert_survives(&self, what: &str) {
        let copy = TempDir::new().unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "LOCK") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let checked = check(copy.path(), &copy.path().join("aside")).unwrap();
        assert!(checked.cut.is_none(), "{what}: {checked:?}");
        let db = open(copy.path()).unwrap();
        for n in 0..self.written {
            assert!(db.get(n.to_be_bytes()).unwrap().is_some(), "{what}: write {n} of {} is gone", self.written);
        }
    }
}

#[test]
fn small_writes_go_where_zeros_are() {
    let mut filled = Filled::new();
    filled.write(100);
    let (path, length) = newest(filled.dir.path());
    assert_eq!(length % 32_768, 0, "whole blocks");
    assert!(length >= 1 << 20, "{length}");
    for n in 0..200 {
        filled.write(100 + n * 7);
    }
    assert_eq!(newest(filled.dir.path()), (path.clone(), length), "the file has grown");
    filled.assert_survives("200 small writes");
    // Where the next record goes is known to the byte: over the end of many blocks and of the zeros.
    while newest(filled.dir.path()).1 == length {
        filled.write(5_000);
    }
    let (found, length, at) = state(&filled.ahead).unwrap();
    assert_eq!((found, length), newest(filled.dir.path()));
    let log = fs::read(&path).unwrap();
    let end = log.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    assert_eq!(at, end, "the file is {length} bytes long");
    filled.assert_survives("more than was filled at once");
}

#[test]
fn large_writes_are_not_written_twice_and_small_ones_after_them_are_filled_again() {
    let mut filled = Filled::new();
    for _ in 0..3 {
        filled.write(500_000);
    }
    let (_, length) = newest(filled.dir.path());
    assert!((1_500_000..1_600_000).contains(&length), "only what was written: {length}");
    filled.write(10);
    let (_, after) = newest(filled.dir.path());
    assert!(after >= length + (1 << 20), "{length}, then {after}");
    filled.write(2_000_000);
    filled.write(10);
    filled.assert_survives("large and small writes");
}

#[test]
fn a_new_log_file_is_filled_too() {
    let mut filled = Filled::new();
    filled.write(10);
    let (first, _) = newest(filled.dir.path());
    filled.db.flush_cf(filled.db.cf_handle("default").unwrap()).unwrap();
    let mut written = 0;
    while written < 300 << 10 {
        filled.write(1_000);
        written += 1_000;
    }
    let (second, length) = newest(filled.dir.path());
    assert_ne!(first, second);
    assert!(length >= 1 << 20, "the new file is not filled: {length}");
    filled.assert_survives("two files");
    let Filled { dir, db, .. } = filled;
    drop(db);
    assert!(newest(dir.path()).1 < 400 << 10, "closing leaves no zeros");
}

/// The log is gone, or can't be written: the write itself is what fails or not.
#[test]
fn where_nothing_can_be_filled_nothing_happens() {
    let dir = TempDir::new().unwrap();
    Ahead::in_place(&dir.path().join("none")).make_room(100);
    Ahead::in_place(dir.path()).make_room(100);
    fs::create_dir(dir.path().join("000004.log")).unwrap();
    Ahead::in_place(dir.path()).make_room(100);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

//! Logs in which every checksum is right and yet something is missing, and values that look like logs.

use std::fs;

use super::super::{WalError, check};
use super::image::{Image, open};
use rocksdb::WriteOptions;
use tempfile::TempDir;

#[test]
fn a_missing_record_is_a_gap_in_the_sequence() {
    let image = Image::new(&[20, 30, 40, 50], &[]);
    let (from, to) = (usize::try_from(image.places[1].1).unwrap(), usize::try_from(image.places[2].1).unwrap());
    let case = image.damaged(1, |log| drop(log.drain(from..to)));
    case.assert_refused(&image, 1, "second record removed");
    let reason = case.result.unwrap_err().to_string();
    assert!(reason.contains("sequence number"), "{reason}");
}

#[test]
fn a_chain_without_its_end_before_a_valid_record_is_refused() {
    let image = Image::new(&[20, 40_000, 50], &[]);
    let last = usize::try_from(image.places[2].1).unwrap();
    // The last fragment of the chain fills the second block up to the last record: remove it, and put the record in its place.
    let case = image.damaged(1, |log| drop(log.drain(32_768..last)));
    case.assert_refused(&image, 1, "chain without its last part");
    let image = Image::new(&[20, 40_000, 50], &[]);
    let first = usize::try_from(image.places[1].1).unwrap();
    let case = image.damaged(1, |log| drop(log.drain(first..32_768)));
    case.assert_refused(&image, 1, "chain without its first part");
}

/// A value that holds a log must not make an ordinary torn write look like damage in the middle.
#[test]
fn a_torn_record_whose_value_holds_a_log_is_cut() {
    let other = Image::new(&[10; 50], &[]);
    let copy = other.log(&other.places[0].0);
    let live = TempDir::new().unwrap();
    let db = open(live.path()).unwrap();
    for n in 0..200_u32 {
        db.put(n.to_be_bytes(), b"before").unwrap();
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    db.put_opt(b"backup", &copy, &synced).unwrap();
    let torn = TempDir::new().unwrap();
    for entry in fs::read_dir(live.path()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "LOCK") {
        fs::copy(entry.path(), torn.path().join(entry.file_name())).unwrap();
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            let log = fs::OpenOptions::new().write(true).open(torn.path().join(entry.file_name())).unwrap();
            log.set_len(log.metadata().unwrap().len() - 1).unwrap();
        }
    }
    drop(db);
    let checked = check(torn.path(), &torn.path().join("set-aside")).unwrap();
    assert!(checked.cut.as_ref().is_some_and(|cut| cut.torn), "{checked:?}");
    assert_eq!(checked.records, 200);
    let db = open(torn.path()).unwrap();
    assert!(db.get(b"backup").unwrap().is_none(), "the torn record is there");
    assert_eq!(db.get(199_u32.to_be_bytes()).unwrap().as_deref(), Some(&b"before"[..]));
}

#[test]
fn absent_and_empty_logs_are_fine() {
    let dir = TempDir::new().unwrap();
    assert_eq!(check(&dir.path().join("none"), &dir.path().join("aside")).unwrap().records, 0);
    fs::write(dir.path().join("000004.log"), b"").unwrap();
    fs::write(dir.path().join("notes.log"), b"not a log of RocksDB").unwrap();
    let checked = check(dir.path(), &dir.path().join("aside")).unwrap();
    assert!(checked.records == 0 && checked.bytes == 0 && checked.cut.is_none(), "{checked:?}");
}

#[test]
fn an_unreadable_log_is_an_error_of_its_own() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("000004.log")).unwrap();
    let error = check(dir.path(), &dir.path().join("aside")).unwrap_err();
    assert!(matches!(&error, WalError::Io { file, .. } if file.ends_with("000004.log")), "{error}");
}

/// 64 MiB is a log at its size limit. `make bench` says how long reopening takes then.
#[test]
fn a_log_at_its_size_limit_is_checked_whole() {
    let live = TempDir::new().unwrap();
    let mut options = super::image::options();
    options.set_write_buffer_size(256 << 20);
    let db = rocksdb::DB::open(&options, live.path()).unwrap();
    for n in 0..640_u32 {
        db.put(n.to_be_bytes(), vec![7; 100 << 10]).unwrap();
    }
    db.flush_wal(true).unwrap();
    let checked = check(live.path(), &live.path().join("aside")).unwrap();
    assert_eq!(checked.records, 640);
    assert!(checked.bytes > 640 * (100 << 10), "{checked:?}");
}

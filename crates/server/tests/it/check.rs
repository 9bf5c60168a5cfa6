//! `kvstore check` as a user runs it: what it prints and how it exits. What it finds is tested in the data tier.

use std::{collections::BTreeMap, fs, path::Path};

use tempfile::TempDir;

use crate::{
    backup::filled,
    running::{Server, expect_exit, kvstore, run, text},
};

fn check(dir: &Path) -> std::process::Output {
    let mut command = kvstore(&["check"]);
    command.arg(dir);
    run(command, b"")
}

/// Every file below a directory, with its contents and the time of its last change.
fn everything(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            let changed = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
            found.insert(path.display().to_string(), (fs::read(&path).expect("readable"), changed));
        }
    }
    found
}

fn flip_the_largest_table(dir: &Path) {
    let tables = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let tables = tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst"));
    let table = tables.max_by_key(|path| fs::metadata(path).map_or(0, |file| file.len())).expect("a table");
    let mut bytes = fs::read(&table).expect("readable");
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).expect("a byte in the middle") ^= 1;
    fs::write(&table, bytes).expect("writable");
}

#[test]
fn a_sound_store_and_its_backup_are_sound_and_left_as_they_were() {
    let dir = TempDir::new().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let server = filled(&data, &[]);
    expect_exit(&server.client(&["put", "small", "v", "--ttl", "1000"], b""), 0);
    expect_exit(&server.client(&["backup", copy.to_str().expect("UTF-8")], b""), 0);
    let busy = check(&data);
    expect_exit(&busy, 3);
    assert!(text(&busy.stderr).contains("in use"), "{}", text(&busy.stderr));
    server.stop();
    for place in [&data, &copy] {
        let before = everything(place);
        let said = expect_exit(&check(place), 0);
        assert!(said.starts_with("sound: ") && said.contains("revision 13"), "{said}");
        assert!(everything(place) == before, "something in {} was changed", place.display());
    }
    let mut by_flag = kvstore(&["check", "--data-dir"]);
    by_flag.arg(&data);
    expect_exit(&run(by_flag, b""), 0);
}

#[test]
fn damage_is_named_counted_and_has_an_exit_code() {
    let dir = TempDir::new().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let server = filled(&data, &[]);
    expect_exit(&server.client(&["backup", copy.to_str().expect("UTF-8")], b""), 0);
    server.stop();
    flip_the_largest_table(&data.join("db-000001"));
    flip_the_largest_table(&copy.join("db"));
    let said = expect_exit(&check(&data), 4);
    assert!(said.contains(".sst") && said.contains("DAMAGED: ") && said.contains("finding"), "{said}");
    let said = expect_exit(&check(&copy), 4);
    assert!(said.contains("checksum that it was written with"), "{said}");
    fs::remove_file(copy.join("kvstore-backup.b3")).expect("removable");
    let said = expect_exit(&check(&copy), 4);
    assert!(said.contains("kvstore-backup.b3 is missing") && said.contains("1 finding "), "{said}");
}

/// What `kill -9` in the middle of a write leaves is no damage: it is said, and not cut.
#[test]
fn a_torn_end_of_the_log_is_reported_and_stays() {
    let dir = TempDir::new().expect("a directory");
    let data = dir.path().join("data");
    let mut server = Server::start(&data, &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.signal(rustix::process::Signal::KILL);
    server.wait();
    let logs = fs::read_dir(data.join("db-000001")).expect("a database").map(|entry| entry.expect("an entry").path());
    let log = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a log");
    let mut bytes = fs::read(&log).expect("readable");
    // The first sector of a record of 2,000 bytes, and nothing but unused room after it.
    let end = end_of_log(&bytes);
    // ext4 and XFS: there the log is written over zeros.
    let file_system = rustix::fs::statfs(&data).expect("a file system").f_type as u64;
    assert_eq!(bytes.len() >= 1 << 20, [0xef53, 0x5846_5342].contains(&file_system), "{} bytes, records until {end}", bytes.len());
    bytes.truncate(end);
    bytes.extend_from_slice(&[1, 2, 3, 4, 0xd0, 7, 1]);
    bytes.resize(end.next_multiple_of(512), 0x55);
    let torn = bytes.len() - end;
    bytes.resize(end + 5_000, 0);
    fs::write(&log, &bytes).expect("writable");
    let said = expect_exit(&check(&data), 0);
    assert!(said.contains("note: ") && said.contains(&format!("was cut off ({torn} bytes")) && said.contains("sound: "), "{said}");
    assert_eq!(fs::read(&log).expect("readable"), bytes, "the log was cut");
    let server = Server::start(&data, &[]);
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
    server.stop();
}

#[test]
fn what_can_not_be_checked_is_refused_with_advice() {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("thesis.tex"), "words").expect("a file");
    expect_exit(&check(dir.path()), 3);
    expect_exit(&check(&dir.path().join("nowhere")), 3);
    expect_exit(&run(kvstore(&["check"]), b""), 2);
    fs::write(dir.path().join("IDENTITY"), "kvstore format 9\nid 00\n").expect("a file");
    let newer = check(dir.path());
    expect_exit(&newer, 3);
    assert!(text(&newer.stderr).contains("newer kvstore"), "{}", text(&newer.stderr));
}

/// Where the records of a small log end: each says its length in its head.
fn end_of_log(log: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&[_, _, _, _, low, high, kind]) = log.get(at..at + 7)
        && kind != 0
    {
        at += 7 + usize::from(u16::from_le_bytes([low, high]));
    }
    at
}

/// The first damaged file hid all others, and what the files hold.
#[test]
fn all_that_is_wrong_with_a_small_backup_is_told() {
    let dir = TempDir::new().expect("a directory");
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
    let server = filled(&data, &[]);
    expect_exit(&server.client(&["backup", copy.to_str().expect("UTF-8")], b""), 0);
    server.stop();
    flip_the_largest_table(&copy.join("db"));
    let identity = copy.join("db/IDENTITY");
    let options = fs::read_dir(copy.join("db")).expect("a directory").map(|entry| entry.expect("an entry").path());
    let other = if identity.exists() {
        identity
    } else {
        let is_options = |path: &std::path::PathBuf| path.to_string_lossy().contains("/OPTIONS-");
        options.into_iter().find(is_options).expect("another file")
    };
    let mut bytes = fs::read(&other).expect("readable");
    *bytes.first_mut().expect("a byte") ^= 1;
    fs::write(&other, bytes).expect("writable");
    let said = expect_exit(&check(&copy), 4);
    let name = other.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(said.contains(".sst does not have the checksum") && said.contains(&format!("{name} does not have the checksum")), "{said}");
    assert!(!said.contains("(0 records"), "what the files hold was not looked at: {said}");
}

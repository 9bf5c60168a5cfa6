//! The check of stored data: nothing is found in what the store wrote, and each deliberate damage is found and named.

use std::{fs, path::Path, sync::Arc, time::Duration};

use kvstore_storage::{CheckObserver, CheckProgress, Checked, Finding, ManualClock, OpenError, Store, check_embedded, open_embedded};
use kvstore_types::{Header, IdempotencyKey, Item, Key, Mutation, Revision, Timestamp, Ttl, WriteBatch};
use rocksdb::{ColumnFamilyDescriptor, DB, IteratorMode, Options};
use tempfile::TempDir;

use crate::fixtures::{START, config};

const LARGE: usize = 10_000;

#[derive(Default)]
struct Seen {
    findings: Vec<Finding>,
    notes: Vec<String>,
    last: CheckProgress,
}

impl CheckObserver for Seen {
    fn finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn progress(&mut self, progress: CheckProgress) {
        assert!(progress.items > self.last.items, "progress went from {:?} to {progress:?}", self.last);
        self.last = progress;
    }
}

fn check(dir: &Path) -> (Checked, Seen) {
    let mut seen = Seen::default();
    let checked = check_embedded(dir, &mut seen).expect("a data directory that nobody uses");
    assert_eq!(checked.findings, seen.findings.len() as u64, "{:?}", seen.findings);
    (checked, seen)
}

fn put(key: &str, value: Vec<u8>, ttl: Option<u64>) -> Item {
    let ttl = ttl.map(|seconds| Ttl::from_seconds(seconds).expect("a time to live"));
    Item { key: Key::new(key).expect("a key"), mutation: Mutation::Put { value: value.into(), ttl }, condition: None }
}

async fn write(store: &Arc<dyn Store>, items: Vec<Item>, idempotency: Option<&str>) {
    let idempotency = idempotency.map(|key| IdempotencyKey::new(key).expect("an idempotency key"));
    store.write(Arc::new(WriteBatch::new(items, idempotency).expect("a batch"))).await.expect("applied");
}

/// A data directory with all kinds of records, closed.
async fn filled() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let clock = Arc::new(ManualClock::at(START));
    let store = open_embedded(&config(dir.path(), None), clock.clone()).expect("a new store");
    write(&store, vec![put("a", b"1".to_vec(), None), put("large", vec![7; LARGE], None)], None).await;
    write(&store, vec![put("mortal", vec![8; LARGE], Some(1_000)), put("b", vec![], Some(50))], Some("once")).await;
    write(&store, vec![put("large", vec![9; LARGE], None)], Some("twice")).await;
    // A key that is used again after its record has ended leaves an entry in the queue that names a later record.
    clock.advance(Duration::from_secs(25 * 60 * 60));
    write(&store, vec![put("again", vec![1; LARGE], Some(100))], Some("once")).await;
    store.shutdown().await.expect("flushed");
    dir
}

fn opened(dir: &Path) -> DB {
    let families = ["default", "values", "expiry", "requests", "meta"];
    let families = families.map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
    DB::open_cf_descriptors(&Options::default(), dir.join("db-000001"), families).expect("a database")
}

/// The stored keys of a family.
fn keys(db: &DB, family: &str) -> Vec<Vec<u8>> {
    let family = db.cf_handle(family).expect("a family");
    db.iterator_cf(family, IteratorMode::Start).map(|record| record.expect("readable").0.into_vec()).collect()
}

fn key_that(db: &DB, family: &str, is_it: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    keys(db, family).into_iter().find(|key| is_it(key)).expect("such a record")
}

fn set(db: &DB, family: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    db.put_cf(db.cf_handle(family).expect("a family"), key, value).expect("written");
}

fn remove(db: &DB, family: &str, key: impl AsRef<[u8]>) {
    db.delete_cf(db.cf_handle(family).expect("a family"), key).expect("deleted");
}

/// An entry's record with an empty value.
fn record(version: u64, revision: u64, updated_at: Timestamp) -> Vec<u8> {
    let header = Header { version, revision: Revision(revision), created_at: START, updated_at, expires_at: None, value_len: 0 };
    let mut bytes = vec![1, 0];
    header.encode(&mut bytes);
    bytes
}

#[tokio::test]
async fn what_the_store_wrote_is_sound() {
    let dir = filled().await;
    let (checked, seen) = check(dir.path());
    assert_eq!(seen.findings, [], "a sound store");
    assert_eq!(seen.notes, Vec::<String>::new());
    // Five entries, three values apart, three expiries, two records and three in the queue, one position.
    assert_eq!((checked.items, checked.position.map(|position| position.revision)), (17, Some(Revision(4))));
    assert!(checked.bytes > 3 * LARGE as u64 && seen.last.items == checked.items, "{checked:?}");
}

#[tokio::test]
async fn a_directory_in_use_is_not_checked() {
    let dir = TempDir::new().expect("a directory");
    let store = open_embedded(&config(dir.path(), None), Arc::new(ManualClock::at(START))).expect("a new store");
    let refused = check_embedded(dir.path(), &mut Seen::default()).expect_err("refused");
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    store.shutdown().await.expect("flushed");
}

/// What is done to the data, and the place, the key and the words of the one finding that must come of it.
type Case = (fn(&DB), &'static str, &'static [u8], &'static str);

const CASES: &[Case] = &[
    (|db| set(db, "default", "alien", [9, 0, 1]), "default", b"alien", "format 9"),
    (|db| set(db, "default", "\u{1b}[2J", [1]), "default", b"\x1b[2J", "ends early"),
    (|db| set(db, "default", [0xff], record(1, 1, START)), "default", b"\xff", "UTF-8"),
    (|db| set(db, "default", "late", record(1, 99, START)), "default", b"late", "revision 99"),
    (|db| set(db, "default", "never", record(0, 1, START)), "default", b"never", "version 0"),
    (|db| set(db, "default", "future", record(1, 1, START.plus_seconds(1_000_000))), "default", b"future", "its times can't be"),
    (|db| remove(db, "values", key_that(db, "values", |key| key.starts_with(b"large\0"))), "default", b"large", "revision 3, is missing"),
    (|db| set(db, "values", key_that(db, "values", |key| key.starts_with(b"large\0")), [9; 5]), "values", b"large", "has 5 bytes"),
    (|db| set(db, "values", b"large\0\0\0\0\0\0\0\0\x01", [7; LARGE]), "values", b"large", "revision 1 belongs to no entry"),
    (|db| set(db, "values", b"gone\0\0\0\0\0\0\0\0\x01", [7; LARGE]), "values", b"gone", "belongs to no entry"),
    (|db| set(db, "values", b"nonsense", []), "values", b"nonsense", "not that of a value"),
    (|db| remove(db, "expiry", key_that(db, "expiry", |key| key.ends_with(b"mortal"))), "default", b"mortal", "does not name it"),
    (
        |db| set(db, "expiry", [&[0; 7][..], &[1], &[0; 7], &[1], b"gone"].concat(), []),
        "expiry",
        b"gone",
        "an entry of revision 1 that is not there",
    ),
    (|db| set(db, "expiry", [&[0; 7][..], &[1], &[0; 7], &[1], b"a"].concat(), []), "expiry", b"a", "does not expire"),
    (|db| remove(db, "requests", "ktwice"), "requests", b"q", "names a record that is not there"),
    (
        |db| remove(db, "requests", key_that(db, "requests", |key| key.starts_with(b"q") && key.ends_with(b"twice"))),
        "requests",
        b"ktwice",
        "not queued",
    ),
    (|db| set(db, "requests", "kalien", [9]), "requests", b"kalien", "format 9"),
    (|db| set(db, "requests", "x", []), "requests", b"x", "knows no such record"),
    (|db| set(db, "meta", "position", [9; 25]), "meta", b"position", "format 9"),
    (|db| remove(db, "meta", "position"), "meta", b"position", "missing"),
    (|db| set(db, "meta", "secret", []), "meta", b"secret", "knows no such record"),
];

#[tokio::test]
async fn each_damage_is_one_finding_that_names_it() {
    for (number, (damage, place, key, what)) in CASES.iter().enumerate() {
        let dir = filled().await;
        let db = opened(dir.path());
        damage(&db);
        drop(db);
        let (_, seen) = check(dir.path());
        let [finding] = &seen.findings[..] else { panic!("case {number}, {what:?}: {:?}", seen.findings) };
        assert_eq!(finding.place, *place, "case {number}: {finding:?}");
        assert!(finding.key.as_ref().is_some_and(|found| found.starts_with(key)), "case {number}: {finding:?}");
        assert!(finding.what.contains(what), "case {number}: {finding:?}");
    }
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_is_found_and_the_file_is_named() {
    let dir = filled().await;
    let tables = fs::read_dir(dir.path().join("db-000001")).expect("a database").map(|file| file.expect("a file").path());
    let mut tables: Vec<_> = tables.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).collect();
    tables.sort();
    assert!(tables.len() >= 5, "{tables:?}");
    for table in &tables {
        let sound = fs::read(table).expect("readable");
        let mut bytes = sound.clone();
        // The first block of a table holds records.
        bytes[20] ^= 0x10;
        fs::write(table, &bytes).expect("writable");
        let (_, seen) = check(dir.path());
        let name = table.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(seen.findings.iter().any(|finding| finding.what.contains(name)), "{name}: {:?}", seen.findings);
        fs::write(table, &sound).expect("writable");
    }
    assert_eq!(check(dir.path()).1.findings, [], "mended");
}

#[tokio::test]
async fn beyond_a_damaged_table_the_others_are_read() {
    let dir = TempDir::new().expect("a directory");
    let clock = Arc::new(ManualClock::at(START));
    for part in 0..3 {
        // Each shutdown writes a table of its own.
        let store = open_embedded(&config(dir.path(), None), clock.clone()).expect("a store");
        let items = (0..100).map(|number| put(&format!("{part}-{number:03}"), vec![b'x'; 100], None)).collect();
        write(&store, items, None).await;
        store.shutdown().await.expect("flushed");
    }
    let db = opened(dir.path());
    let files = db.live_files().expect("files");
    let table = files.iter().find(|file| file.start_key.as_deref() == Some(b"0-000")).expect("the first table").name.clone();
    set(&db, "default", "2-alien", [9]);
    drop(db);
    let path = dir.path().join("db-000001").join(table.trim_start_matches('/'));
    let mut bytes = fs::read(&path).expect("readable");
    bytes[20] ^= 0x10;
    fs::write(&path, bytes).expect("writable");
    let (checked, seen) = check(dir.path());
    assert!(seen.findings.iter().any(|finding| finding.what.contains(table.trim_start_matches('/'))), "{:?}", seen.findings);
    assert!(seen.findings.iter().any(|finding| finding.key.as_deref() == Some(b"2-alien")), "{:?}", seen.findings);
    assert!(checked.items >= 200, "{checked:?}");
}

/// Damage in the middle of the log would lose what follows it: nothing is opened, and the place is named.
#[tokio::test]
async fn damage_in_the_log_with_more_after_it_is_a_finding() {
    let dir = TempDir::new().expect("a directory");
    let copy = TempDir::new().expect("a directory");
    let store = open_embedded(&config(dir.path(), None), Arc::new(ManualClock::at(START))).expect("a new store");
    for number in 0..10 {
        write(&store, vec![put(&format!("k{number}"), vec![b'x'; 100], None)], None).await;
    }
    // What a kill would leave: a shutdown would empty the log.
    let copied = std::process::Command::new("cp").arg("-r").arg(dir.path()).arg(copy.path().join("data")).status().expect("cp runs");
    assert!(copied.success());
    store.shutdown().await.expect("flushed");
    let data = copy.path().join("data");
    assert_eq!(check(&data).1.findings, [], "the log as it was");
    let logs = fs::read_dir(data.join("db-000001")).expect("a database").map(|file| file.expect("a file").path());
    let log = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a log");
    let mut bytes = fs::read(&log).expect("readable");
    bytes[30] ^= 1;
    fs::write(&log, &bytes).expect("writable");
    let (_, seen) = check(&data);
    let [finding] = &seen.findings[..] else { panic!("{:?}", seen.findings) };
    assert!(finding.what.contains("is damaged at offset 0") && finding.what.contains(".log"), "{finding:?}");
    assert_eq!(fs::read(&log).expect("readable"), bytes, "the log was cut");
}

#[tokio::test]
async fn a_table_that_is_missing_is_a_finding() {
    let dir = filled().await;
    let table = fs::read_dir(dir.path().join("db-000001")).expect("a database").map(|file| file.expect("a file").path());
    let table = table.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).max().expect("a table");
    fs::remove_file(&table).expect("removable");
    let (_, seen) = check(dir.path());
    let name = table.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(seen.findings.iter().any(|finding| finding.what.contains(name)), "{:?}", seen.findings);
}

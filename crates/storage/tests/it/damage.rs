//! Damage outside the log: files that are missing or hold wrong bytes are refused or reported, never passed over.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use kvstore_storage::{ManualClock, OpenError, Store, StoreError, open_embedded};
use kvstore_types::{Condition, Consistency, Entry, Item, Key, Mutation, Projection, WriteBatch};
use tempfile::TempDir;

use crate::fixtures::{START, config};

const KEYS: usize = 2_000;

fn key(number: usize) -> Key {
    Key::new(&format!("key-{number:05}")).expect("a key")
}

fn value(number: usize) -> Vec<u8> {
    format!("value of {number}: ").into_bytes().repeat(10)
}

fn open(dir: &Path) -> Result<Arc<dyn Store>, OpenError> {
    open_embedded(&config(dir, None), Arc::new(ManualClock::at(START)))
}

/// A closed data directory: its entries lie in table files.
async fn filled() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let store = open(dir.path()).expect("a new store");
    let items = (0..KEYS).map(|number| {
        let mutation = Mutation::Put { value: value(number).into(), ttl: None };
        Item { key: key(number), mutation, condition: Some(Condition::Absent) }
    });
    let batch = WriteBatch::new(items.collect(), None).expect("a batch");
    store.write(Arc::new(batch)).await.expect("stored");
    store.shutdown().await.expect("flushed");
    dir
}

fn files(dir: &Path, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir.join("db-000001")).expect("the database") {
        let path = file.expect("a file").path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(&matches) {
            found.push(path);
        }
    }
    assert!(!found.is_empty(), "no such file in {}", dir.display());
    found
}

async fn read(store: &Arc<dyn Store>, number: usize) -> Result<Option<Entry>, StoreError> {
    store.read(&key(number), Projection::Full, Consistency::Linearizable).await
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_is_reported_and_never_read_as_absent_or_other() {
    let dir = filled().await;
    // The largest table holds the entries.
    let tables = files(dir.path(), |name| name.ends_with(".sst"));
    let table = tables.iter().max_by_key(|path| fs::metadata(path).map_or(0, |data| data.len())).expect("a table");
    let sound = fs::read(table).expect("readable");
    let (mut refused, mut reported) = (0, 0);
    for place in (0..sound.len()).step_by(sound.len() / 24) {
        let mut bytes = sound.clone();
        bytes[place] ^= 0x10;
        fs::write(table, &bytes).expect("writable");
        let store = match open(dir.path()) {
            Err(OpenError::Damaged(_)) => {
                refused += 1;
                continue;
            }
            other => other.expect("opens, or is refused as damaged"),
        };
        for number in (0..KEYS).step_by(7) {
            match read(&store, number).await {
                Ok(entry) => {
                    let found = entry.unwrap_or_else(|| panic!("key {number} is gone with byte {place} flipped"));
                    assert_eq!(found.value.as_deref(), Some(&value(number)[..]), "key {number} with byte {place} flipped");
                }
                Err(StoreError::Damaged(_)) => reported += 1,
                Err(other) => panic!("key {number} with byte {place} flipped: {other}"),
            }
        }
        store.shutdown().await.expect("nothing was written");
    }
    assert!(refused + reported > 0, "no flipped byte was met");
}

#[tokio::test]
async fn a_missing_table_is_refused() {
    let dir = filled().await;
    for table in files(dir.path(), |name| name.ends_with(".sst")) {
        fs::remove_file(table).expect("removable");
    }
    let refused = open(dir.path()).err().expect("refused");
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
}

/// RocksDB makes a new database where it finds none; a store that was there must not come back empty.
#[tokio::test]
async fn a_missing_database_is_not_taken_for_a_new_one() {
    let dir = filled().await;
    fs::remove_file(dir.path().join("db-000001/CURRENT")).expect("removable");
    let refused = open(dir.path()).err().expect("refused");
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
    assert!(!files(dir.path(), |name| name.ends_with(".sst")).is_empty(), "the tables are left as they were");
    fs::remove_dir_all(dir.path().join("db-000001")).expect("removable");
    let refused = open(dir.path()).err().expect("refused");
    assert!(matches!(refused, OpenError::Damaged(_)), "{refused}");
}

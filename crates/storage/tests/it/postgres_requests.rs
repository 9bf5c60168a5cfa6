//! How many idempotency records PostgreSQL keeps.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kvstore_storage::{PostgresConfig, Store, open_postgres};
use kvstore_types::{IdempotencyKey, Item, Key, Mutation, Outcome, WriteBatch};

use crate::postgres_failures::cluster;

const RECORDS: usize = 40;
const DEADLINE: Duration = Duration::from_secs(60);

async fn open(url: &str, reclaim_every: Option<Duration>, idempotency_bytes: u64) -> Arc<dyn Store> {
    let mut config = PostgresConfig::from_url(url).expect("a URL");
    (config.reclaim_every, config.idempotency_bytes) = (reclaim_every, idempotency_bytes);
    open_postgres(config).await.expect("a store")
}

async fn is_replayed(store: &dyn Store, number: usize) -> bool {
    let item = Item {
        key: Key::new("key").expect("a key"),
        mutation: Mutation::Put { value: Bytes::from_static(b"x"), ttl: None },
        condition: None,
    };
    let key = IdempotencyKey::new(&format!("request-{number:04}")).expect("an idempotency key");
    let outcome = store.write(Arc::new(WriteBatch::one(item, Some(key)))).await.expect("an answer");
    assert!(matches!(outcome, Outcome::Applied(_)), "write {number} got {outcome:?}");
    matches!(outcome, Outcome::Applied(applied) if applied.replayed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_idempotency_records_go_where_they_are_too_many() {
    let postgres = cluster().await;
    let url = postgres.database().expect("a database");
    let database = url.rsplit('/').next().and_then(|rest| rest.split('?').next()).expect("a name").to_owned();
    let count = || postgres.sql(&database, "SELECT count(*) FROM kv_requests").expect("a count").trim().parse::<usize>().expect("a number");

    let store = open(&url, None, u64::MAX >> 1).await;
    for number in 0..RECORDS {
        assert!(!is_replayed(&*store, number).await, "write {number} is the first of its key");
    }
    assert_eq!(count(), RECORDS, "nothing was forgotten without a sweep");
    store.shutdown().await.expect("an end");

    // Room for a few of them. A record takes some bytes more than its key twice.
    let store = open(&url, Some(Duration::from_millis(10)), 1_000).await;
    let forgotten = async {
        while count() == RECORDS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, forgotten).await.expect("records are forgotten");
    let left = count();
    assert!((1..RECORDS / 2).contains(&left), "{left} records are left of {RECORDS}");
    assert!(is_replayed(&*store, RECORDS - 1).await, "the newest is kept");
    assert!(!is_replayed(&*store, 0).await, "the oldest went");
    store.shutdown().await.expect("an end");
}

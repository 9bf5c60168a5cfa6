//! Races with other sessions of the database, which the tests decide: a row that is always changed in time, one that is held, and one that
//! changes between two statements of a page.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use kvstore_storage::{ManualClock, Pooling, PostgresConfig, StoreError, open_postgres_at};
use kvstore_testkit::Postgres;
use kvstore_types::{Consistency, Item, KeyRange, Mutation, Outcome, Projection, Scan, Ttl, WriteBatch};
use tokio::time::timeout;
use tokio_postgres::NoTls;

use crate::{
    fixtures::START,
    postgres::{LOOK_DISTRIBUTED, pooler},
    postgres_failures::{DEADLINE, FORWARD, HELD, HOLD, MARK, cluster, key, open, proxy, put, run, value},
};

/// A database of its own on the shared cluster: its URL and its name.
async fn database() -> (Arc<Postgres>, String, String) {
    let postgres = cluster().await;
    let url = postgres.database().expect("a database");
    let name = url.rsplit('/').next().expect("a name").to_owned();
    (postgres, url, name)
}

/// Another session changes each row that is about to be written, right before, unless somebody holds it.
fn racer(postgres: &Postgres, database: &str) -> String {
    let place = format!("host=127.0.0.1 port={} user=postgres dbname={database}", postgres.port());
    format!(
        "CREATE EXTENSION dblink; CREATE SEQUENCE won; CREATE SEQUENCE kept_out; \
         CREATE FUNCTION race() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF dblink_exec('{place}', format('SET lock_timeout = 20; UPDATE kv SET revision = nextval(''kv_revision'') WHERE key = %L', NEW.key), \
         false) = 'ERROR' THEN PERFORM nextval('kept_out'); ELSE PERFORM nextval('won'); END IF; RETURN NEW; END $$; \
         CREATE TRIGGER race BEFORE INSERT ON kv FOR EACH ROW EXECUTE FUNCTION race()"
    )
}

#[test]
fn a_write_that_always_comes_too_late_holds_its_row() {
    run(async {
        let (postgres, url, name) = database().await;
        let store = open(&url).await;
        store.write(put("hot", "1")).await.expect("an answer");
        postgres.sql(&name, &racer(&postgres, &name)).expect("a racer");
        let outcome = store.write(put("hot", "2")).await;
        assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
        assert_eq!(value(&*store, "hot").await.expect("a read").as_deref(), Some("2"));
        let races = "SELECT (SELECT last_value FROM won) || ' ' || (SELECT last_value || ' ' || is_called FROM kept_out)";
        assert_eq!(postgres.sql(&name, races).expect("an answer"), "3 1 true", "races that the other session won, and did not");
    });
}

#[test]
fn a_held_row_keeps_a_read_through_a_pooler_no_longer_than_its_limit() {
    run(async {
        let (_postgres, url, name) = database().await;
        let pooler = tokio::task::spawn_blocking(pooler).await.expect("a task").expect("a pooler");
        let mut config = PostgresConfig::from_url(&pooler.url(&name)).expect("a URL");
        (config.pooling, config.reclaim_every) = (Pooling::Transaction, None);
        let clock = Arc::new(ManualClock::at(START));
        let store = open_postgres_at(config, clock.clone()).await.expect("a store");
        let ttl = Ttl::from_seconds(1).ok();
        let item = Item { key: key("due"), mutation: Mutation::Put { value: Bytes::from_static(b"1"), ttl }, condition: None };
        store.write(Arc::new(WriteBatch::one(item, None))).await.expect("an answer");
        clock.set(START.plus_seconds(2));
        let (holder, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a session");
        tokio::spawn(connection);
        holder.batch_execute("BEGIN; SELECT 1 FROM kv WHERE key = 'due' FOR UPDATE").await.expect("a held row");
        // Whoever just cancels it after the longest wait says that the database did not answer.
        let error = value(&*store, "due").await.expect_err("the row is held");
        assert!(matches!(error, StoreError::Overloaded(_)), "a read of a held row got {error}");
        let error = store.scan(&Scan::of(KeyRange::all()), Consistency::Linearizable).await.expect_err("the row is held");
        assert!(matches!(error, StoreError::Overloaded(_)), "a page with a held row got {error}");
        holder.batch_execute("ROLLBACK").await.expect("an end");
        assert_eq!(value(&*store, "due").await.expect("a read"), None);
    });
}

/// The values of such a page are read by a statement of its own, and without a common snapshot a row may be another one by then.
#[test]
fn a_page_without_a_common_snapshot_reads_what_changed_anew() {
    run(async {
        let (postgres, url, name) = database().await;
        let direct = open(&url).await;
        // So large that they do not come with their headers.
        let large = |letter: &str| letter.repeat(100_000);
        for name in ["first", MARK, "gone", "last"] {
            direct.write(put(name, &large("a"))).await.expect("an answer");
        }
        postgres.sql(&name, LOOK_DISTRIBUTED).expect("what tells of a distributed table");
        let mode = Arc::new(AtomicU8::new(FORWARD));
        let port = proxy(postgres.port(), Arc::clone(&mode)).await;
        let proxied = open(&url.replace(&postgres.port().to_string(), &port.to_string())).await;
        assert!(!proxied.capabilities().common_snapshot, "the table looks distributed");
        mode.store(HOLD, Ordering::SeqCst);
        let scanning = tokio::spawn({
            let proxied = Arc::clone(&proxied);
            async move { proxied.scan(&Scan::of(KeyRange::all()), Consistency::Linearizable).await }
        });
        let is_held = async {
            while mode.load(Ordering::SeqCst) != HELD {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, is_held).await.expect("the values are asked for");
        direct.write(put(MARK, &large("b"))).await.expect("an answer");
        let delete = Item { key: key("gone"), mutation: Mutation::Delete, condition: None };
        direct.write(Arc::new(WriteBatch::one(delete, None))).await.expect("an answer");
        mode.store(FORWARD, Ordering::SeqCst);
        let page = scanning.await.expect("a task").expect("a page");
        // A page that was held for longer than a scan may take ends early and says where to go on.
        let (mut entries, mut next) = (page.entries, page.next);
        while let Some(after) = next {
            let rest = Scan { after: Some(after), ..Scan::of(KeyRange::all()) };
            let page = proxied.scan(&rest, Consistency::Linearizable).await.expect("a page");
            entries.extend(page.entries);
            next = page.next;
        }
        let found: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.header.version, entry.value.clone())).collect();
        let (a, b) = (Some(Bytes::from(large("a"))), Some(Bytes::from(large("b"))));
        let expected = [(MARK, 2, b), ("first", 1, a.clone()), ("last", 1, a)];
        assert!(found == expected, "versions {:?}", found.iter().map(|(name, version, _)| (name, version)).collect::<Vec<_>>());
        let again = direct.read(&key(MARK), Projection::Full, Consistency::Linearizable).await.expect("a read");
        assert_eq!(entries.first(), again.as_ref(), "the entry that changed is whole");
    });
}

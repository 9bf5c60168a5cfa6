//! Writes that come too late: nobody waits for them any more, or their node stood still. They must not take effect then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use kvstore_storage::{OpenError, PostgresConfig, Store, StoreError, open_postgres};
use kvstore_testkit::Postgres;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::postgres_failures::{DEADLINE, FORWARD, HELD, HOLD, MARK, cluster, open, proxy, put, run, value};

const SHORT: Duration = Duration::from_secs(1);

async fn database() -> (Arc<Postgres>, String) {
    let postgres = cluster().await;
    let url = postgres.database().expect("a database");
    (postgres, url)
}

async fn impatient(url: &str) -> Arc<dyn Store> {
    let mut config = PostgresConfig::from_url(url).expect("a URL");
    (config.write_max, config.arrival_max, config.connections) = (SHORT, SHORT, 2);
    open_postgres(config).await.expect("a store")
}

/// Another session of the database.
async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Waits until the database's clock says that so much time has passed.
async fn passes(session: &Client, time: Duration) {
    let clock = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let now = async || session.query_one(clock, &[]).await.expect("an answer").get::<_, i64>(0);
    let end = now().await + i64::try_from(time.as_micros()).expect("a short time");
    while now().await < end {
        tokio::task::yield_now().await;
    }
}

/// 33 of 63 writes that had been answered "unknown" were applied up to ten minutes later, when a lock on their rows ended.
#[test]
fn writes_that_were_given_up_are_not_applied_when_their_rows_come_free() {
    run(async {
        let (_postgres, url) = database().await;
        let (store, other) = (impatient(&url).await, open(&url).await);
        let names: Vec<String> = (0..8).map(|number| format!("held-{number}")).collect();
        for name in &names {
            store.write(put(name, "old")).await.expect("an answer");
        }
        let mut holder = session(&url).await;
        let held = holder.transaction().await.expect("a transaction");
        held.execute("SELECT key FROM kv WHERE key LIKE 'held-%' FOR UPDATE", &[]).await.expect("the rows");
        let writes: Vec<_> = names.iter().map(|name| (put(name, "late"), Arc::clone(&store))).collect();
        let writes: Vec<_> = writes.into_iter().map(|(batch, store)| tokio::spawn(async move { store.write(batch).await })).collect();
        for write in writes {
            let error = write.await.expect("a task").expect_err("its row is held");
            assert!(matches!(error, StoreError::Overloaded(_)), "a write that was not applied got {error}");
        }
        held.commit().await.expect("the end of the lock");
        // What was still under way would have gone before this.
        store.write(put("after", "1")).await.expect("an answer");
        for name in &names {
            assert_eq!(value(&*other, name).await.expect("a read").as_deref(), Some("old"), "{name} was given up");
        }
    });
}

/// A node that stood still between its snapshot and its statement wrote what others had stopped to count with.
#[test]
fn a_statement_that_arrives_too_late_writes_nothing() {
    run(async {
        let (postgres, url) = database().await;
        let mode = Arc::new(AtomicU8::new(FORWARD));
        let port = proxy(postgres.port(), Arc::clone(&mode)).await;
        let (store, other) = (impatient(&url.replace(&postgres.port().to_string(), &port.to_string())).await, open(&url).await);
        let direct = session(&url).await;
        mode.store(HOLD, Ordering::SeqCst);
        let write = tokio::spawn({
            let (store, batch) = (Arc::clone(&store), put("late", MARK));
            async move { store.write(batch).await }
        });
        let is_held = async {
            while mode.load(Ordering::SeqCst) != HELD {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, is_held).await.expect("the statement is held on its way");
        passes(&direct, SHORT * 2).await;
        mode.store(FORWARD, Ordering::SeqCst);
        let error = write.await.expect("a task").expect_err("it came too late");
        assert!(matches!(error, StoreError::Overloaded(_)), "a write that was not applied got {error}");
        assert_eq!(value(&*other, "late").await.expect("a read"), None);
        store.write(put("late", "in time")).await.expect("an answer");
        assert_eq!(value(&*other, "late").await.expect("a read").as_deref(), Some("in time"));
    });
}

/// Each conflict closed its connection, and made another with all its statements.
#[test]
fn a_write_that_meets_a_lock_keeps_its_connection() {
    run(async {
        let (_postgres, url) = database().await;
        let store = impatient(&url).await;
        store.write(put("held", "1")).await.expect("an answer");
        let mut holder = session(&url).await;
        let look = "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND query NOT LIKE '%pg_stat_activity%' AND query NOT LIKE '%FOR UPDATE%'";
        let watcher = session(&url).await;
        let pids = async || watcher.query_one(look, &[]).await.expect("an answer").get::<_, Option<String>>(0);
        let before = pids().await;
        assert!(before.is_some(), "the store has a connection");
        let held = holder.transaction().await.expect("a transaction");
        held.execute("SELECT key FROM kv WHERE key = 'held' FOR UPDATE", &[]).await.expect("the row");
        store.write(put("held", "2")).await.expect_err("its row is held");
        held.rollback().await.expect("the end of the lock");
        let store_write = store.write(put("held", "3")).await;
        assert!(store_write.is_ok(), "{store_write:?}");
        assert_eq!(value(&*store, "held").await.expect("a read").as_deref(), Some("3"));
        let after = pids().await.expect("the store has connections");
        let before = before.expect("a connection");
        assert!(before.split(' ').all(|pid| after.split(' ').any(|other| other == pid)), "{before} became {after}");
    });
}

/// A role that may only read started as ready, and had every write told to come again later.
#[test]
fn a_role_without_rights_is_refused_at_start() {
    run(async {
        let (_postgres, url) = database().await;
        drop(open(&url).await);
        let owner = session(&url).await;
        let role = format!("reader_{}", url.rsplit('/').next().expect("a name").replace('-', "_"));
        let grants = format!(
            "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; GRANT SELECT ON kv_revision TO {role}"
        );
        owner.batch_execute(&grants).await.expect("a role");
        let as_reader = url.replacen("postgres@", &format!("{role}@"), 1);
        assert_ne!(as_reader, url, "the URL names its role");
        let refused = open_postgres(PostgresConfig::from_url(&as_reader).expect("a URL")).await.err();
        owner.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("the role goes");
        let Some(OpenError::Database(reason)) = refused else { panic!("{refused:?}") };
        assert!(reason.contains(&role) && reason.contains("INSERT on kv") && reason.contains("GRANT"), "{reason}");
    });
}

//! What the store over PostgreSQL says when the database is stopped, killed, or cut off in the middle of a commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kvstore_storage::{PostgresConfig, State, Store, StoreError, open_postgres};
use kvstore_testkit::{Postgres, PostgresOptions, Syncing};
use kvstore_types::{Consistency, IdempotencyKey, Item, Key, Mutation, Outcome, Projection, WriteBatch};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(DEADLINE * 2, test).await.expect("an end in time") });
}

/// The cluster that tests share.
pub(crate) async fn cluster() -> Arc<Postgres> {
    tokio::task::spawn_blocking(Postgres::shared).await.expect("a task").expect("a cluster")
}

pub(crate) async fn open(url: &str) -> Arc<dyn Store> {
    open_postgres(PostgresConfig::from_url(url).expect("a URL")).await.expect("a store")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

pub(crate) fn put(name: &str, value: &str) -> Arc<WriteBatch> {
    let mutation = Mutation::Put { value: Bytes::copy_from_slice(value.as_bytes()), ttl: None };
    Arc::new(WriteBatch::one(Item { key: key(name), mutation, condition: None }, None))
}

pub(crate) async fn value(store: &dyn Store, name: &str) -> Result<Option<String>, StoreError> {
    let read = store.read(&key(name), Projection::Full, Consistency::Linearizable).await?;
    Ok(read.and_then(|entry| entry.value).map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// Waits until a write is applied.
async fn comes_back(store: &dyn Store, name: &str) {
    let applied = async {
        while !matches!(store.write(put(name, "1")).await, Ok(Outcome::Applied(_))) {
            tokio::task::yield_now().await
        }
    };
    timeout(DEADLINE, applied).await.expect("writes come back");
}

#[test]
fn a_database_that_was_killed_loses_nothing_and_needs_no_restart_of_ours() {
    run(async {
        let options = PostgresOptions { syncing: Syncing::On, ..PostgresOptions::default() };
        let postgres = Arc::new(tokio::task::spawn_blocking(|| Postgres::start(options)).await.expect("a task").expect("a cluster"));
        let store = open(&postgres.database().expect("a database")).await;
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            let writers: Vec<_> = (0..8)
                .map(|task| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move {
                        let mut told = Vec::new();
                        for number in 0.. {
                            let name = format!("{round}-{task}-{number:05}");
                            let answer = store.write(put(&name, "x")).await.map(drop);
                            let ended = answer.is_err();
                            told.push((name, answer));
                            if ended {
                                break;
                            }
                        }
                        told
                    })
                })
                .collect();
            let last = format!("{round}-0-00050");
            while value(&*store, &last).await.expect("the database is up").is_none() {
                tokio::task::yield_now().await;
            }
            let server = Arc::clone(&postgres);
            let ended = move || if round == 1 { server.stop() } else { server.kill() };
            tokio::task::spawn_blocking(ended).await.expect("a task").expect("an end");
            for writer in writers {
                acknowledged.extend(writer.await.expect("a writer"));
            }
            assert!(store.probe().await.is_err_and(|error| error.is_retryable()), "the probe of a database that is away");
            assert_eq!(store.status().state, State::Unreachable);
            let refused = store.write(put("refused", "x")).await.expect_err("a refusal");
            assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
            let server = Arc::clone(&postgres);
            tokio::task::spawn_blocking(move || server.start_again()).await.expect("a task").expect("a start");
            comes_back(&*store, &format!("back-{round}")).await;
            assert_eq!(store.status().state, State::Ready);
        }
        for (name, answer) in acknowledged {
            let found = value(&*store, &name).await.expect("a read").is_some();
            match answer {
                Ok(()) => assert!(found, "{name} was acknowledged and is lost"),
                Err(error) if error.is_not_applied() => assert!(!found, "{name} is there and got {error}"),
                Err(_) => {}
            }
        }
        assert_eq!(value(&*store, "refused").await.expect("a read"), None);
    });
}

/// What a proxy does: nothing, or it cuts off the next commit of this kind, which the database still gets or does not.
pub(crate) const FORWARD: u8 = 0;
const COMMIT_LOST: u8 = 1;
const COMMIT_SENT: u8 = 2;
const STATEMENT_LOST: u8 = 3;
const STATEMENT_SENT: u8 = 4;
/// Nothing is cut: the next BEGIN reaches the database misspelt.
const BEGIN_SPOILT: u8 = 5;
/// Nothing is cut: what goes to the database waits, from the next piece with the mark on.
pub(crate) const HOLD: u8 = 6;
/// It waits, until this is `FORWARD` again.
pub(crate) const HELD: u8 = 7;
/// A value that tells the proxy which statement is its own commit.
pub(crate) const MARK: &str = "cut-off-here";

/// A proxy in front of the database; gives its port.
pub(crate) async fn proxy(database: u16, mode: Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let mode = Arc::clone(&mode);
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", database)).await?;
                pass(client, server, &mode).await
            });
        }
    });
    port
}

async fn pass(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = asked.get_mut(..read?).expect("no more than was asked for");
                if bytes.is_empty() {
                    return Ok(());
                }
                let armed = mode.load(Ordering::SeqCst);
                if armed == HOLD && bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes()) {
                    mode.store(HELD, Ordering::SeqCst);
                    while mode.load(Ordering::SeqCst) != FORWARD {
                        tokio::task::yield_now().await;
                    }
                }
                if armed == BEGIN_SPOILT || armed == HOLD {
                    let begin = bytes.windows(6).position(|part| part == b"BEGIN\0");
                    if let Some(at) = begin.filter(|_| armed == BEGIN_SPOILT) {
                        bytes.iter_mut().skip(at).take(5).for_each(|byte| *byte = b'X');
                        mode.store(FORWARD, Ordering::SeqCst);
                    }
                    server.write_all(bytes).await?;
                    continue;
                }
                let needle: &[u8] = if armed == COMMIT_LOST || armed == COMMIT_SENT { b"COMMIT\0" } else { MARK.as_bytes() };
                let cuts = armed != FORWARD && bytes.windows(needle.len()).any(|part| part == needle);
                if cuts {
                    mode.store(FORWARD, Ordering::SeqCst);
                }
                if cuts && (armed == COMMIT_LOST || armed == STATEMENT_LOST) {
                    return Ok(());
                }
                server.write_all(bytes).await?;
                if cuts {
                    return Ok(());
                }
            }
            read = server.read(&mut answered) => {
                let bytes = answered.get(..read?).expect("no more than was asked for");
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_unknown() {
    run(async {
        let postgres = cluster().await;
        let url = postgres.database().expect("a database");
        let mode = Arc::new(AtomicU8::new(FORWARD));
        let port = proxy(postgres.port(), Arc::clone(&mode)).await;
        let proxied = open(&url.replace(&postgres.port().to_string(), &port.to_string())).await;
        let direct = open(&url).await;
        proxied.write(put("before", "1")).await.expect("an answer");
        for (name, cut) in
            [("lost", COMMIT_LOST), ("sent", COMMIT_SENT), ("lost-statement", STATEMENT_LOST), ("sent-statement", STATEMENT_SENT)]
        {
            // With an idempotency key it takes a transaction; without, one statement.
            let once = (cut == COMMIT_LOST || cut == COMMIT_SENT).then(|| IdempotencyKey::new(name).expect("a key"));
            let mutation = Mutation::Put { value: Bytes::from_static(MARK.as_bytes()), ttl: None };
            let batch = Arc::new(WriteBatch::one(Item { key: key(name), mutation, condition: None }, once));
            mode.store(cut, Ordering::SeqCst);
            let error = proxied.write(batch).await.expect_err("no answer came");
            assert!(matches!(error, StoreError::Unknown(_)), "{name} got {error}, though its commit may have been applied");
            assert_eq!(mode.load(Ordering::SeqCst), FORWARD, "the proxy has cut");
        }
        // The next ones go over new connections.
        for number in 0..20 {
            proxied.write(put(&format!("after-{number}"), "1")).await.expect("an answer");
        }
        for name in ["sent", "sent-statement"] {
            let is_there = async {
                while value(&*direct, name).await.expect("a read").is_none() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, is_there).await.expect("what was sent is applied");
        }
        for name in ["lost", "lost-statement"] {
            assert_eq!(value(&*direct, name).await.expect("a read"), None, "what was not sent");
        }
    });
}

/// What is sent behind a BEGIN commits by itself where the BEGIN fails: it was reported as not applied.
#[test]
fn a_write_whose_begin_failed_alone_is_unknown() {
    run(async {
        let postgres = cluster().await;
        let url = postgres.database().expect("a database");
        let mode = Arc::new(AtomicU8::new(FORWARD));
        let port = proxy(postgres.port(), Arc::clone(&mode)).await;
        let store = open(&url.replace(&postgres.port().to_string(), &port.to_string())).await;
        let mutation = Mutation::Put { value: Bytes::from_static(b"1"), ttl: None };
        let item = Item { key: key("spoilt"), mutation, condition: None };
        // With an idempotency key it takes a transaction.
        let batch = Arc::new(WriteBatch::one(item, Some(IdempotencyKey::new("once").expect("a key"))));
        mode.store(BEGIN_SPOILT, Ordering::SeqCst);
        let error = store.write(Arc::clone(&batch)).await.expect_err("the transaction did not begin");
        assert_eq!(mode.load(Ordering::SeqCst), FORWARD, "the proxy has spoilt a BEGIN");
        assert_eq!(value(&*store, "spoilt").await.expect("a read").as_deref(), Some("1"), "what was sent behind it is applied");
        assert!(matches!(error, StoreError::Unknown(_)), "a write that is applied got {error}");
        let again = store.write(batch).await.expect("an answer");
        assert!(matches!(again, Outcome::Applied(ref applied) if applied.replayed), "the repeat got {again:?}");
    });
}

/// A restore set the sequence to the greatest revision that it knew, also where a writer had drawn a greater one meanwhile.
#[test]
fn a_restore_does_not_set_the_sequence_back() {
    run(async {
        let postgres = cluster().await;
        let url = postgres.database().expect("a database");
        open(&url).await.shutdown().await.expect("tables");
        let name = url.rsplit('/').next().expect("a name");
        let drawn = postgres.sql(name, "SELECT max(nextval('kv_revision')) FROM generate_series(1, 10)").expect("an answer");
        let reach = |revision: &str| include_str!("../../src/postgres/sql/reach_revision.sql").replace("$1", revision);
        assert_eq!(postgres.sql(name, &reach("5")).expect("an answer"), drawn, "what was drawn stays drawn");
        assert_eq!(postgres.sql(name, &reach("70")).expect("an answer"), "70");
        assert_eq!(postgres.sql(name, "SELECT nextval('kv_revision')").expect("an answer"), "71");
    });
}

#[test]
fn ten_nodes_that_start_at_once_make_the_tables_once() {
    run(async {
        let postgres = cluster().await;
        let url = postgres.database().expect("a database");
        let nodes: Vec<_> = (0..10)
            .map(|_| {
                tokio::spawn({
                    let url = url.clone();
                    async move { open(&url).await }
                })
            })
            .collect();
        for (number, node) in nodes.into_iter().enumerate() {
            let node = node.await.expect("a node");
            node.write(put(&number.to_string(), "1")).await.expect("an answer");
        }
        let name = url.rsplit('/').next().expect("a name");
        let each_once = "SELECT count(*) = max(version) AND count(*) = count(DISTINCT version) FROM refinery_schema_history";
        assert_eq!(postgres.sql(name, each_once).expect("an answer"), "t", "each migration ran once");
    });
}

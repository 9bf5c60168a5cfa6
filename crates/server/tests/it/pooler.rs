//! `--database-pooling transaction`: nodes behind a real PgBouncer, which gives each transaction another connection.

use std::time::Duration;

use bytes::Bytes;
use kvstore_client::{Client, ClientError, Entry, PutOptions, WriteOutcome};
use kvstore_testkit::{PgBouncer, PoolMode, Postgres, PostgresOptions};
use kvstore_types::{Condition, Key};
use serde_json::Value;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

/// Fewer than the nodes hold.
const CONNECTIONS: u16 = 4;
/// Tasks that write, beside the benchmark's loads, and how often.
const TASKS: usize = 12;
const ROUNDS: usize = 40;
/// By which they must have ended.
const DEADLINE: Duration = Duration::from_secs(120);

fn serve(url: &str, more: &[&str]) -> Server {
    let mut command = kvstore(&["serve", "--storage", "postgres", "--listen", "127.0.0.1:0", "--database-url", url]);
    command.args(more);
    Server::start_command(command)
}

/// What `psql` prints by way of the pooler.
fn ask(postgres: &Postgres, url: &str, sql: &str) -> String {
    let output = postgres.tool("psql").expect("psql").args(["-X", "-A", "-t", "-c", sql, url]).output().expect("psql runs");
    expect_exit(&output, 0).trim().to_owned()
}

/// What a task of the load was told, beside what it checked at once.
struct Told {
    /// The last value of each of its keys.
    own: Vec<(Key, Bytes)>,
    /// How often it counted the shared key up.
    counted: u64,
}

/// Whether an error is one that load alone can give: a refusal that says that nothing was applied.
fn is_put_off(error: &ClientError) -> bool {
    error.status() == Some(503) && error.outcome() == WriteOutcome::NotApplied
}

/// Reads until it is not put off.
async fn read(client: &Client, name: &Key) -> Option<Entry> {
    loop {
        match client.get(name).await {
            Err(error) if error.status() == Some(503) => {}
            answer => return answer.expect("an answer"),
        }
    }
}

fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

/// Writes keys of its own, reads each back through the next node, and counts a key up that all tasks count.
async fn write_and_count(task: usize, urls: Vec<String>) -> Told {
    let client = |node: usize| Client::new(urls.get(node % urls.len()).expect("a node"), None).expect("a client");
    let (here, there) = (client(task), client(task + 1));
    let mut told = Told { own: Vec::new(), counted: 0 };
    for round in 0..ROUNDS {
        let (name, value) = (key(&format!("own-{task}-{round}")), Bytes::from(format!("{task} {round}")));
        match here.put(&name, value.clone(), &PutOptions::default()).await {
            Ok(put) => {
                assert_eq!((put.created, put.entry.version), (true, 1), "{name} is new");
                let found = read(&there, &name).await.and_then(|entry| entry.value);
                assert_eq!(found.as_ref(), Some(&value), "{name} was acknowledged");
                told.own.push((name, value));
            }
            Err(error) => assert!(is_put_off(&error), "{name}: {error}"),
        }
        let count = read(&here, &key("count")).await.expect("it is there");
        let number: u64 = text(&count.value.unwrap_or_default()).parse().expect("a number");
        let options = PutOptions { condition: Some(Condition::Revision(count.revision)), ..PutOptions::default() };
        match there.put(&key("count"), Bytes::from((number + 1).to_string()), &options).await {
            Ok(_) => told.counted += 1,
            Err(ClientError::ConditionFailed { .. }) => {}
            Err(error) => assert!(is_put_off(&error), "the count: {error}"),
        }
    }
    told
}

/// Every answer is one that is allowed, and nothing that was acknowledged is lost.
async fn hold_to_their_answers(urls: Vec<String>) {
    let last = Client::new(urls.last().expect("a node"), None).expect("a client");
    last.put(&key("count"), Bytes::from_static(b"0"), &PutOptions::default()).await.expect("an answer");
    let tasks: Vec<_> = (0..TASKS).map(|task| tokio::spawn(write_and_count(task, urls.clone()))).collect();
    let mut counted = 0;
    for task in tasks {
        let told = task.await.expect("a task");
        assert!(!told.own.is_empty(), "a task was always refused");
        counted += told.counted;
        for (name, value) in told.own {
            assert_eq!(read(&last, &name).await.and_then(|entry| entry.value), Some(value), "{name} in the end");
        }
    }
    let count = read(&last, &key("count")).await.expect("it is there");
    assert_eq!(text(&count.value.unwrap_or_default()), counted.to_string(), "what was counted up and acknowledged");
    assert_eq!(count.version, counted + 1, "writes of the count");
}

#[test]
fn nodes_share_the_connections_of_a_pooler_and_leave_nothing_on_them() {
    let postgres = Postgres::start(PostgresOptions::default()).expect("a cluster");
    let pooler = PgBouncer::start(postgres.port(), PoolMode::Transaction, CONNECTIONS).expect("a pooler");
    let database = postgres.database().expect("a database");
    let url = pooler.url(database.rsplit('/').next().expect("a name"));
    // All make the tables at once.
    let nodes = std::thread::scope(|scope| {
        let started: Vec<_> = (0..3).map(|_| scope.spawn(|| serve(&url, &["--database-pooling", "transaction"]))).collect();
        started.into_iter().map(|node| node.join().expect("a node")).collect::<Vec<_>>()
    });
    let urls: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let load: Vec<_> = std::thread::scope(|scope| {
        let ways = ["a", "f", "e"];
        let running: Vec<_> = nodes
            .iter()
            .zip(ways)
            .map(|(node, way)| {
                scope.spawn(move || {
                    let load = ["bench", "--workload", way, "--prefix", way, "--records", "300", "--seconds", "3", "--connections", "16"];
                    node.client(&[&load[..], &["-o", "json"]].concat(), b"")
                })
            })
            .collect();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async { tokio::time::timeout(DEADLINE, hold_to_their_answers(urls)).await.expect("an end in time") });
        running.into_iter().map(|load| load.join().expect("an end")).collect()
    });
    for output in &load {
        let report: Value = serde_json::from_str(&expect_exit(output, 0)).expect("JSON");
        let count = |name: &str| report[name].as_u64().expect("a number");
        // A busy machine may put some off.
        assert!(count("operations") > 100 * count("errors"), "{report}: {}", text(&output.stderr));
    }
    let [first, second, third] = &nodes[..] else { panic!("three nodes were started") };
    expect_exit(&first.client(&["put", "k", "v", "--idempotency-key", "once"], b""), 0);
    expect_exit(&second.client(&["put", "k", "v", "--idempotency-key", "once"], b""), 0);
    assert_eq!(expect_exit(&third.client(&["get", "k"], b""), 0), "v");
    let version = expect_exit(&third.client(&["get", "k", "-o", "json"], b""), 0);
    assert!(version.contains("\"version\": 1") || version.contains("\"version\":1"), "a repeat was written again: {version}");
    for _ in 0..CONNECTIONS {
        let left = "SELECT count(*) || ' ' || current_setting('statement_timeout') FROM pg_prepared_statements";
        assert_eq!(ask(&postgres, &url, left), "0 0", "statements or settings are left on a connection that others use");
    }
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(ask(&postgres, &url, held), "0", "a lock is left");
    for node in nodes {
        node.stop();
    }
}

#[test]
fn a_commit_waits_for_the_disk_though_the_role_says_otherwise() {
    let postgres = Postgres::start(PostgresOptions::default()).expect("a cluster");
    let pooler = PgBouncer::start(postgres.port(), PoolMode::Transaction, CONNECTIONS).expect("a pooler");
    let database = postgres.database().expect("a database");
    let name = database.rsplit('/').next().expect("a name");
    postgres.sql("postgres", "ALTER ROLE postgres SET synchronous_commit = off").expect("a setting");
    let node = serve(&pooler.url(name), &["--database-pooling", "transaction"]);
    // A trigger sees what the writing transaction has set.
    let seen = "CREATE TABLE seen (setting text, timeout text); \
                CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen \
                VALUES (current_setting('synchronous_commit'), current_setting('statement_timeout')); RETURN NULL; END $$; \
                CREATE TRIGGER see AFTER INSERT ON kv FOR EACH STATEMENT EXECUTE FUNCTION see()";
    postgres.sql(name, seen).expect("a trigger");
    expect_exit(&node.client(&["put", "k", "v"], b""), 0);
    assert_eq!(postgres.sql(name, "SELECT DISTINCT setting, timeout FROM seen").expect("an answer"), "on|30s");
    node.stop();
}

#[test]
fn a_pooler_in_session_mode_needs_no_setting_and_wrong_words_are_refused() {
    let postgres = Postgres::shared().expect("a cluster");
    let pooler = PgBouncer::start(postgres.port(), PoolMode::Session, 20).expect("a pooler");
    let database = postgres.database().expect("a database");
    let node = serve(&pooler.url(database.rsplit('/').next().expect("a name")), &[]);
    expect_exit(&node.client(&["put", "k", "v"], b""), 0);
    assert_eq!(expect_exit(&node.client(&["get", "k"], b""), 0), "v");
    node.stop();
    let output =
        run(kvstore(&["serve", "--storage", "postgres", "--database-url", "postgres://u@h/d", "--database-pooling", "statement"]), b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("`session` or `transaction`"), "{}", text(&output.stderr));
}

#[test]
fn without_the_setting_the_log_says_what_to_give() {
    let postgres = Postgres::shared().expect("a cluster");
    let pooler = PgBouncer::start(postgres.port(), PoolMode::Transaction, CONNECTIONS).expect("a pooler");
    let database = postgres.database().expect("a database");
    let url = pooler.url(database.rsplit('/').next().expect("a name"));
    let (one, other) = (serve(&url, &[]), serve(&url, &[]));
    eventually("a statement is not where it was left", || {
        for node in [&one, &other] {
            let load = ["bench", "--prefix", "x", "--records", "20", "--operations", "200", "--connections", "16"];
            node.client(&load, b"");
        }
        let advice = "a pooler in transaction mode stands before it; say --database-pooling transaction";
        one.said().contains(advice) || other.said().contains(advice)
    });
}

//! `--database-pooling transaction`: nodes behind a real PgBouncer, which gives each transaction another connection.

use kvstore_testkit::{PgBouncer, PoolMode, Postgres, PostgresOptions};

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

/// Fewer than the nodes hold.
const CONNECTIONS: u16 = 4;

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
    let load: Vec<_> = std::thread::scope(|scope| {
        let ways = ["a", "f", "e"];
        let running: Vec<_> = nodes
            .iter()
            .zip(ways)
            .map(|(node, way)| {
                scope.spawn(move || {
                    let load = ["bench", "--workload", way, "--prefix", way, "--records", "300", "--seconds", "3", "--connections", "16"];
                    node.client(&load, b"")
                })
            })
            .collect();
        running.into_iter().map(|load| load.join().expect("an end")).collect()
    });
    for output in &load {
        let said = expect_exit(output, 0);
        assert!(said.contains("operations"), "{said}: {}", text(&output.stderr));
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

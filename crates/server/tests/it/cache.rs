//! `REDIS_URL` and `--cache`: two real servers on one database and one Redis; what health and the log tell while Redis comes and goes.

use kvstore_testkit::{Postgres, PostgresOptions, Redis};
use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run};

fn health(server: &Server) -> Value {
    serde_json::from_str(&expect_exit(&server.client(&["health"], b""), 0)).expect("JSON")
}

fn metric(server: &Server, name: &str) -> f64 {
    let metrics = server.http_get("/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
    line.map_or(0.0, |number| number.parse().expect("a number"))
}

#[test]
fn two_servers_share_a_fenced_cache_and_outlive_it() {
    let postgres = Postgres::start(PostgresOptions::default()).expect("PostgreSQL starts");
    let (database, redis) = (postgres.database().expect("a database"), Redis::start(&[]).expect("Redis starts"));
    let dir = TempDir::new().expect("a directory");
    let url = redis.url();
    let environment = [("KVSTORE_DATABASE_URL", database.as_str()), ("REDIS_URL", url.as_str())];
    let start = || Server::start_with(&dir.path().join("unused"), &["--storage", "postgres", "--cache", "fenced"], &environment);
    let (one, other) = (start(), start());
    for server in [&one, &other] {
        server.wait_for("the cache is on");
        eventually("health tells the cache", || health(server)["cache"]["state"] == "on");
        assert_eq!(health(server)["cache"]["mode"], "fenced");
    }
    expect_exit(&one.client(&["put", "k", "first"], b""), 0);
    eventually("reads are answered by the cache", || {
        assert_eq!(expect_exit(&other.client(&["get", "k"], b""), 0), "first");
        metric(&other, "kvstore_cache_hits_total") > 0.0
    });
    redis.kill().expect("Redis ends");
    for round in 0..5 {
        let value = format!("round {round}");
        expect_exit(&one.client(&["put", "k", &value], b""), 0);
        assert_eq!(expect_exit(&other.client(&["get", "k"], b""), 0), value, "without Redis");
    }
    one.wait_for("the cache is off");
    assert_eq!(health(&one)["cache"]["state"], "off");
    assert_eq!(health(&one)["status"], "healthy", "a cache that is off is no illness");
    redis.start_again().expect("Redis starts");
    eventually("the cache is back", || health(&one)["cache"]["state"] == "on" && health(&other)["cache"]["state"] == "on");
    // Health sees an open fence at once; the log tells it at the keeper's next look.
    for server in [&one, &other] {
        eventually("the log says so too", || server.said().matches("the cache is on").count() == 2);
    }
    assert_eq!(expect_exit(&other.client(&["get", "k"], b""), 0), "round 4");
    assert_eq!(metric(&one, "kvstore_cache_mismatches_total"), 0.0);
    for server in [one, other] {
        let said = server.stop();
        assert_eq!(said.matches("the cache is off").count(), 1, "one line for one outage: {said}");
        assert_eq!(said.matches("the cache is on").count(), 2, "{said}");
    }
}

#[test]
fn a_redis_url_that_can_not_be_used_ends_the_start() {
    let postgres = Postgres::start(PostgresOptions::default()).expect("PostgreSQL starts");
    let database = postgres.database().expect("a database");
    let mut command = kvstore(&["serve", "--storage", "postgres", "--listen", "127.0.0.1:0"]);
    command.envs([("KVSTORE_DATABASE_URL", database.as_str()), ("REDIS_URL", "http://127.0.0.1")]);
    let output = run(command, b"");
    expect_exit(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("REDIS_URL"), "{output:?}");
}

#[test]
fn the_embedded_store_says_that_it_needs_no_redis() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_with(&dir.path().join("data"), &[], &[("REDIS_URL", "redis://127.0.0.1:1")]);
    assert!(health(&server)["cache"].is_null());
    assert!(server.stop().contains("REDIS_URL is set and not used"));
}

#[test]
fn the_password_of_redis_is_not_shown() {
    let mut command = kvstore(&["config"]);
    command.env("REDIS_URL", "redis://user:secret@host:6379/1");
    let said = expect_exit(&run(command, b""), 0);
    assert!(said.contains("redis_url\tredis://user:(hidden)@host:6379/1\tenvironment REDIS_URL"), "{said}");
}

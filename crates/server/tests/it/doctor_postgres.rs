//! `kvstore doctor --storage postgres`: a real PostgreSQL and a real Redis, well and not.

use std::process::Output;

use kvstore_testkit::{Postgres, PostgresOptions, Redis};
use serde_json::Value;

use crate::running::{expect_exit, kvstore, run};

fn doctor(url: &str, arguments: &[&str]) -> Output {
    let mut command = kvstore(&["doctor", "--storage", "postgres", "--listen", "127.0.0.1:0", "-o", "json", "--database-url", url]);
    command.args(arguments);
    run(command, b"")
}

/// Each check with its level and what it said, on one line.
fn lines(output: &Output, code: i32) -> String {
    let document: Value = serde_json::from_str(&expect_exit(output, code)).expect("JSON");
    let checks = document.get("checks").and_then(Value::as_array).expect("a list").iter();
    let field = |check: &Value, name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let line = |check: &Value| ["check", "level", "detail", "advice"].map(|name| field(check, name)).join("|");
    checks.map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn expect(lines: &str, beginning: &str, part: &str) {
    assert!(lines.lines().any(|line| line.starts_with(beginning) && line.contains(part)), "{beginning} {part} in {lines}");
}

#[test]
fn a_database_and_a_redis_are_looked_at() {
    let settings = vec![("max_connections".into(), "30".into())];
    let postgres = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() }).expect("a cluster");
    let url = postgres.database().expect("a database");
    let name = url.rsplit('/').next().expect("a name");
    let (evicting, roomy) = (Redis::start(&["--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru"]), Redis::start(&[]));
    let (evicting, roomy) = (evicting.expect("Redis starts"), roomy.expect("Redis starts"));

    let said = lines(&doctor(&url, &["--redis-url", &evicting.url()]), 0);
    expect(&said, "database|ok|PostgreSQL 1", "takes the role postgres");
    expect(&said, "tables|ok|", "there are none yet; the next start makes them");
    expect(&said, "rights|ok|", "");
    // The clusters of tests do not wait for the disk.
    expect(&said, "commits|warning|", "fsync = on");
    expect(&said, "pool|ok|", "up to 16 of 30");
    expect(&said, "db clock|ok|", "");
    expect(&said, "redis|ok|Redis ", "(allkeys-lru)");
    assert!(!said.contains("\ndata|") && !said.contains("\nspace|"), "there is no data directory: {said}");

    let mut migrate = kvstore(&["migrate", "--storage", "postgres", "--database-url"]);
    migrate.arg(&url);
    expect_exit(&run(migrate, b""), 0);
    let said = lines(&doctor(&url, &["--redis-url", &evicting.url(), "--cache", "fenced", "--database-connections", "100"]), 1);
    expect(&said, "tables|ok|", "as this version needs");
    expect(&said, "pool|problem|", "lower --database-connections");
    expect(&said, "redis|warning|", "noeviction");
    let said = lines(&doctor(&url, &["--redis-url", &roomy.url()]), 0);
    expect(&said, "redis|warning|", "set maxmemory");

    postgres.sql(name, "CREATE ROLE narrow LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO narrow").expect("a role");
    let narrow = url.replace("postgres@", "narrow@");
    let said = lines(&doctor(&narrow, &["--redis-url", "redis://127.0.0.1:1"]), 1);
    expect(&said, "rights|problem|", "lacks INSERT on kv, UPDATE on kv, DELETE on kv");
    expect(&said, "rights|problem|", "USAGE on kv_revision");
    expect(&said, "redis|warning|", "every read goes to the database");

    postgres.sql(name, "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM narrow; DROP TABLE kv_fence_nodes").expect("rights");
    postgres.sql("postgres", "ALTER ROLE narrow SET default_transaction_read_only = on").expect("a setting");
    let said = lines(&doctor(&narrow, &[]), 1);
    expect(&said, "database|problem|", "");
}

#[test]
fn a_database_that_can_not_be_reached_is_one_problem_with_advice() {
    let secret = "postgres://u:secret-word@127.0.0.1:1/d";
    let said = lines(&doctor(secret, &[]), 1);
    expect(&said, "database|problem|", "KVSTORE_DATABASE_URL");
    expect(&said, "database|problem|", "`psql` with the same URL tells more");
    assert!(!said.contains("secret-word"), "{said}");
    let postgres = Postgres::shared().expect("a cluster");
    let said = lines(&doctor(&postgres.url("missing"), &["--postgres-db", "d"]), 1);
    expect(&said, "settings|problem|", "both KVSTORE_DATABASE_URL and POSTGRES_DB are set");
    let said = lines(&doctor(&postgres.url("missing"), &[]), 1);
    expect(&said, "database|problem|", "does not exist");
}

//! Starting, stopping, killing and leaving PostgreSQL and Redis.

use std::path::Path;

use kvstore_testkit::{Postgres, PostgresOptions, Redis, Syncing};

fn runs(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn postgres_keeps_what_was_committed_when_it_is_killed() {
    let settings = vec![("max_connections".into(), "20".into())];
    let options = PostgresOptions { syncing: Syncing::On, settings, ..PostgresOptions::default() };
    let postgres = Postgres::start(options).expect("a cluster");
    let url = postgres.database().expect("a database");
    let name = url.rsplit('/').next().expect("a name");
    postgres.sql(name, "CREATE TABLE t AS SELECT 42 AS x").expect("a table");
    for round in 0..3 {
        if round == 1 { postgres.stop() } else { postgres.kill() }.expect("an end");
        assert!(postgres.sql(name, "SELECT 1").is_err(), "it answers after its end in round {round}");
        postgres.start_again().expect("a start");
        assert_eq!(postgres.sql(name, "SELECT x FROM t").expect("an answer"), "42", "in round {round}");
    }
    assert_eq!(postgres.sql(name, "SHOW max_connections").expect("an answer"), "20");
    let (pid, folder) = (postgres.pid().expect("it runs"), postgres.socket_dir().to_owned());
    drop(postgres);
    assert!(!runs(pid) && !folder.exists(), "process {pid} or {} is left", folder.display());
}

#[test]
fn each_database_is_a_new_one() {
    let postgres = Postgres::shared().expect("a cluster");
    assert_ne!(postgres.database().expect("a database"), postgres.database().expect("another"));
}

#[test]
fn redis_comes_back_empty_on_its_port() {
    let redis = Redis::start(&["--maxmemory", "10mb"]).expect("a server");
    for round in 0..2 {
        if round == 0 { redis.kill() } else { redis.stop() }.expect("an end");
        assert!(std::net::TcpStream::connect(("127.0.0.1", redis.port())).is_err(), "it answers after its end in round {round}");
        redis.start_again().expect("a start");
    }
}

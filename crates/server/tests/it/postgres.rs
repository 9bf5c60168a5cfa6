//! `serve --storage postgres`: what it serves, what it refuses at start, and what it waits for.

use std::net::TcpListener;

use kvstore_testkit::{Direction, Flow, Postgres, PostgresOptions, Proxy};
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

const SERVE: [&str; 6] = ["serve", "--storage", "postgres", "--listen", "127.0.0.1:0", "--database-url"];

fn serve(url: &str) -> Server {
    let mut command = kvstore(&SERVE);
    command.arg(url);
    Server::start_command(command)
}

#[test]
fn what_one_node_writes_another_reads_and_a_restart_keeps() {
    let postgres = Postgres::shared().expect("a cluster");
    let url = postgres.database().expect("a database");
    let (first, second) = (serve(&url), serve(&url));
    expect_exit(&first.client(&["put", "k", "v"], b""), 0);
    assert_eq!(expect_exit(&second.client(&["get", "k"], b""), 0), "v");
    assert!(second.http_get("/readyz").contains("ready"), "{}", second.said());
    assert!(second.http_get("/kv-store/v1/health/").contains("\"backend\":\"postgres\""));
    let stale = second.http_get("/kv-store/v1/kv/k/?consistency=stale");
    assert!(stale.contains("200 OK") && !stale.to_lowercase().contains("kv-applied-revision"), "{stale}");
    assert!(first.http_get("/kv-store/v1/backup/").contains("pg_dump"), "a backup is PostgreSQL's business");
    first.stop();
    second.stop();
    let again = serve(&url);
    assert_eq!(expect_exit(&again.client(&["get", "k"], b""), 0), "v");
    again.stop();
}

#[test]
fn what_does_not_heal_is_refused_in_a_sentence_that_names_the_setting() {
    let postgres = Postgres::shared().expect("a cluster");
    let (newer, bare, url) = (database(&postgres), database(&postgres), postgres.database().expect("a database"));
    postgres.sql("postgres", "DROP ROLE IF EXISTS guarded").expect("no role");
    postgres.sql("postgres", "CREATE ROLE guarded LOGIN PASSWORD 'right-password'").expect("a role");
    serve(&postgres.url(&newer)).stop();
    let later = "INSERT INTO refinery_schema_history SELECT 999, name, applied_on, checksum FROM refinery_schema_history LIMIT 1";
    postgres.sql(&newer, later).expect("a later version");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other_port = other.local_addr().expect("an address").port();
    // It answers as a web server would that closes then. Were it gone with something unread, the connection would be reset and the
    // answer lost: kvstore would know of a database that is away, and wait for it.
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        }
    });
    let port = postgres.port();
    let cases = [
        (format!("postgres://guarded:wrong@127.0.0.1:{port}/{bare}"), "password authentication failed"),
        (format!("postgres://postgres@127.0.0.1:{port}/missing"), "does not exist"),
        (postgres.url(&newer), "use a newer kvstore"),
        (format!("postgres://guarded:right-password@127.0.0.1:{port}/{bare}"), "kvstore migrate"),
        ("postgres://user:secret-word@host:port/x".to_owned(), "can't be read"),
        (format!("postgres://postgres@127.0.0.1:{other_port}/x"), "KVSTORE_DATABASE_URL"),
    ];
    for (url, advice) in cases {
        let mut command = kvstore(&SERVE);
        command.arg(&url);
        let output = run(command, b"");
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(advice) && said.contains("KVSTORE_DATABASE_URL"), "{url} said {said}");
        assert!(!said.contains("secret-word") && !said.contains("right-password"), "a password is shown: {said}");
    }
    let mut command = kvstore(&SERVE);
    command.args([&url, "--migrate", "check"]);
    let said = text(&run(command, b"").stderr);
    assert!(said.contains("run kvstore migrate"), "{said}");
    let mut command = kvstore(&["migrate", "--storage", "postgres", "--database-url"]);
    command.arg(&url);
    assert_eq!(expect_exit(&run(command, b""), 0), "2 migrations ran\n");
    let mut command = kvstore(&SERVE);
    command.args([&url, "--migrate", "check"]);
    Server::start_command(command).stop();
}

#[test]
fn a_table_is_not_distributed_without_citus() {
    let postgres = Postgres::shared().expect("a cluster");
    let name = database(&postgres);
    let mut command = kvstore(&["migrate", "--storage", "postgres", "--distribute", "--database-url"]);
    command.arg(postgres.url(&name));
    let output = run(command, b"");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("lacks the extension citus") && said.lines().count() == 1, "{said}");
    let made = postgres.sql(&name, "SELECT count(*) FROM pg_tables WHERE tablename = 'kv'").expect("a count");
    assert_eq!(made, "0", "what is refused makes no tables");
}

fn database(postgres: &Postgres) -> String {
    let url = postgres.database().expect("a database");
    url.rsplit('/').next().expect("a name").to_owned()
}

#[test]
fn a_database_that_is_away_is_waited_for() {
    let postgres = Postgres::start(PostgresOptions::default()).expect("a cluster");
    let url = postgres.database().expect("a database");
    postgres.stop().expect("an end");
    let server = serve(&url);
    assert!(server.http_get("/readyz").contains("503"), "it is ready without its database");
    assert!(server.http_get("/readyz").contains("unreachable"), "{}", server.http_get("/readyz"));
    let refused = server.http_get("/kv-store/v1/kv/k/");
    assert!(refused.contains("503") && refused.to_lowercase().contains("retry-after"), "{refused}");
    postgres.start_again().expect("a start");
    eventually("the server is ready", || server.http_get("/readyz").contains("200 OK"));
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();
}

#[test]
fn the_settings_of_a_database_can_be_given_in_parts_and_are_not_shown() {
    let dir = TempDir::new().expect("a directory");
    let shown = |environment: &[(&str, &str)]| {
        let mut command = kvstore(&["config", "--storage", "postgres"]);
        command.envs(environment.iter().copied()).current_dir(dir.path());
        expect_exit(&run(command, b""), 0)
    };
    for environment in [&[("KVSTORE_DATABASE_URL", "postgres://u:secret-word@h/d")][..], &[("POSTGRES_PASSWORD", "secret-word")]] {
        let said = shown(environment);
        assert!(said.contains("(hidden)") && !said.contains("secret-word"), "{said}");
    }
    let postgres = Postgres::shared().expect("a cluster");
    let (name, port) = (database(&postgres), postgres.port().to_string());
    let mut command = kvstore(&["serve", "--storage", "postgres", "--listen", "127.0.0.1:0"]);
    command.envs([("POSTGRES_DB", &*name), ("POSTGRES_PORT", &*port), ("POSTGRES_USER", "postgres"), ("POSTGRES_HOST", "127.0.0.1")]);
    let server = Server::start_command(command);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    server.stop();
}

#[test]
fn while_all_connections_are_in_use_requests_are_put_off_and_no_restart_is_needed() {
    let postgres = Postgres::shared().expect("a cluster");
    let database = postgres.database().expect("a database");
    let link = Proxy::start(postgres.port()).expect("a link");
    let url = database.replace(&format!(":{}/", postgres.port()), &format!(":{}/", link.port()));
    let mut command = kvstore(&SERVE);
    command.args([&url, "--database-connections", "2"]);
    let server = Server::start_command(command);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    link.set(Direction::ToClient, Flow::Hold);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..12)
            .map(|number| {
                scope.spawn({
                    let server = &server;
                    move || server.http_get(&format!("/kv-store/v1/kv/?prefix={number}&limit=1"))
                })
            })
            .collect();
        asked.into_iter().map(|asking| asking.join().expect("an answer")).collect()
    });
    for answer in &answers {
        let head = answer.to_lowercase();
        assert!(head.starts_with("http/1.1 503") && head.contains("retry-after:"), "{answer}");
    }
    // Pages share no connection, as reads of single keys do.
    let in_use = "all connections to the database are in use";
    assert!(answers.iter().any(|answer| answer.contains(in_use)), "{answers:?}");
    link.heal();
    eventually("it serves again", || server.http_get("/kv-store/v1/kv/k/").contains("200 OK"));
    expect_exit(&server.client(&["put", "k", "again"], b""), 0);
    server.stop();
}

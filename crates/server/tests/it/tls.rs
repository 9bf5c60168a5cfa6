//! TLS to PostgreSQL and to Redis: what each `sslmode` takes and refuses, and `rediss://`.

use std::fs;

use kvstore_testkit::{Authority, Postgres, PostgresOptions, Redis, free_port};
use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run, text};

/// A cluster whose certificate is for `localhost` alone.
fn secure(authority: &Authority) -> Postgres {
    let certificate = Some(authority.issue(&["localhost"]).expect("a certificate"));
    Postgres::start(PostgresOptions { certificate, ..PostgresOptions::default() }).expect("a cluster")
}

/// Connects and makes the tables. Gives what was said on stderr where it was refused.
fn migrate(environment: &[(&str, &str)]) -> Result<(), String> {
    let mut command = kvstore(&["migrate", "--storage", "postgres"]);
    command.envs(environment.iter().copied());
    let output = run(command, b"");
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
}

/// Whether all connections of kvstore are encrypted; `None` where there are none.
fn is_encrypted(postgres: &Postgres) -> Option<bool> {
    let sql = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'kvstore'";
    match postgres.sql("postgres", sql).expect("an answer").as_str() {
        "t" => Some(true),
        "f" => Some(false),
        _ => None,
    }
}

#[test]
fn each_sslmode_takes_and_refuses_what_it_does_with_libpq() {
    let (ours, other) = (Authority::new().expect("an authority"), Authority::new().expect("an authority"));
    let postgres = secure(&ours);
    let plain = Postgres::shared().expect("a cluster");
    let (port, plain_port) = (postgres.port(), plain.port());
    let (ours, other) = (ours.file().display().to_string(), other.file().display().to_string());
    let at = |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/postgres?{query}");
    for url in [
        at("127.0.0.1", "sslmode=require"),
        at("127.0.0.1", "sslmode=prefer"),
        at("127.0.0.1", "sslmode=disable"),
        at("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ours}")),
        at("localhost", &format!("sslmode=verify-full&sslrootcert={ours}")),
        format!("host=localhost port={port} user=postgres sslmode=verify-full sslrootcert='{ours}'"),
        format!("host={} port={port} user=postgres sslmode=require", postgres.socket_dir().display()),
        format!("postgres://postgres@127.0.0.1:{plain_port}/postgres?sslmode=prefer"),
    ] {
        migrate(&[("KVSTORE_DATABASE_URL", &url)]).expect(&url);
    }
    let authority = "of no authority that is trusted here";
    for (url, reason) in [
        (at("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ours}")), "for another name"),
        (at("localhost", &format!("sslmode=verify-full&sslrootcert={other}")), authority),
        (at("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={other}")), authority),
        (at("127.0.0.1", &format!("sslmode=require&sslrootcert={other}")), authority),
        (at("localhost", "sslmode=verify-full"), authority),
        (at("localhost", "sslmode=verify-ca&sslrootcert=system"), "needs sslmode=verify-full"),
        (at("localhost", "sslmode=verify-full&sslrootcert=system"), authority),
        (at("127.0.0.1", &format!("sslrootcert={ours}")), "for another name"),
        (at("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem"), "/nowhere.pem can't be used"),
        (at("localhost", "sslmode=verify-full&sslrootcert=/dev/null"), "holds none"),
        (at("localhost", "sslmode=sometimes"), "give disable, prefer, require, verify-ca or verify-full"),
        (format!("postgres://postgres@127.0.0.1:{plain_port}/postgres?sslmode=require"), "takes no TLS"),
    ] {
        let said = migrate(&[("KVSTORE_DATABASE_URL", &url)]).expect_err(&url);
        assert!(said.contains(reason) && said.contains("KVSTORE_DATABASE_URL") && said.lines().count() == 1, "{url} said {said}");
    }
    let port = port.to_string();
    let parts = |roots| {
        [("POSTGRES_HOST", "localhost"), ("POSTGRES_PORT", &*port), ("POSTGRES_SSLMODE", "verify-full"), ("POSTGRES_SSLROOTCERT", roots)]
    };
    migrate(&parts(&ours)).expect("the authority is the right one");
    let said = migrate(&parts(&other)).expect_err("the authority is another one");
    assert!(said.contains(authority) && said.contains("POSTGRES_SSLROOTCERT"), "{said}");
}

#[test]
fn a_server_speaks_tls_to_its_database_and_refuses_to_start_without() {
    let (ours, other) = (Authority::new().expect("an authority"), Authority::new().expect("an authority"));
    let postgres = secure(&ours);
    let serve = |query: &str| {
        let mut command = kvstore(&["serve", "--storage", "postgres", "--listen", "127.0.0.1:0", "--database-url"]);
        command.arg(format!("postgres://postgres@localhost:{}/postgres?{query}", postgres.port()));
        command
    };
    let verified = format!("sslmode=verify-full&sslrootcert={}", ours.file().display());
    for (query, encrypted) in [(verified.as_str(), true), ("", true), ("sslmode=disable", false)] {
        let server = Server::start_command(serve(query));
        expect_exit(&server.client(&["put", "k", "v"], b""), 0);
        assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
        assert_eq!(is_encrypted(&postgres), Some(encrypted), "of {query:?}");
        server.stop();
        eventually("its connections end", || is_encrypted(&postgres).is_none());
    }
    let output = run(serve(&format!("sslmode=verify-full&sslrootcert={}", other.file().display())), b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("of no authority that is trusted here"), "{}", text(&output.stderr));

    // A server that takes this role without TLS alone: what is only preferred gives way.
    let access = postgres.socket_dir().join("data/pg_hba.conf");
    fs::write(&access, "local all all trust\nhostnossl all all 127.0.0.1/32 trust\n").expect("the rules");
    postgres.sql("postgres", "SELECT pg_reload_conf()").expect("an answer");
    let url = |mode: &str| format!("postgres://postgres@localhost:{}/postgres?sslmode={mode}", postgres.port());
    eventually("TLS is refused", || migrate(&[("KVSTORE_DATABASE_URL", &url("require"))]).is_err());
    migrate(&[("KVSTORE_DATABASE_URL", &url("prefer"))]).expect("without TLS it is taken");
}

#[test]
fn rediss_speaks_tls_to_redis_or_leaves_the_cache_off() {
    let (ours, other) = (Authority::new().expect("an authority"), Authority::new().expect("an authority"));
    let (folder, port) = (TempDir::new().expect("a folder"), free_port().expect("a port"));
    let (certificate, key) = ours.issue(&["127.0.0.1"]).and_then(|issued| issued.write_to(folder.path())).expect("files");
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let _redis = Redis::start(&[&tls[..], &["--tls-ca-cert-file", &certificate]].concat()).expect("Redis starts");
    let postgres = Postgres::shared().expect("a cluster");
    let database = postgres.database().expect("a database");
    let command = |url: &str, file: &Authority| {
        let mut command = kvstore(&["serve", "--storage", "postgres", "--listen", "127.0.0.1:0"]);
        command.envs([("KVSTORE_DATABASE_URL", &*database), ("REDIS_URL", url)]).env("KVSTORE_REDIS_CA_FILE", file.file());
        command
    };
    let url = format!("rediss://127.0.0.1:{port}");
    let server = Server::start_command(command(&url, &ours));
    server.wait_for("the cache is on");
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    eventually("reads are answered by the cache", || {
        assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v");
        server.http_get("/metrics").lines().any(|line| line.starts_with("kvstore_cache_hits_total ") && !line.ends_with(" 0"))
    });
    server.stop();

    let server = Server::start_command(command(&url, &other));
    let said = server.wait_for("the cache is off");
    assert!(said.contains("of no authority that is trusted here") && said.contains("KVSTORE_REDIS_CA_FILE"), "{said}");
    assert_eq!(expect_exit(&server.client(&["get", "k"], b""), 0), "v", "requests go to the database");
    server.stop();

    for (url, reason) in [("redis://127.0.0.1:1", "not a rediss:// one"), ("rediss://127.0.0.1:1/#insecure", "#insecure is not taken")] {
        let output = run(command(url, &ours), b"");
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(reason) && said.contains("REDIS_URL"), "{said}");
    }
}

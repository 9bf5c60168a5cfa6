//! Settings: their sources and their order, and what is refused.

use tempfile::TempDir;

use crate::running::{Server, expect_exit, kvstore, run, text};

/// Flags, the environment, and what the message must say.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);

fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let dir = TempDir::new().expect("a directory");
    let mut command = kvstore(&["serve", "--data-dir"]);
    command.arg(dir.path().join("data")).args(["--listen", "127.0.0.1:0"]).args(arguments).envs(environment.iter().copied());
    let output = run(command, b"");
    expect_exit(&output, 2);
    assert!(!dir.path().join("data").exists(), "a server that was refused made its data directory");
    text(&output.stderr)
}

#[test]
fn settings_that_cannot_be_meant_are_refused_with_advice() {
    let cases: [Case; 14] = [
        (&["--storage", "oracle"], &[], "embedded"),
        (&[], &[("KVSTORE_STORAGE", "postgres")], "KVSTORE_DATABASE_URL"),
        (&[], &[("REPLICA_NODES", "[{\"url\":\"http://n2:8000\"}]")], "REPLICA_NODES is set"),
        (&[], &[("POSTGRES_HOST", "db")], "POSTGRES_HOST is set"),
        (&["--cache", "sometimes"], &[], "`validate` or `fenced`"),
        (&[], &[("KVSTORE_DATABASE_URL", "postgres://")], "KVSTORE_DATABASE_URL is set"),
        (&["--storage", "postgres"], &[("KVSTORE_DATABASE_URL", "postgres://h"), ("POSTGRES_DB", "d")], "both"),
        (&["--memory-mb", "1"], &[], "at least 64"),
        (&["--memory-mb", "lots"], &[], "--memory-mb"),
        (&["--max-body-bytes", "10"], &[], "max_value_bytes"),
        (&[], &[("KVSTORE_TOKEN", "two words")], "KVSTORE_TOKEN"),
        (&["--log", "loud=shout"], &[], "log level"),
        (&["--config", "/nowhere.toml"], &[], "/nowhere.toml"),
        (&["--frobnicate"], &[], "--frobnicate"),
    ];
    for (arguments, environment, advice) in cases {
        let said = refused(arguments, environment);
        assert!(said.contains(advice), "{arguments:?} {environment:?} said {said}");
    }
}

#[test]
fn listening_for_others_needs_a_token_or_a_word() {
    let mut command = kvstore(&["serve", "--listen", "0.0.0.0:0", "--data-dir", "/nowhere/at/all"]);
    let said = text(&run(command, b"").stderr);
    assert!(said.contains("KVSTORE_TOKEN") && said.contains("--insecure-no-auth"), "{said}");

    // With the word it gets as far as the data directory.
    command = kvstore(&["serve", "--listen", "0.0.0.0:0", "--insecure-no-auth", "--data-dir", "/dev/null/x"]);
    expect_exit(&run(command, b""), 3);
}

#[test]
fn flags_go_before_the_environment_before_the_file() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("kvstore.toml");
    std::fs::write(&file, "max_value_bytes = 5\nmemory_mb = 100\nallowed_hosts = [\"kv.example\"]\nlog = \"warn\"\n").expect("a file");
    let file = file.to_str().expect("UTF-8");

    let put = |server: &Server, length: usize| server.client(&["put", "k", &"x".repeat(length)], b"").status.code();
    let server = Server::start(&dir.path().join("a"), &["--config", file]);
    assert!(server.said().contains("100 MiB"), "{}", server.said());
    assert_eq!((put(&server, 5), put(&server, 6)), (Some(0), Some(2)), "the file's limit is 5");
    server.stop();

    let environment = [("KVSTORE_MAX_VALUE_BYTES", "7"), ("KVSTORE_CONFIG", file)];
    let server = Server::start_with(&dir.path().join("b"), &[], &environment);
    assert_eq!((put(&server, 7), put(&server, 8)), (Some(0), Some(2)), "the environment's limit is 7");
    server.stop();

    let server = Server::start_with(&dir.path().join("c"), &["--max-value-bytes", "9"], &environment);
    assert_eq!((put(&server, 9), put(&server, 10)), (Some(0), Some(2)), "the flag's limit is 9");
    server.stop();
}

#[test]
fn a_name_in_the_file_that_is_no_setting_is_an_error() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("kvstore.toml");
    for (content, advice) in [("memory_md = 100", "memory_md"), ("memory_mb = \"many\"", "memory_mb"), ("memory_mb =", "TOML")] {
        std::fs::write(&file, content).expect("a file");
        let said = refused(&["--config", file.to_str().expect("UTF-8")], &[]);
        assert!(said.contains(advice), "{content} said {said}");
    }
}

#[test]
fn a_variable_that_is_no_setting_is_reported() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_with(&dir.path().join("data"), &[], &[("KVSTORE_MEMRY_MB", "100")]);
    assert!(server.said().contains("KVSTORE_MEMRY_MB"), "{}", server.said());
    server.stop();
}

#[test]
fn with_a_token_nobody_gets_in_without_it() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start_with(&dir.path().join("data"), &[], &[("KVSTORE_TOKEN", "secret-token")]);
    for wrong in [&["put", "k", "v"][..], &["put", "k", "v", "--token", "secret-tokem"]] {
        let output = server.client(wrong, b"");
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains("KVSTORE_TOKEN"), "{}", text(&output.stderr));
    }
    expect_exit(&server.client(&["put", "k", "v", "--token", "secret-token"], b""), 0);
    assert_eq!(expect_exit(&server.client(&["get", "k", "--token", "secret-token"], b""), 0), "v");
    let said = server.stop();
    assert!(!said.contains("secret-token"), "the token is in the log: {said}");
}

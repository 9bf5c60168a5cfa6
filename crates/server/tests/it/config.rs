//! `kvstore config`: each setting, its value, and where it came from.

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{expect_exit, kvstore, run, text};

fn config(arguments: &[&str], environment: &[(&str, &str)]) -> std::process::Output {
    let mut command = kvstore(&["config"]);
    command.args(arguments).envs(environment.iter().copied());
    run(command, b"")
}

fn line<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines().find_map(|line| line.strip_prefix(&format!("{name}\t"))).expect("a line for the setting")
}

#[test]
fn each_value_is_shown_with_the_source_that_won() {
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("kvstore.toml");
    std::fs::write(
        &path,
        "memory_mb = 100\nmax_connections = 7\nallowed_hosts = [\"a\", \"b\"]\nlisten = \"127.0.0.1:1\"\ninsecure_no_auth = true\n",
    )
    .expect("a file");
    let file = path.to_str().expect("UTF-8");
    let environment = [("KVSTORE_MEMORY_MB", "200"), ("KVSTORE_LISTEN", "127.0.0.1:2"), ("KVSTORE_CONFIG", file)];
    let said = expect_exit(&config(&["--memory-mb", "300"], &environment), 0);
    assert_eq!(line(&said, "memory_mb"), "300\tflag --memory-mb");
    assert_eq!(line(&said, "listen"), "127.0.0.1:2\tenvironment KVSTORE_LISTEN");
    assert_eq!(line(&said, "max_connections"), format!("7\tfile {file}"));
    assert_eq!(line(&said, "allowed_hosts"), format!("a,b\tfile {file}"));
    assert_eq!(line(&said, "insecure_no_auth"), format!("true\tfile {file}"));
    assert_eq!(line(&said, "config"), format!("{file}\tenvironment KVSTORE_CONFIG"));
    assert_eq!(line(&said, "drain_ms"), "10000\tdefault");
    assert_eq!(line(&said, "node_url"), "-\tdefault");
}

#[test]
fn every_setting_of_serve_is_shown_once() {
    let said = expect_exit(&config(&[], &[]), 0);
    let mut shown: Vec<_> = said.lines().map(|line| line.split('\t').next().expect("a name").replace('_', "-")).collect();
    let help = expect_exit(&run(kvstore(&["serve", "--help"]), b""), 0);
    let mut flags: Vec<_> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--").map(|flag| flag.split_whitespace().next().expect("a name").to_owned()))
        .collect();
    shown.sort();
    flags.sort();
    assert_eq!(shown, flags);
}

#[test]
fn a_secret_is_not_shown_in_any_form() {
    for form in ["plain", "json", "table"] {
        let output = config(&["-o", form], &[("KVSTORE_TOKEN", "secret-token")]);
        let said = expect_exit(&output, 0);
        assert!(said.contains("(hidden)") && said.contains("KVSTORE_TOKEN"), "{said}");
        assert!(!said.contains("secret-token") && !text(&output.stderr).contains("secret-token"), "{said}");
    }
    assert_eq!(line(&expect_exit(&config(&[], &[]), 0), "token"), "-\tdefault", "no secret is told from a hidden one");
}

#[test]
fn json_names_the_kind_of_source_and_the_source() {
    let said = expect_exit(&config(&["-o", "json"], &[("KVSTORE_LOG", "debug")]), 0);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    let settings = document["settings"].as_array().expect("a list");
    let of = |name: &str| settings.iter().find(|setting| setting["name"] == name).expect("a setting").clone();
    assert_eq!(of("log"), serde_json::json!({"name": "log", "value": "debug", "origin": "environment", "origin_name": "KVSTORE_LOG"}));
    assert_eq!(of("token"), serde_json::json!({"name": "token", "value": null, "origin": "default", "origin_name": null}));
}

#[test]
fn what_serve_refuses_or_passes_over_is_said() {
    let output = config(&[], &[("KVSTORE_MEMRY_MB", "100")]);
    expect_exit(&output, 0);
    assert!(text(&output.stderr).contains("KVSTORE_MEMRY_MB is not a setting"), "{}", text(&output.stderr));
    for (arguments, environment, advice) in [
        (&["--memory-mb", "1"][..], &[][..], "at least 64"),
        (&["--listen", "0.0.0.0:8000"], &[], "KVSTORE_TOKEN"),
        (&["--config", "/nowhere.toml"], &[], "/nowhere.toml"),
        (&[], &[("POSTGRES_HOST", "db")], "POSTGRES_HOST is set"),
    ] {
        let output = config(arguments, environment);
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains(advice), "{arguments:?} {environment:?}: {}", text(&output.stderr));
    }
}

/// The help was that of `list`, which `import` takes.
#[test]
fn the_help_tells_the_forms_of_settings() {
    let help = expect_exit(&run(kvstore(&["config", "--help"]), b""), 0);
    assert!(help.contains("One JSON document") && !help.contains("import") && !help.contains("per entry"), "{help}");
}

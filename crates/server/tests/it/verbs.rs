//! The verbs that are not about one key: batches, versions, completions, manual pages. And what all verbs have in common.

use serde_json::Value;
use tempfile::TempDir;

use crate::running::{Server, expect_exit, kvstore, run, text};

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).map_err(|error| format!("{text}: {error}")).expect("JSON")
}

#[test]
fn a_batch_is_stored_as_a_whole_or_not_at_all() {
    let (server, dir) = server();
    let file = dir.path().join("items");
    std::fs::write(&file, "[{\"key\":\"a\",\"value\":\"1\"},\n {\"key\":\"b\",\"value\":\"/w==\",\"encoding\":\"base64\",\"ttl\":60}]")
        .expect("a file");
    let said = expect_exit(&server.client(&["batch", file.to_str().expect("UTF-8")], b""), 0);
    assert_eq!(said, "2 entries stored at revision 1\n");
    let lines = "{\"key\":\"a\",\"value\":\"2\",\"if_match\":1}\n{\"key\":\"c\",\"value\":\"3\",\"if_none_match\":\"*\"}\n";
    let answer = json(&expect_exit(&server.client(&["batch", "-o", "json", "--idempotency-key", "once"], lines.as_bytes()), 0));
    assert_eq!((&answer["count"], &answer["replayed"]), (&2.into(), &false.into()), "{answer}");
    let again = json(&expect_exit(&server.client(&["batch", "-o", "json", "--idempotency-key", "once"], lines.as_bytes()), 0));
    assert_eq!((&again["revision"], &again["replayed"]), (&answer["revision"], &true.into()), "{again}");

    let refused = server.client(&["batch"], b"{\"key\":\"new\",\"value\":\"1\"}\n{\"key\":\"a\",\"value\":\"9\",\"if_match\":1}\n");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("/items/1"), "{}", text(&refused.stderr));
    expect_exit(&server.client(&["get", "new"], b""), 1);
    for (input, why) in [("", "there is no item"), ("{\"key\":\"a\"}", "/items/0/value"), ("{\"key\"", "line 1: "), ("[1", "array")] {
        let output = server.client(&["batch"], input.as_bytes());
        expect_exit(&output, 2);
        assert!(text(&output.stderr).contains(why), "{input} said {}", text(&output.stderr));
    }
    let many = "{\"key\":\"k\",\"value\":\"v\"}\n".repeat(10_001);
    let output = server.client(&["batch"], many.as_bytes());
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("kvstore import"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn writes_of_one_key_take_conditions_and_idempotency_keys() {
    let (server, dir) = server();
    let put = |arguments: &[&str]| server.client(&[&["put", "k", "v"], arguments].concat(), b"");
    expect_exit(&put(&["--if-match", "*"]), 2);
    let first = json(&expect_exit(&put(&["--if-absent", "--idempotency-key", "once", "-o", "json"]), 0));
    assert_eq!((&first["key"], &first["version"]), (&"k".into(), &1.into()), "{first}");
    assert!(first.get("value").is_none(), "the value is not said back: {first}");
    let again = json(&expect_exit(&put(&["--if-absent", "--idempotency-key", "once", "-o", "json"]), 0));
    assert_eq!(first, again);
    expect_exit(&put(&["--if-match", "*"]), 0);
    let refused = put(&["--if-match", &first["revision"].to_string()]);
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("read the key again"), "{}", text(&refused.stderr));
    expect_exit(&put(&["--if-match", "new"]), 2);
    expect_exit(&put(&["--if-match", "1", "--if-absent"]), 2);

    let file = dir.path().join("value");
    expect_exit(&server.client(&["get", "k", "--file", file.to_str().expect("UTF-8")], b""), 0);
    assert_eq!(std::fs::read(&file).expect("the file"), b"v");
    assert_eq!(expect_exit(&server.client(&["get", "k", "-o", "raw"], b""), 0), "v");
    assert_eq!(json(&expect_exit(&server.client(&["get", "k", "-o", "json"], b""), 0))["version"], 2);
    expect_exit(&server.client(&["delete", "k", "--if-match", "1"], b""), 2);
    let gone = json(&expect_exit(&server.client(&["delete", "k", "--if-match", "*", "--idempotency-key", "d", "-o", "json"], b""), 0));
    assert_eq!(gone["deleted"], true);
    // The same request again is answered as the first was.
    expect_exit(&server.client(&["delete", "k", "--if-match", "*", "--idempotency-key", "d"], b""), 0);
    expect_exit(&server.client(&["delete", "k"], b""), 1);
    server.stop();
}

#[test]
fn the_version_names_the_formats() {
    let said = expect_exit(&run(kvstore(&["version"]), b""), 0);
    assert!(said.starts_with(concat!("kvstore ", env!("CARGO_PKG_VERSION"), "\n")) && said.contains("data directory format 1"), "{said}");
    let document = json(&expect_exit(&run(kvstore(&["version", "-o", "json"]), b""), 0));
    assert_eq!(
        (&document["version"], &document["formats"]["data_directory"]),
        (&env!("CARGO_PKG_VERSION").into(), &1.into()),
        "{document}"
    );
}

#[test]
fn completions_and_manual_pages_know_every_verb() {
    let dir = TempDir::new().expect("a directory");
    let help = expect_exit(&run(kvstore(&["--help"]), b""), 0);
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| line.starts_with("  "));
    let verbs: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.len() >= 11, "{help}");
    for shell in ["bash", "zsh", "fish"] {
        let script = expect_exit(&run(kvstore(&["completions", shell]), b""), 0);
        assert!(verbs.iter().all(|verb| script.contains(verb)), "{shell} does not know all of {verbs:?}");
    }
    let checked = run(std::process::Command::new("bash"), &run(kvstore(&["completions", "bash"]), b"").stdout);
    assert_eq!(text(&checked.stderr), "", "bash takes the completions");
    let pages = dir.path().join("man/man1");
    expect_exit(&run(kvstore(&["man", pages.to_str().expect("UTF-8")]), b""), 0);
    let page = |name: &str| std::fs::read_to_string(pages.join(format!("{name}.1"))).expect("a page for each verb");
    let main = page("kvstore");
    for verb in verbs {
        assert!(main.contains(&format!("kvstore\\-{verb}(1)")), "{verb} is not in {main}");
        let (page, help) = (page(&format!("kvstore-{verb}")), expect_exit(&run(kvstore(&[verb, "--help"]), b""), 0));
        for part in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH OPTIONS",
            ".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR",
            concat!("kvstore ", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(page.contains(part), "{verb} has no {part}: {page}");
        }
        assert!(help.contains("Exit codes: 0 "), "{verb} --help: {help}");
    }
    expect_exit(&run(kvstore(&["man", "/proc/nowhere"]), b""), 2);
}

/// The pages named no variable, and only some had exit codes, under EXTRA.
#[test]
fn a_manual_page_names_variables_exit_codes_and_examples() {
    let dir = TempDir::new().expect("a directory");
    expect_exit(&run(kvstore(&["man", dir.path().to_str().expect("UTF-8")]), b""), 0);
    let page = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("a page");
    let get = page("kvstore-get.1");
    for part in [
        ".SH ENVIRONMENT",
        "\\fBKVSTORE_URL\\fR\nThe server\\*(Aqs URL; \\-\\-url goes before it",
        "\\fBKVSTORE_TOKEN\\fR",
        "\\fB1\\fR\nthere is no such key",
        ".TH kvstore-get 1 ",
    ] {
        assert!(get.contains(part), "{part} is not in {get}");
    }
    assert!(!get.contains("\\-\\-json"), "{get}");
    let serve = page("kvstore-serve.1");
    assert!(serve.contains("\\fBKVSTORE_LISTEN\\fR") && serve.contains(".SH NOTES\nSettings: "), "{serve}");
    assert!(serve.contains("\\fB6\\fR\nthe address can\\*(Aqt be listened on"), "{serve}");
    assert!(page("kvstore-man.1").contains(".SH EXAMPLES\n\\fBkvstore man "), "{}", page("kvstore-man.1"));
}

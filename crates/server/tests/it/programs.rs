//! The verbs that take long, as programs use them: a document at the end, progress as JSON, and errors that can be told apart.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup::filled,
    running::{Server, expect_exit, kvstore, run, text},
};

/// The documents on stdout.
#[track_caller]
fn documents(output: &Output, code: i32) -> Vec<Value> {
    let said = expect_exit(output, code);
    said.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")).expect("JSON")).collect()
}

/// The last line of stderr.
#[track_caller]
fn told(output: &Output, code: i32) -> Value {
    expect_exit(output, code);
    let said = text(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| format!("{said}: {error}")).expect("JSON")
}

#[test]
fn long_verbs_end_with_a_document_and_tell_their_progress() {
    let dir = TempDir::new().expect("a directory");
    let server = filled(&dir.path().join("data"), &[]);
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let (copy, restored) = (path("copy"), path("restored"));
    let how = ["-o", "json", "--progress", "json"];

    let lines = b"{\"key\":\"a\",\"value\":\"1\"}\nx\n{\"key\":\"b\",\"value\":\"2\",\"expires_at\":\"2020-01-01T00:00:00Z\"}\n";
    let counts = serde_json::json!({"lines": 3, "entries": 1, "skipped": 1, "expired": 1});
    let output = server.client(&[&["import", "-", "--skip-invalid"], &how[..]].concat(), lines);
    assert_eq!(documents(&output, 0), std::slice::from_ref(&counts));
    let mut tried = counts;
    tried["dry_run"] = true.into();
    assert_eq!(documents(&server.client(&["import", "-", "--dry-run", "-o", "json"], lines), 2), [tried]);

    let output = server.client(&[&["backup", &copy], &how[..]].concat(), b"");
    let document = documents(&output, 0).remove(0);
    assert_eq!((&document["revision"], &document["directory"]), (&13.into(), &copy.clone().into()), "{document}");
    assert!(document["files"].as_u64() > Some(3) && document["bytes"].as_u64() > Some(12 << 20), "{document}");
    let (bytes, end) = (document["bytes"].clone(), told(&output, 0));
    assert_eq!((&end["event"], &end["bytes"], &end["bytes_total"]), (&"end".into(), &bytes, &bytes), "{end}");
    assert!(end.get("entries").is_none(), "a backup has none: {end}");

    let output = server.client(&[&["restore", &copy, "--data-dir", &restored], &how[..]].concat(), b"");
    let document = documents(&output, 0).remove(0);
    assert_eq!((&document["revision"], &document["bytes"]), (&13.into(), &bytes), "{document}");
    assert!(document["identity"].is_string() && document["identity"] != document["made_from"], "{document}");
    assert_eq!(told(&output, 0)["bytes"], bytes);

    let output = server.client(&[&["check", &copy], &how[..]].concat(), b"");
    let document = documents(&output, 0).remove(0);
    assert_eq!((&document["sound"], &document["findings"], &document["revision"]), (&true.into(), &0.into(), &13.into()), "{document}");
    let end = told(&output, 0);
    assert_eq!((&end["event"], end["records"].is_u64()), (&"end".into(), true), "{end}");

    std::fs::remove_file(format!("{copy}/kvstore-backup.b3")).expect("removable");
    let output = server.client(&["check", &copy, "-o", "json"], b"");
    let found = documents(&output, 4);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0]["finding"]["what"].as_str().is_some_and(|what| what.contains("is missing")), "{found:?}");
    assert_eq!((&found[1]["sound"], &found[1]["findings"]), (&false.into(), &1.into()), "{found:?}");
    server.stop();
}

/// A script could not tell a condition that failed from a server that was away: both were exit 2 and a sentence.
#[test]
fn an_error_is_json_where_the_answer_would_be() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--max-value-bytes", "10"]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    let json = |arguments: &[&str], code| {
        told(&server.client(&[arguments, &["-o", "json"]].concat(), b"{\"key\":\"k\",\"value\":\"01234567890\"}\n"), code)
    };

    let error = json(&["put", "k", "w", "--if-absent"], 2);
    assert_eq!((&error["status"], &error["kind"], &error["exit"]), (&412.into(), &"precondition-failed".into(), &2.into()), "{error}");
    assert!(error["title"].is_string() && error["detail"].as_str().is_some_and(|text| text.contains("read the key again")), "{error}");
    let error = told(&run(kvstore(&["put", "k", "v", "-o", "json", "--url", "http://127.0.0.1:1"]), b""), 2);
    assert_eq!((&error["status"], &error["kind"]), (&Value::Null, &"unreachable".into()), "{error}");
    for arguments in [&["get", "nobody"][..], &["delete", "nobody"]] {
        let error = json(arguments, 1);
        assert_eq!((&error["status"], &error["kind"]), (&404.into(), &"key-not-found".into()), "{error}");
    }
    assert_eq!(told(&server.client(&["get", "nobody", "--json"], b""), 1)["kind"], "key-not-found");
    // What was said on the way does not hide what it was.
    let error = json(&["import", "-"], 2);
    assert_eq!(error["status"], 413, "{error}");
    assert!(error["detail"].as_str().is_some_and(|text| text.contains("line 1: ") && text.contains("the import stopped")), "{error}");
    let nowhere = dir.path().join("nowhere").display().to_string();
    let error = json(&["restore", &nowhere, "--data-dir", &nowhere], 3);
    assert_eq!((&error["kind"], &error["exit"]), (&"directory".into(), &3.into()), "{error}");
    assert_eq!(json(&["import", &nowhere], 2)["kind"], "error");
    // Who did not ask for JSON gets a sentence.
    let output = server.client(&["put", "k", "w", "--if-absent"], b"");
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    server.stop();
}

//! `docs/operations.md` leaves nothing out: each setting, each metric, each warning and error of the log has its line.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::running::{Server, eventually, expect_exit, kvstore, run};

/// What an operator's log can have lines of.
const LOGGING: &[&str] = &["api", "server", "service", "storage"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/operations.md")).expect("the page is there")
}

/// Asserts that the page names all of them, each as code.
#[track_caller]
fn names_all(what: &str, names: &[String], least: usize) {
    assert!(names.len() >= least, "the search is broken: only {} {what} found", names.len());
    let page = page();
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not tell these {what}: {missing:#?}");
}

#[test]
fn the_operations_page_tells_every_setting() {
    let help = expect_exit(&run(kvstore(&["serve", "--help"]), b""), 0);
    let flags = help.split_whitespace().filter(|word| word.starts_with("--") && *word != "--help");
    names_all("settings", &flags.map(str::to_owned).collect::<Vec<_>>(), 15);
}

#[test]
fn the_operations_page_tells_every_metric() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    expect_exit(&server.client(&["put", "k", "v"], b""), 0);
    expect_exit(&server.client(&["get", "k"], b""), 0);
    eventually("the engine's gauges are set", || server.http_get("/metrics").contains("kvstore_applied_revision"));
    let metrics = server.http_get("/metrics");
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    names_all("metrics", &names.map(str::to_owned).collect::<Vec<_>>(), 35);
    server.stop();
}

#[test]
fn the_operations_page_tells_every_warning_and_error() {
    let mut messages = Vec::new();
    for name in LOGGING {
        for source in sources(&root().join("crates").join(name).join("src")) {
            for level in ["tracing::warn!(", "tracing::error!("] {
                messages.extend(source.split(level).skip(1).map(message));
            }
        }
    }
    names_all("log lines", &messages, 20);
}

/// The beginning of what a logging call says: its first text of more than one word, up to where the sentence pauses.
fn message(call: &str) -> String {
    let text = call.split('"').skip(1).step_by(2).find(|text| text.contains(' ')).expect("a message");
    text.split([',', ';', ':', '.']).next().unwrap_or_default().to_owned()
}

fn sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![std::fs::read_to_string(&path).expect("a source")] }).collect()
}

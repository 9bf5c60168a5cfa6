//! The documents as people meet them: every block of commands in them runs as it stands, in order, against a server of its own, and
//! says what the document says that it says.
//!
//! A `sh` block must succeed; a `json` or `text` block straight after it is what it prints. In a `console` block, lines after `$ ` are
//! commands, and the lines below each are what it prints. One thing is replaced in them: the port 8000, by the port of the server.
//! A comment `<!-- not run: reason -->` just before a block excuses it, and is counted.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::running::{Server, run, text};

/// What a document may call its blocks: another name would be a command that nobody runs.
const KINDS: &[&str] = &["sh", "console", "json", "text", "toml"];
const EXCUSE: &str = "<!-- not run: ";
const PORT: &str = "127.0.0.1:8000";
/// What is measured, and differs from run to run. A number before one of these words is not compared.
const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "bytes", "files", "records", "s", "ms"];
/// Units of sizes: the same thing can have one or the other.
const SIZES: &[&str] = &["B", "KiB", "MiB", "GiB", "bytes"];
/// What begins an answer that is a problem: curl takes it for a success.
const PROBLEM: &str = "\"type\":\"urn:kvstore:problem:";
/// No block takes longer; `timeout` ends it with all that it started.
const BLOCK_SECONDS_MAX: &str = "30";

/// A fenced block.
#[derive(Debug)]
struct Block {
    kind: String,
    /// The line of its fence, counted from 1.
    line: usize,
    body: String,
    /// Why it is not run.
    excuse: Option<String>,
    /// Nothing but empty lines stand between the block before it and this one.
    follows: bool,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut open, mut excuse, mut follows) = (false, None, false);
    for (at, line) in document.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (open, fence) {
            (true, Some(_)) => (open, follows) = (false, true),
            (true, None) => {
                let block = blocks.last_mut().expect("an open block");
                block.body.push_str(line);
                block.body.push('\n');
            }
            (false, Some(kind)) => {
                open = true;
                blocks.push(Block { kind: kind.trim().to_owned(), line: at + 1, body: String::new(), excuse: excuse.take(), follows });
            }
            (false, None) if line.trim().is_empty() => {}
            (false, None) => {
                excuse = line.trim().strip_prefix(EXCUSE).and_then(|rest| rest.strip_suffix(" -->")).map(str::to_owned);
                follows = false;
            }
        }
    }
    assert!(!open, "the last block is not closed");
    blocks
}

/// A command, and what the document says that it prints.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    line: usize,
    command: String,
    prints: Option<String>,
    /// Of a `console` block: errors are shown too.
    with_errors: bool,
}

fn shown(blocks: &[Block]) -> Vec<Shown> {
    let mut all = Vec::new();
    for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.excuse.is_none()) {
        if block.kind == "sh" {
            let next = blocks.get(at + 1).filter(|next| next.follows && matches!(next.kind.as_str(), "json" | "text"));
            let prints = next.map(|next| next.body.clone());
            all.push(Shown { line: block.line, command: block.body.clone(), prints, with_errors: false });
        } else if block.kind == "console" {
            let mut prints = None::<&mut String>;
            for (line, said) in block.body.lines().enumerate() {
                if let Some(command) = said.strip_prefix("$ ") {
                    let line = block.line + line + 1;
                    all.push(Shown { line, command: command.to_owned(), prints: Some(String::new()), with_errors: true });
                    prints = all.last_mut().and_then(|shown| shown.prints.as_mut());
                } else {
                    let prints = prints.as_mut().expect("a console block begins with a command");
                    prints.push_str(said);
                    prints.push('\n');
                }
            }
        }
    }
    all
}

/// A place to run commands in: a fresh folder with the binary where a build leaves it, a server whose data lie in it, and nothing of
/// this machine's settings.
struct Place {
    folder: TempDir,
    server: Server,
}

/// Where a place keeps the PATH from one command to the next, as a terminal would.
const SEARCH_PATH: &str = ".search-path";

impl Place {
    /// `on_path`: whether `kvstore` is on the PATH from the start. Otherwise the document must put it there.
    fn new(on_path: bool) -> Self {
        let folder = TempDir::new().expect("a directory");
        let release = Path::new(env!("CARGO_BIN_EXE_kvstore")).parent().expect("a folder");
        std::fs::create_dir(folder.path().join("target")).expect("a folder");
        std::os::unix::fs::symlink(release, folder.path().join("target/release")).expect("a link");
        let mut path = std::env::var_os("PATH").unwrap_or_default();
        if on_path {
            let folders = std::iter::once(release.to_owned()).chain(std::env::split_paths(&path));
            path = std::env::join_paths(folders).expect("folders without colons");
        }
        std::fs::write(folder.path().join(SEARCH_PATH), path.into_encoded_bytes()).expect("the PATH is kept");
        let server = Server::start(&folder.path().join("kvstore-data"), &[]);
        Self { folder, server }
    }

    fn address(&self) -> &str {
        self.server.url.trim_start_matches("http://")
    }

    /// Runs what a block shows, and says what is wrong with it.
    fn try_out(&self, shown: &Shown) -> Option<String> {
        let line = shown.command.replace(PORT, self.address());
        let line = if shown.with_errors { format!("{{ {line}\n}} 2>&1") } else { line };
        let kept = self.folder.path().join(SEARCH_PATH);
        let line = format!("{line}\nprintf %s \"$PATH\" >'{}'", kept.display());
        let mut shell = Command::new("timeout");
        shell.args([BLOCK_SECONDS_MAX, "bash", "-eo", "pipefail", "-c", &line]).current_dir(self.folder.path());
        let path = std::fs::read_to_string(&kept).expect("the PATH was kept");
        shell.env_clear().env("PATH", path).env("HOME", self.folder.path()).env("KVSTORE_URL", &self.server.url);
        let output = run(shell, b"");
        let said = text(&output.stdout).replace(self.address(), PORT);
        let tells_an_error = shown.with_errors && said.lines().any(|line| line.starts_with("error: "));
        if !output.status.success() && !tells_an_error {
            return Some(format!("it ends with {}, and says {said}{}", output.status, text(&output.stderr)));
        }
        match &shown.prints {
            Some(prints) if normal(prints) != normal(&said) => Some(format!("the document has\n{prints}and it says\n{said}")),
            None if said.contains(PROBLEM) => Some(format!("it is refused: {said}")),
            _ => None,
        }
    }
}

/// A text without what differs from run to run: times, request ids, identities, sizes, durations, ports.
fn normal(said: &str) -> String {
    let mut normal = String::new();
    let mut rest = said.trim_end();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_');
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        normal.push_str(if is_word(first) { replaced(run, &normal, after) } else { run });
        rest = after;
    }
    normal.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// What stands for a run of characters in a text that is compared.
fn replaced<'a>(run: &'a str, before: &str, after: &str) -> &'a str {
    let shape: String = run.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let hex = run.split('-').next().unwrap_or_default();
    let unit: String = after.trim_start_matches(' ').chars().take_while(char::is_ascii_alphabetic).collect();
    let is_number = run.parse::<f64>().is_ok();
    if shape.starts_with("0000-00-00T00:00:00") {
        "<time>"
    } else if hex.len() >= 16 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
        "<id>"
    } else if is_number && (UNITS.contains(&unit.as_str()) || before.ends_with("_ms\":") || before.ends_with("_ms\": ")) {
        "<measured>"
    } else if SIZES.contains(&run) && before.ends_with("<measured> ") {
        "<size>"
    } else if run.strip_prefix("127.0.0.1:").is_some_and(|port| port.parse::<u16>().is_ok()) {
        "<address>"
    } else {
        run
    }
}

/// Tells which blocks were not run, for whoever reads the test's output.
#[expect(clippy::print_stdout, reason = "a test reports on stdout")]
fn report(name: &str, run: usize, excused: &[(usize, &String)]) {
    println!("{name}: {run} blocks and commands run, {} blocks not run", excused.len());
    for (line, excuse) in excused {
        println!("{name}:{line}: not run: {excuse}");
    }
}

/// Runs a document from its first block to its last, and gives what is wrong with it and how many blocks are not run.
fn faults(name: &str, document: &str, on_path: bool) -> (Vec<String>, usize) {
    let blocks = blocks(document);
    let unknown = blocks.iter().filter(|block| !KINDS.contains(&block.kind.as_str()));
    let mut faults: Vec<_> =
        unknown.map(|block| format!("{name}:{}: a block of the kind {:?}; there are {KINDS:?}", block.line, block.kind)).collect();
    let place = Place::new(on_path);
    let shown = shown(&blocks);
    faults.extend(shown.iter().filter_map(|shown| {
        let fault = place.try_out(shown)?;
        Some(format!("{name}:{}: {}\n{fault}", shown.line, shown.command.trim_end()))
    }));
    let excused: Vec<_> = blocks.iter().filter_map(|block| Some((block.line, block.excuse.as_ref()?))).collect();
    report(name, shown.len(), &excused);
    place.server.stop();
    (faults, excused.len())
}

/// Asserts that a document holds, and that it does not hold by saying nothing.
#[track_caller]
fn holds(name: &str, on_path: bool, excused_max: usize) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    let document = std::fs::read_to_string(&path).expect("the document is there");
    assert!(shown(&blocks(&document)).len() >= 5, "{name} shows next to nothing");
    let (faults, excused) = faults(name, &document, on_path);
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    assert!(excused <= excused_max, "{name} has {excused} blocks that are not run; {excused_max} are known");
}

#[test]
fn the_readme_does_what_it_says() {
    // It tells newcomers how `kvstore` comes on their PATH.
    holds("README.md", false, 1);
}

#[test]
fn the_recipes_do_what_they_say() {
    holds("docs/recipes.md", true, 0);
}

#[test]
fn the_operations_page_does_what_it_says() {
    holds("docs/operations.md", true, 6);
}

#[test]
fn a_document_that_no_longer_holds_is_told() {
    let document = r#"
```sh
kvstore put k v
```
```text
created k (revision 2)
```
```sh
kvstore pull k
```
```sh
curl -s http://127.0.0.1:8000/kv-store/v1/kv/nothing/
```
```console
$ kvstore get k
w
$ kvstore get nothing; true
```
<!-- not run: it is wrong -->
```sh
false
```
```bash
true
```
"#;
    let (faults, excused) = faults("wrong.md", document, true);
    let told: Vec<_> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    let lines = ["23", "2", "8", "11", "15", "17"].map(|line| format!("wrong.md:{line}"));
    assert_eq!(told, lines, "{}", faults.join("\n\n"));
    assert_eq!(excused, 1);
}

#[test]
fn what_differs_from_run_to_run_is_not_compared_and_all_else_is() {
    let same = [
        (r#"{"at":"2026-11-23T04:36:16.119406Z"}"#, r#"{"at":"2027-01-02T03:04:05.000001Z"}"#),
        (r#""request_id":"952a33e2318336a7-1""#, r#""request_id":"ffff33e2318336a7-92""#),
        ("(9 files, 1.5 KiB, 0.0 s)\n", "(12 files, 20 B, 1.2 s)"),
        ("http://127.0.0.1:8000/x", "http://127.0.0.1:41000/x"),
        (r#""latency_ms": 0.01"#, r#""latency_ms": 12"#),
    ];
    for (one, other) in same {
        assert_eq!(normal(one), normal(other));
    }
    for (one, other) in [("revision 3", "revision 4"), (r#""version":1"#, r#""version":2"#), ("a\tb", "a b"), ("3 entries", "4 entries")] {
        assert_ne!(normal(one), normal(other));
    }
}

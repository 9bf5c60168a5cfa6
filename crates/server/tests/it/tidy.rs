//! The rules of the tree that no compiler checks: who depends on whom, who may name what, what each file begins with.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde_json::Value;

/// The arrows between our crates, those of tests included. An arrow that is not here needs a reason, and a line here.
const ARROWS: &[(&str, &[&str])] = &[
    ("kvstore-types", &[]),
    ("kvstore-storage", &["kvstore-types"]),
    ("kvstore-service", &["kvstore-storage", "kvstore-types"]),
    ("kvstore-api", &["kvstore-service", "kvstore-types"]),
    ("kvstore-client", &["kvstore-types"]),
    ("kvstore", &["kvstore-api", "kvstore-client", "kvstore-service", "kvstore-storage", "kvstore-types"]),
    // Tools: they measure and break the server from outside.
    ("kvstore-bench", &["kvstore-types", "kvstore-client", "kvstore-testkit"]),
    ("kvstore-torture", &["kvstore-types", "kvstore-client", "kvstore-testkit"]),
    ("kvstore-testkit", &[]),
];
/// Arrows of tests alone.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("kvstore-storage", &["kvstore-testkit"]),
    ("kvstore-service", &["kvstore-storage"]),
    ("kvstore-api", &["kvstore-storage"]),
    ("kvstore", &["kvstore-testkit"]),
];

const HTTP_CRATES: &[&str] =
    &["axum", "axum-server", "http", "http-body", "http-body-util", "hyper", "hyper-util", "reqwest", "tower", "tower-http", "utoipa"];
const KNOW_HTTP: &[&str] = &["kvstore-api", "kvstore-client", "kvstore-bench", "kvstore-torture"];
const KNOW_ROCKSDB: &[&str] = &["kvstore-storage", "kvstore-bench"];
const READ_ENVIRONMENT: &[&str] = &["server", "bench", "torture"];

/// Files that may be longer than the limit, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the root of the tree")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display())).expect("a file that can be read")
}

fn manifest(path: &Path) -> Value {
    Figment::from(Toml::file_exact(path)).extract().map_err(|error| format!("{}: {error}", path.display())).expect("a manifest")
}

/// The folders of the crates, each with its manifest.
fn crates() -> Vec<(PathBuf, Value)> {
    let members = manifest(&root().join("Cargo.toml")).pointer("/workspace/members").and_then(Value::as_array).expect("members").clone();
    let folders = members.iter().map(|member| root().join(member.as_str().expect("a path")));
    let crates: Vec<_> = folders.map(|folder| (folder.clone(), manifest(&folder.join("Cargo.toml")))).collect();
    let on_disk = std::fs::read_dir(root().join("crates")).expect("crates").count();
    assert_eq!(crates.len(), on_disk, "a folder under crates/ is not a member of the workspace");
    crates
}

fn name(manifest: &Value) -> &str {
    manifest.pointer("/package/name").and_then(Value::as_str).expect("a name")
}

fn dependencies<'a>(manifest: &'a Value, sections: &[&str]) -> BTreeSet<&'a str> {
    let tables = sections.iter().filter_map(|section| manifest.get(section)?.as_object());
    tables.flat_map(|table| table.keys().map(String::as_str)).collect()
}

const NORMAL: &[&str] = &["dependencies", "build-dependencies"];
const ALL: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];

/// All Rust files under a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Files of all crates under this folder of theirs, with their paths from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let files = crates().into_iter().flat_map(|(path, _)| rust_files(&path.join(folder)));
    let sources: Vec<_> =
        files.map(|path| (path.strip_prefix(root()).expect("under the root").display().to_string(), read(&path))).collect();
    assert!(sources.len() > crates().len() / 2, "the walk found only {} files under {folder}", sources.len());
    sources
}

#[track_caller]
fn none(faults: Vec<String>, rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

/// Lines of code that hold a text; comments and unit tests may name what they want.
fn code_lines<'a>(source: &'a str, part: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let code = source.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.filter(move |(_, line)| !line.trim_start().starts_with("//") && line.contains(part)).map(|(at, line)| (at + 1, line))
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut faults = Vec::new();
    for (_, manifest) in crates() {
        let name = name(&manifest);
        let Some(allowed) = arrows.get(name) else {
            faults.push(format!("{name} has no line in ARROWS"));
            continue;
        };
        let in_tests = TEST_ARROWS.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| to);
        for (sections, permitted) in [(NORMAL, allowed.to_vec()), (ALL, [allowed, in_tests].concat())] {
            for ours in dependencies(&manifest, sections).into_iter().filter(|to| arrows.contains_key(to)) {
                if !permitted.contains(&ours) {
                    faults.push(format!("{name} -> {ours} ({sections:?})"));
                }
            }
        }
    }
    none(faults, "arrows that the design does not have");
}

#[test]
fn only_the_api_the_client_and_the_tools_know_http() {
    let mut faults = Vec::new();
    for (_, manifest) in crates() {
        let http = dependencies(&manifest, ALL).into_iter().filter(|to| HTTP_CRATES.contains(to)).collect::<Vec<_>>();
        if !KNOW_HTTP.contains(&name(&manifest)) && !http.is_empty() {
            faults.push(format!("{} depends on {http:?}", name(&manifest)));
        }
    }
    none(faults, "HTTP belongs to api and client");
}

#[test]
fn only_storage_and_the_benchmarks_peer_know_rocksdb() {
    let know: Vec<_> = crates()
        .iter()
        .filter(|(_, manifest)| dependencies(manifest, ALL).contains("rocksdb"))
        .map(|(_, manifest)| name(manifest).to_owned())
        .collect();
    assert!(know.contains(&"kvstore-storage".to_owned()), "the search is broken: storage does depend on rocksdb");
    none(know.into_iter().filter(|name| !KNOW_ROCKSDB.contains(&name.as_str())).collect(), "RocksDB belongs to storage");
}

#[test]
fn only_the_binary_and_the_tools_read_the_environment() {
    let mut faults = Vec::new();
    for (path, source) in sources("src") {
        if READ_ENVIRONMENT.iter().any(|name| path.starts_with(&format!("crates/{name}/"))) {
            continue;
        }
        for part in ["std::env", "env::var", "env::args"] {
            faults.extend(code_lines(&source, part).map(|(at, line)| format!("{path}:{at}: {line}")));
        }
    }
    none(faults, "settings are values by the time they leave the binary");
}

#[test]
fn within_the_binary_only_the_settings_read_the_environment() {
    let mut faults = Vec::new();
    for (path, source) in sources("src") {
        if path.starts_with("crates/server/") && !path.starts_with("crates/server/src/settings") {
            faults.extend(code_lines(&source, "std::env").map(|(at, line)| format!("{path}:{at}: {line}")));
        }
    }
    none(faults, "the environment is read in one place");
}

#[test]
fn only_open_names_a_backend() {
    let mut faults = Vec::new();
    let mut opened = 0;
    for (path, source) in sources("src") {
        let backend = ["crates/storage/src/rocks", "crates/storage/src/memory", "crates/storage/src/postgres"]
            .iter()
            .any(|own| path.starts_with(own));
        // The benchmark's peer is RocksDB itself, not our backend.
        if backend || path.starts_with("crates/bench/") {
            continue;
        }
        for part in ["RocksEngine", "MemoryEngine", "PostgresStore", "rocks::", "memory::", " postgres::{self"] {
            let found = code_lines(&source, part).map(|(at, line)| format!("{path}:{at}: {line}"));
            if path == "crates/storage/src/open.rs" {
                opened += found.count();
            } else {
                faults.extend(found);
            }
        }
    }
    assert!(opened > 0, "the search is broken: open.rs does name backends");
    none(faults, "backends are named in open.rs alone");
}

#[test]
fn every_way_to_open_a_store_runs_the_suite() {
    let open = read(&root().join("crates/storage/src/open.rs"));
    let ways: Vec<_> = open
        .lines()
        .filter_map(|line| line.trim().replace("pub async fn", "pub fn").strip_prefix("pub fn open_")?.split('(').next().map(str::to_owned))
        .collect();
    assert!(ways.len() >= 6, "open.rs opens {ways:?}");
    let tests: String = rust_files(&root().join("crates/storage/tests")).iter().map(|path| read(path)).collect();
    none(
        ways.iter().filter(|way| !tests.contains(&format!("open_{way}"))).map(ToString::to_string).collect(),
        "backends that the suite does not open",
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut faults: Vec<_> = sources("src").into_iter().filter(|(_, source)| !source.starts_with("//! ")).map(|(path, _)| path).collect();
    faults.extend(sources("tests").into_iter().filter(|(_, source)| !source.starts_with("//! ")).map(|(path, _)| path));
    none(faults, "files that do not open with //!");
}

#[test]
fn files_stay_short() {
    let excused: BTreeMap<_, _> = LONG_FILES.iter().copied().collect();
    let long: BTreeMap<_, _> =
        sources("src").into_iter().map(|(path, source)| (path, source.lines().count())).filter(|(_, lines)| *lines > LINES_MAX).collect();
    none(
        long.iter()
            .filter(|(path, _)| !excused.contains_key(path.as_str()))
            .map(|(path, lines)| format!("{path}: {lines} lines"))
            .collect(),
        "files to split",
    );
    none(excused.keys().filter(|path| !long.contains_key(**path)).map(ToString::to_string).collect(), "excuses that are not needed");
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let lax = crates().into_iter().filter(|(_, manifest)| manifest["lints"]["workspace"] != true);
    none(lax.map(|(path, _)| path.display().to_string()).collect(), "crates without [lints] workspace = true");
}

#[test]
fn every_build_shares_one_profile() {
    let profiles = manifest(&root().join("Cargo.toml"))["profile"].as_object().expect("profiles").keys().cloned().collect::<Vec<_>>();
    assert_eq!(profiles, ["release"], "another profile compiles RocksDB again");
    let mut faults = Vec::new();
    let mut builds = 0;
    for file in ["Makefile", "scripts/test.sh"] {
        for (at, line) in read(&root().join(file)).lines().enumerate() {
            let is_build = ["cargo build", "cargo clippy", "cargo test", "cargo doc", "cargo check", "cargo run"]
                .iter()
                .any(|verb| line.contains(verb));
            builds += usize::from(is_build);
            if is_build && !line.contains("$(CARGO_FLAGS)") && !line.contains("\"${flags[@]}\"") {
                faults.push(format!("{file}:{}: {line}", at + 1));
            }
        }
    }
    assert!(builds >= 6, "the search is broken: only {builds} builds found");
    none(faults, "builds with flags of their own");
}

#[test]
fn one_function_decides_outcomes() {
    let mut faults = Vec::new();
    let mut callers = 0;
    for (path, source) in sources("src") {
        for (at, line) in code_lines(&source, "pub fn evaluate<") {
            callers += 1;
            if path != "crates/types/src/evaluate.rs" {
                faults.push(format!("{path}:{at}: {line}"));
            }
        }
    }
    assert_eq!(callers, 1, "expected one function named evaluate");
    none(faults, "outcomes are decided in types/src/evaluate.rs alone");
}

/// All files under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What a page names, it may load: the pages must work where there is no other network, and tell nobody that they were opened.
#[test]
fn served_files_name_no_other_host() {
    let web = root().join("crates/api/web");
    let (mut faults, mut seen) = (Vec::new(), 0);
    for path in files(&web) {
        let shown = path.strip_prefix(root()).expect("under the root").display().to_string();
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !matches!(kind, "html" | "css" | "js" | "svg") {
            continue;
        }
        seen += 1;
        let text = read(&path);
        if shown.contains("/vendor/") {
            // Bundles name standards and manuals by their URLs; what they would load is another matter, and the browser test watches it.
            for part in ["cdn.", "fonts.googleapis", "@import", "url(http", "url(//", "navigator.sendBeacon"] {
                faults.extend(text.contains(part).then(|| format!("{shown}: {part}")));
            }
        } else {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let named = |scheme: &str| text.split(scheme).skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric()));
            faults.extend(
                ["http://", "https://", "=\"//", "url(//"].iter().filter(|part| named(part)).map(|part| format!("{shown}: {part}")),
            );
        }
    }
    assert!(seen >= 10, "the search is broken: only {seen} files found");
    none(faults, "files that name another host");
}

#[test]
fn vendored_files_have_their_licence_and_version() {
    let script = read(&root().join("scripts/refresh-web-vendor.sh"));
    let vendor = root().join("crates/api/web/vendor");
    let told = read(&vendor.join("README.md"));
    for (variable, folder, name) in [("swagger_ui", "swagger-ui", "Swagger UI"), ("redoc", "redoc", "ReDoc")] {
        let version = script.lines().find_map(|line| line.strip_prefix(&format!("{variable}="))).expect("a pinned version");
        assert!(told.contains(&format!("{name} {version} ")), "vendor/README.md does not tell {name} {version}");
        assert!(vendor.join(folder).join("LICENSE").is_file(), "{folder} has no licence");
    }
    let folders = std::fs::read_dir(&vendor).expect("a folder").filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()));
    assert_eq!(folders.count(), 2, "a vendored folder that this test does not know");
    none(
        files(&vendor)
            .iter()
            .filter(|path| path.extension().is_some_and(|kind| kind == "map"))
            .map(|path| path.display().to_string())
            .collect(),
        "source maps are not shipped",
    );
}

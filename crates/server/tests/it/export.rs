//! `kvstore export`: what it writes, where, and how it goes on after it broke off.

use base64::Engine;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    backup::on_a_small_disk,
    running::{Server, expect_exit, kvstore, run, text},
};

/// A server with as many entries, of texts and of bytes.
fn server(entries: usize) -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let lines: String = (0..entries)
        .map(|n| match n % 3 {
            0 => format!("{{\"key\":\"k{n:05}\",\"value\":\"/w==\",\"encoding\":\"base64\"}}\n"),
            1 => format!("{{\"key\":\"k{n:05}\",\"value\":\"a \\\"quoted\\\"\\nline\"}}\n"),
            _ => format!("{{\"key\":\"k{n:05}\",\"value\":\"{}\"}}\n", "v".repeat(n % 500)),
        })
        .collect();
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    (server, dir)
}

#[test]
fn an_export_is_what_was_imported_in_the_order_of_keys() {
    let (server, dir) = server(12_000);
    let exported = server.client(&["export"], b"");
    let lines = expect_exit(&exported, 0);
    assert_eq!(text(&exported.stderr), "12000 entries exported\n");
    assert_eq!(lines.lines().count(), 12_000);
    assert!(lines.lines().is_sorted(), "the keys are in order");
    assert_eq!(lines.lines().next(), Some("{\"key\":\"k00000\",\"value\":\"/w==\",\"encoding\":\"base64\"}"));
    let other = Server::start(&dir.path().join("other"), &[]);
    expect_exit(&other.client(&["import", "-"], lines.as_bytes()), 0);
    assert!(expect_exit(&other.client(&["export"], b""), 0) == lines, "the export of the import differs");
    let part = expect_exit(&server.client(&["export", "--prefix", "k00", "--start", "k00990", "--end", "k01005"], b""), 0);
    assert_eq!(part.lines().count(), 10, "{part}");
    other.stop();
    server.stop();
}

#[test]
fn metadata_is_kept_where_it_is_asked_for() {
    let (server, _dir) = server(3);
    let lines = expect_exit(&server.client(&["export", "--with-metadata"], b""), 0);
    let listed = expect_exit(&server.client(&["list", "-o", "json"], b""), 0);
    let parsed = |text: &str| text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")).collect::<Vec<_>>();
    assert_eq!(parsed(&lines), parsed(&listed));
    assert!(parsed(&lines).iter().all(|entry| entry["version"] == 1 && entry["updated_at"].is_string()), "{lines}");
    server.stop();
}

#[test]
fn a_store_is_restored_exactly_into_an_empty_one_and_only_there() {
    let (server, dir) = server(5_000);
    // Versions, revisions and times that differ, an expiry, and a hole in the revisions.
    for key in ["k00001", "k00002", "k00001", "zz"] {
        expect_exit(&server.client(&["put", key, "again", "--ttl", "100000"], b""), 0);
    }
    expect_exit(&server.client(&["delete", "zz"], b""), 0);
    let file = dir.path().join("all.ndjson.zst");
    let path = file.to_str().expect("UTF-8");
    expect_exit(&server.client(&["export", "--with-metadata", path], b""), 0);
    let lines = expect_exit(&server.client(&["export", "--with-metadata"], b""), 0);

    let other = Server::start(&dir.path().join("other"), &[]);
    expect_exit(&other.client(&["import", "--dry-run", "--with-metadata", path], b""), 0);
    assert_eq!(expect_exit(&other.client(&["import", "--with-metadata", path], b""), 0), "5000 entries stored\n");
    assert!(expect_exit(&other.client(&["export", "--with-metadata"], b""), 0) == lines, "the restored store differs");
    // Again: all of it is there.
    expect_exit(&other.client(&["import", "--with-metadata", path], b""), 0);
    let put = expect_exit(&other.client(&["put", "k00001", "later"], b""), 0);
    assert!(put.contains("version 4"), "{put}");
    let refused = other.client(&["import", "--with-metadata", path], b"");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("something else was written"), "{}", text(&refused.stderr));
    // Lines without metadata are no entries.
    let third = Server::start(&dir.path().join("third"), &[]);
    let refused = third.client(&["import", "--with-metadata", "-"], b"{\"key\":\"a\",\"value\":\"1\"}\n");
    expect_exit(&refused, 2);
    assert!(text(&refused.stderr).contains("line 1: it has no version"), "{}", text(&refused.stderr));
    for server in [server, other, third] {
        server.stop();
    }
}

#[test]
fn large_values_take_the_pages_that_they_need() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &[]);
    let value = "v".repeat(3 << 20);
    for key in ["a", "b", "c", "d", "e", "f", "g"] {
        expect_exit(&server.client(&["put", key, "-"], value.as_bytes()), 0);
    }
    let lines = expect_exit(&server.client(&["export"], b""), 0);
    assert_eq!(lines.lines().count(), 7);
    assert!(lines.lines().all(|line| line.len() > value.len()), "a value is cut");
    server.stop();
}

/// A server whose entries don't go onto the small disk, compressed or not.
fn large_server(dir: &TempDir) -> Server {
    let server = Server::start(&dir.path().join("data"), &[]);
    let mut noise = vec![0; 600];
    let mut lines = String::new();
    for n in 0..12_000 {
        getrandom::fill(&mut noise).expect("random bytes");
        let value = base64::engine::general_purpose::STANDARD.encode(&noise);
        lines.push_str(&format!("{{\"key\":\"k{n:05}\",\"value\":\"{value}\"}}\n"));
    }
    expect_exit(&server.client(&["import", "-"], lines.as_bytes()), 0);
    server
}

/// Runs a shell in a file system of 4 MiB that `disk` is the place of and `$K` the binary.
fn on_the_small_disk(dir: &TempDir, server: &Server, script: &str) -> std::process::Output {
    let disk = dir.path().join("disk");
    std::fs::create_dir_all(&disk).expect("a directory");
    let line = format!("cd '{}' && {{ K='{}'; {script}\n}}", disk.display(), env!("CARGO_BIN_EXE_kvstore"));
    run(on_a_small_disk(&disk, &line, &server.url), b"")
}

/// The counts were of what had been handed over, not of what was in the file; a part had the name of a whole file; and no advice led on
/// where the file was compressed.
#[test]
fn an_export_to_a_full_disk_counts_what_is_there_and_can_be_gone_on_with() {
    let dir = TempDir::new().expect("a directory");
    let server = large_server(&dir);
    let lines = expect_exit(&server.client(&["export"], b""), 0);
    for name in ["all.ndjson", "all.ndjson.gz", "all.ndjson.zst"] {
        let outside = dir.path().join(name);
        let script = format!(
            "$K export {name}; echo code $?; ls -A; $K import --dry-run - <{name}.part; $K export {name}; echo code $?; \
             mount -o remount,size=64m \"$PWD\"; printf torn >>{name}.part; \
             $K export {name} --resume; echo code $?; ls -A; cp {name} '{}'",
            outside.display()
        );
        let output = on_the_small_disk(&dir, &server, &script);
        let (said, told) = (expect_exit(&output, 0), text(&output.stderr));
        let counted = told.split_once("the export stopped after ").and_then(|(_, rest)| rest.split(' ').next()).expect("a count");
        assert!((1_000..12_000).contains(&counted.parse::<usize>().expect("a number")), "{told}");
        let expected = format!(
            "code 2\n{name}.export-state\n{name}.part\n{counted} read: {counted} would be stored, 0 had expired, 0 can't be stored\n\
             code 2\n12000 entries exported\ncode 0\n{name}\n"
        );
        assert_eq!(said, expected, "{told}");
        assert!(told.contains("No space left on device") && told.contains("--resume") && told.contains("make room"), "{told}");
        assert!(told.contains("broke off, and ") && told.contains("going on after the key \"k"), "{told}");
        let other = Server::start(&dir.path().join(format!("other-{name}")), &[]);
        expect_exit(&other.client(&["import", outside.to_str().expect("UTF-8")], b""), 0);
        assert!(expect_exit(&other.client(&["export"], b""), 0) == lines, "{name} differs from an export that did not break off");
        other.stop();
    }
    server.stop();
}

/// Lines of one prefix followed those of another, and the file said nothing of it.
#[test]
fn an_export_is_not_gone_on_with_as_another_one() {
    let dir = TempDir::new().expect("a directory");
    let server = large_server(&dir);
    let script = "$K export all --prefix k; before=$(cksum <all.part); for other in '--prefix k01' '--prefix k --start k00001' '--prefix k --end k1' \
        '--prefix k --with-metadata' '--prefix k --url http://localhost:1' ''; do $K export all --resume $other; echo code $?; done; \
        [ \"$before\" = \"$(cksum <all.part)\" ] && ls -A; rm all.export-state; $K export all --prefix k --resume; echo code $?";
    // The server goes by a second name.
    let script = script.replace("http://localhost:1", &server.url.replace("127.0.0.1", "localhost"));
    let output = on_the_small_disk(&dir, &server, &script);
    let told = text(&output.stderr);
    assert_eq!(expect_exit(&output, 0), format!("{}all.export-state\nall.part\ncode 2\n", "code 2\n".repeat(6)), "{told}");
    let url = &server.url;
    for other in [
        format!(
            "was of {url} --prefix \"k\", and this one is of {url} --prefix \"k01\"; go on with what it was, or begin again with --force"
        ),
        format!("this one is of {url} --prefix \"k\" --start \"k00001\""),
        format!("this one is of {url} --prefix \"k\" --end \"k1\""),
        format!("this one is of {url} --prefix \"k\" --with-metadata"),
        format!("this one is of {url};"),
        "there is no ".to_owned(),
    ] {
        assert!(told.contains(&other), "{other} is missing in {told}");
    }
    server.stop();
}

/// Browsers name what is not whole so too. With --force such a file was emptied, and a link led that to any file.
#[test]
fn a_part_of_another_program_is_left_alone() {
    let (server, dir) = server(3);
    let export = |arguments: &[&str]| {
        let mut command = kvstore(arguments);
        command.args(["--url", &server.url]).current_dir(dir.path());
        run(command, b"")
    };
    let (part, precious) = (dir.path().join("all.part"), dir.path().join("precious"));
    std::fs::write(&part, "precious").expect("a file");
    for how in [&["export", "all"][..], &["export", "all", "--force"], &["export", "all", "--resume"]] {
        let output = export(how);
        expect_exit(&output, 2);
        let told = text(&output.stderr);
        assert!(told.contains("move it away"), "{how:?}: {told}");
        assert_eq!(std::fs::read_to_string(&part).expect("the file"), "precious", "{how:?}");
    }
    std::fs::rename(&part, &precious).expect("it is moved away");
    std::os::unix::fs::symlink(&precious, &part).expect("a link");
    for how in [&["export", "all"][..], &["export", "all", "--force"]] {
        expect_exit(&export(how), 2);
        assert_eq!(std::fs::read_to_string(&precious).expect("the file"), "precious", "{how:?}");
    }
    std::fs::remove_file(&part).expect("the link");
    expect_exit(&export(&["export", "all"]), 0);
    server.stop();
}

#[test]
fn a_file_is_replaced_once_the_new_one_is_whole() {
    let dir = TempDir::new().expect("a directory");
    let server = large_server(&dir);
    let script = "echo old >all; chmod 600 all; $K export all; echo code $?; $K export all --resume; echo code $?; \
        $K export all --force; echo code $?; cat all; mount -o remount,size=64m \"$PWD\"; \
        $K export all --resume; echo code $?; ls -A; wc -l <all; stat -c %a all; \
        $K export all --force --prefix k0000; cat all | wc -l; mkdir folder; $K export folder --force; echo code $?";
    let output = on_the_small_disk(&dir, &server, script);
    let told = text(&output.stderr);
    let expected = "code 2\ncode 2\ncode 2\nold\n12000 entries exported\ncode 0\nall\n12000\n600\n10 entries exported\n10\ncode 2\n";
    assert_eq!(expect_exit(&output, 0), expected, "{told}");
    assert!(told.contains("is there already; replace it with --force") && told.contains("is a directory"), "{told}");
    assert!(told.contains("broke off, and it is there; replace it with --force in place of --resume"), "{told}");
    server.stop();
}

#[test]
fn an_export_of_nothing_is_a_whole_file_of_its_kind() {
    let (server, dir) = server(3);
    for name in ["none", "none.gz", "none.zst"] {
        let file = dir.path().join(name);
        let path = file.to_str().expect("UTF-8");
        let output = server.client(&["export", path, "--prefix", "nobody", "--resume"], b"");
        assert_eq!(expect_exit(&output, 0), "0 entries exported\n");
        assert!(text(&output.stderr).contains("beginning at its start"), "{}", text(&output.stderr));
        assert_eq!(expect_exit(&server.client(&["import", path], b""), 0), "0 entries stored\n");
    }
    server.stop();
}

#[test]
fn a_full_disk_is_an_error_that_says_what_to_do() {
    let (server, _dir) = server(2_000);
    let output = server.client(&["export", "/dev/full"], b"");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("No space left on device") && said.contains("make room"), "{said}");
    let output = server.client(&["export", "/nowhere/file"], b"");
    expect_exit(&output, 2);
    assert!(text(&output.stderr).contains("/nowhere/file"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let (server, dir) = server(1_000);
    let file = dir.path().join("nothing");
    let output = server.client(&["export", "--dry-run", file.to_str().expect("UTF-8")], b"");
    assert_eq!(expect_exit(&output, 0), "1000 entries would be exported\n");
    assert!(!file.exists(), "a dry run made a file");
    server.stop();
}

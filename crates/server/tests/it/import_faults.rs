//! `kvstore import` of input that is not what it should be: each fault has its message, and what was stored by then is said.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::running::{Server, expect_exit, kvstore, run, text};

const GOOD: &str = "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";

fn server() -> (Server, TempDir) {
    let dir = TempDir::new().expect("a directory");
    (Server::start(&dir.path().join("data"), &[]), dir)
}

fn keys(server: &Server) -> String {
    expect_exit(&server.client(&["list", "--keys-only"], b""), 0)
}

#[test]
fn a_bad_line_is_named_and_those_before_it_are_stored() {
    let (server, dir) = server();
    let bad: [(&[u8], &str); 9] = [
        (b"{", "line 3: it is not an item: EOF"),
        (b"[]", "line 3: it is not an item"),
        (b"{\"key\":\"\",\"value\":\"\"}", "line 3: the key is empty"),
        (b"{\"key\":\"k\"}", "line 3: it is not an item: missing field `value`"),
        (b"{\"key\":\"k\",\"value\":\"v\",\"ttl\":-1}", "line 3: it is not an item"),
        (b"{\"key\":\"k\",\"valeu\":\"v\"}", "valeu"),
        (b"{\"key\":\"k\",\"value\":\"\xff\"}", "line 3: it is not UTF-8 from byte 21 on"),
        (b"{\"key\":\"k\",\"value\":\"\\ud800\"}", "line 3: the value: "),
        (b"{\"key\":\"k\",\"value\":\"v\",\"encoding\":\"hex\"}", "only \"base64\" is known"),
    ];
    for (line, why) in bad {
        let lines = [GOOD.as_bytes(), line, b"\n{\"key\":\"after\",\"value\":\"3\"}\n"].concat();
        let output = server.client(&["import", "-"], &lines);
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(why) && said.contains("2 entries are stored"), "{} said {said}", text(line));
    }
    assert_eq!(keys(&server), "a\nb\n");
    // Where nothing was sent there is nothing to go on with.
    let file = dir.path().join("bad");
    std::fs::write(&file, "x").expect("a file");
    expect_exit(&server.client(&["import", file.to_str().expect("UTF-8")], b""), 2);
    assert!(!dir.path().join("bad.import-state").exists(), "a state was left that says nothing");
    server.stop();
}

#[test]
fn bad_lines_can_be_passed_over() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--max-value-bytes", "10"]);
    // One line is wrong by itself, two are refused by the server.
    let long = "v".repeat(11);
    let lines = format!(
        "{GOOD}x\n{{\"key\":\"long\",\"value\":\"{long}\"}}\n{{\"key\":\"c\",\"value\":\"3\"}}\n{{\"key\":\"longer\",\"value\":\"{long}{long}\"}}\n{{\"key\":\"d\",\"value\":\"4\"}}\n"
    );
    let output = server.client(&["import", "--skip-invalid", "-"], lines.as_bytes());
    assert_eq!(expect_exit(&output, 0), "4 entries stored, 3 skipped\n");
    let said = text(&output.stderr);
    for part in ["line 3: ", "line 4: the value has 11 bytes; the limit is 10", "line 6: the value has 22 bytes"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
    assert_eq!(keys(&server), "a\nb\nc\nd\n");
    server.stop();
}

#[test]
fn a_value_over_the_servers_limit_is_refused_with_its_line() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--max-value-bytes", "10"]);
    let output = server.client(&["import", "-"], b"\n{\"key\":\"a\",\"value\":\"12345678901\"}\n");
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("line 2: the value has 11 bytes; the limit is 10") && said.contains("0 entries are stored"), "{said}");
    server.stop();
}

#[test]
fn a_last_line_that_is_cut_off_is_said_so() {
    let (server, _dir) = server();
    let output = server.client(&["import", "-"], format!("{GOOD}{{\"key\":\"c\",\"val").as_bytes());
    expect_exit(&output, 2);
    let said = text(&output.stderr);
    assert!(said.contains("line 3: ") && said.contains("no line break: the input may be cut off"), "{said}");
    // One that is whole but for its line break is an item.
    expect_exit(&server.client(&["import", "-"], format!("{GOOD}{{\"key\":\"c\",\"value\":\"3\"}}").as_bytes()), 0);
    assert_eq!(keys(&server), "a\nb\nc\n");
    server.stop();
}

#[test]
fn a_line_of_a_hundred_megabytes_is_refused_in_bounded_memory() {
    let (server, _dir) = server();
    for (arguments, code) in [(&["import", "-"][..], 2), (&["import", "-", "--skip-invalid"], 0)] {
        let mut command = kvstore(arguments);
        command.env("KVSTORE_URL", &server.url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the import starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        let status = format!("/proc/{}/status", child.id());
        let writer = std::thread::spawn(move || {
            let megabyte = vec![b'v'; 1_000_000];
            let mut written = pipe.write_all(GOOD.as_bytes()).and_then(|()| pipe.write_all(b"{\"key\":\"long\",\"value\":\""));
            for _ in 0..100 {
                written = written.and_then(|()| pipe.write_all(&megabyte));
            }
            // An import that stops at the line does not read to its end.
            let _ = written.and_then(|()| pipe.write_all(b"\"}\n{\"key\":\"after\",\"value\":\"3\"}\n"));
        });
        let watcher = std::thread::spawn(move || {
            let mut peak_kib = 0;
            while let Some(line) = std::fs::read_to_string(&status)
                .ok()
                .and_then(|text| text.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned)))
            {
                peak_kib = line.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(peak_kib);
                std::thread::yield_now();
            }
            peak_kib
        });
        let output = child.wait_with_output().expect("the import ends");
        writer.join().expect("the input is written");
        let peak_kib: u64 = watcher.join().expect("memory is watched");
        expect_exit(&output, code);
        let said = text(&output.stderr);
        assert!(said.contains("line 3: it is longer than 67108864 bytes") && said.contains("--max-body-bytes allow it"), "{said}");
        assert!((1..100 << 10).contains(&peak_kib), "{arguments:?} took {peak_kib} KiB");
    }
    assert_eq!(keys(&server), "a\nafter\nb\n");
    server.stop();
}

/// The advice was a command without the URL, and with a file's name that a shell takes apart; and it met the same line again.
#[test]
fn advice_after_a_bad_line_leads_on() {
    let (server, dir) = server();
    let file = dir.path().join("my file.ndjson");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&file, format!("{GOOD}x\n{{\"key\":\"c\",\"value\":\"3\"}}\n")).expect("a file");
    let import = |more: &[&str]| run(kvstore(&[&["import", path, "--url", &server.url], more].concat()), b"");
    for more in [&[][..], &["--resume"]] {
        let output = import(more);
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains("line 3: it is not an item") && said.contains("; mend it, or pass over what"), "{said}");
        assert!(said.contains("--skip-invalid") && said.contains("go on with the same command with --resume"), "{said}");
    }
    assert_eq!(expect_exit(&import(&["--resume", "--skip-invalid"]), 0), "3 entries stored, 1 skipped\n");
    server.stop();
}

/// "1 would be stored" was said of a value that no server takes as it comes.
#[test]
fn a_dry_run_says_which_value_a_server_may_refuse() {
    let line = format!("{{\"key\":\"large\",\"value\":\"{}\"}}\n", "v".repeat(17_000_000));
    let output = run(kvstore(&["import", "--dry-run", "-"]), format!("{GOOD}{line}{GOOD}").as_bytes());
    assert_eq!(expect_exit(&output, 0), "5 read: 5 would be stored, 0 had expired, 0 can't be stored\n");
    let said = text(&output.stderr);
    assert!(said.starts_with("line 3: it has 17000026 bytes") && said.contains("16777216 unless its --max-value-bytes"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_mark_before_the_first_line_and_a_name_that_hides_the_compression_are_no_faults() {
    let (server, dir) = server();
    let marked = format!("\u{feff}{GOOD}");
    let gzip = packed("gzip", marked.as_bytes());
    expect_exit(&server.client(&["import", "-"], GOOD.as_bytes()), 0);
    let exported = dir.path().join("all.ZSTD");
    expect_exit(&server.client(&["export", exported.to_str().expect("UTF-8")], b""), 0);
    let zstd = std::fs::read(&exported).expect("the export");
    assert!(zstd.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]), "it is not compressed");
    for (name, bytes) in [("marked", marked.as_bytes()), ("a.GZ", &gzip), ("b.ndjson", &gzip), ("c.zstd", &zstd), ("d", &zstd)] {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).expect("a file");
        let output = server.client(&["import", file.to_str().expect("UTF-8")], b"");
        assert_eq!(expect_exit(&output, 0), "2 entries stored\n", "{name}");
    }
    assert_eq!(keys(&server), "a\nb\n");
    // In the middle it is a fault.
    let output = server.client(&["import", "-"], format!("{GOOD}{marked}").as_bytes());
    expect_exit(&output, 2);
    server.stop();
}

/// What a program of the system makes of these bytes.
fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
    let output = run(Command::new(program), bytes);
    expect_exit(&output, 0);
    output.stdout
}

#[test]
fn compressed_input_that_ends_early_or_is_damaged_is_said_so() {
    let (server, dir) = server();
    let lines: String =
        (0..20_000_u64).map(|n| format!("{{\"key\":\"k{n:05}\",\"value\":\"{:x}\"}}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let (gzip, plain) = (packed("gzip", lines.as_bytes()), dir.path().join("plain"));
    std::fs::write(&plain, &lines).expect("a file");
    expect_exit(&server.client(&["import", plain.to_str().expect("UTF-8")], b""), 0);
    let exported = dir.path().join("all.zst");
    expect_exit(&server.client(&["export", exported.to_str().expect("UTF-8")], b""), 0);
    let zstd = std::fs::read(exported).expect("the export");
    let mut damaged = zstd.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].fill(0xa5);
    let cases = [
        ("cut.gz", &gzip[..gzip.len() / 2], "gzip data ends in the middle"),
        ("cut.zst", &zstd[..zstd.len() / 2], "zstd data ends in the middle"),
        ("damaged.zst", &damaged[..], "zstd data is damaged"),
        ("plain.gz", lines.as_bytes(), "gzip data is damaged"),
        ("plain.zst", lines.as_bytes(), "zstd data is damaged"),
    ];
    for (name, bytes, why) in cases {
        let file = dir.path().join(name);
        std::fs::write(&file, bytes).expect("a file");
        let output = server.client(&["import", file.to_str().expect("UTF-8")], b"");
        expect_exit(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(why) && said.contains(" stored; "), "{name} said {said}");
    }
    server.stop();
}

#[test]
fn a_server_that_cannot_be_used_is_said_before_anything_is_read_or_made() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--token", "right"]);
    let file = dir.path().join("lines");
    std::fs::write(&file, GOOD).expect("a file");
    let (input, made) = (file.to_str().expect("UTF-8"), dir.path().join("made"));
    let output = made.to_str().expect("UTF-8");
    let address = server.url.trim_start_matches("http://");
    let cases = [
        ([address, "right"], "has no scheme; write it as http://"),
        (["http://127.0.0.1:1", "right"], "start one with `kvstore serve`"),
        ([&server.url, "wrong"], "give the server's token in KVSTORE_TOKEN"),
    ];
    for ([url, token], advice) in cases {
        for verb in [["import", input], ["export", output]] {
            let answer = run(kvstore(&[&verb[..], &["--url", url, "--token", token]].concat()), b"");
            expect_exit(&answer, 2);
            assert!(text(&answer.stderr).contains(advice), "{verb:?} at {url} said {}", text(&answer.stderr));
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("the folder").count(), 2, "a file was made beside the data and the input");
    }
    server.stop();
}

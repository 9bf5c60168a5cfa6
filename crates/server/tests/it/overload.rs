//! More bytes than the budget holds, all at once.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tempfile::TempDir;

use crate::running::{Server, expect_exit};

const CONNECTIONS: usize = 256;
const BODY_BYTES: usize = 64 << 20;
const MEMORY_MB: u64 = 512;
/// What the process may hold beyond its budget: code, stacks, and what the allocators have not given back.
const SLACK_MB: u64 = MEMORY_MB / 5;
/// Loaders of a bulk load, and what each brings.
const LOADERS: usize = 6;
const LOAD_BYTES: usize = 48 << 20;
const LOADED_VALUE_BYTES: usize = 3_000;

/// A batch of exactly this many bytes, whose values are all within the limit of a value.
fn body() -> Vec<u8> {
    let mut body = b"{\"items\":[".to_vec();
    for key in ["a", "b", "c", "d"] {
        body.extend_from_slice(format!("{{\"key\":\"{key}\",\"value\":\"").as_bytes());
        body.resize(body.len() + 13_000_000, b'x');
        body.extend_from_slice(b"\"},");
    }
    body.extend_from_slice(b"{\"key\":\"e\",\"value\":\"");
    body.resize(BODY_BYTES - 4, b'x');
    body.extend_from_slice(b"\"}]}");
    assert_eq!(body.len(), BODY_BYTES);
    body
}

/// The status of the answer, or `None` where the connection was closed without one.
fn send(server: &Server, body: &[u8]) -> Option<u16> {
    let mut stream = server.connect();
    let head = format!(
        "POST /kv-store/v1/kv/batch/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nPrefer: return=minimal\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut reader = stream.try_clone().expect("a second handle");
    stream.write_all(head.as_bytes()).ok()?;
    thread::scope(|scope| {
        // The server may answer and close before it has read the body: then writing fails, and the answer counts.
        scope.spawn(move || stream.write_all(body));
        let mut answer = [0; 12];
        let read = reader.read_exact(&mut answer);
        // Lets the writer go where the server does not read on.
        let _ = reader.shutdown(std::net::Shutdown::Both);
        read.ok()?;
        std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
    })
}

#[test]
fn too_many_large_bodies_are_refused_and_the_server_stays_within_its_memory() {
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--memory-mb", &MEMORY_MB.to_string()]);
    let body = Arc::new(body());
    let done = AtomicBool::new(false);
    let mut statuses: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    let mut probes = 0_usize;
    thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| send(&server, &body))).collect();
        let prober = scope.spawn(|| {
            let mut probes = 0;
            while !done.load(Ordering::Acquire) {
                let answer = server.http_get("/kv-store/v1/health/");
                assert!(answer.starts_with("HTTP/1.1 200 "), "health said {answer}");
                probes += 1;
            }
            probes
        });
        for sender in senders {
            *statuses.entry(sender.join().expect("a sender")).or_default() += 1;
        }
        done.store(true, Ordering::Release);
        probes = prober.join().expect("the prober");
    });

    let count = |status: Option<u16>| statuses.get(&status).copied().unwrap_or(0);
    let (stored, refused) = (count(Some(200)), count(Some(503)));
    assert_eq!(stored + refused + count(None), CONNECTIONS, "answers other than 200 and 503: {statuses:?}");
    assert!(refused > 0, "nothing was refused: {statuses:?}");
    assert!(count(None) <= CONNECTIONS / 10, "too many were closed without an answer: {statuses:?}");
    assert!(probes > 0, "health was never asked");
    let peak_mb = server.memory_kib("VmHWM:") >> 10;
    assert!(peak_mb <= MEMORY_MB + SLACK_MB, "the server held {peak_mb} MiB of a budget of {MEMORY_MB}; answers {statuses:?}");
    expect_exit(&server.client(&["put", "after", "v"], b""), 0);
    let listed = expect_exit(&server.client(&["list", "--keys-only"], b""), 0);
    let expected = if stored > 0 { "a\nafter\nb\nc\nd\ne\n" } else { "after\n" };
    assert_eq!(listed, expected, "a batch is whole or not there; answers {statuses:?}");
    server.stop();
}

/// It took 1.6 times its budget: freed memory was held back, and write buffers outgrew their share where flushes fell behind.
#[test]
fn a_bulk_load_stays_within_the_memory_of_a_small_budget() {
    const MEMORY_MB: u64 = 256;
    let dir = TempDir::new().expect("a directory");
    let server = Server::start(&dir.path().join("data"), &["--memory-mb", &MEMORY_MB.to_string()]);
    thread::scope(|scope| {
        for loader in 0..LOADERS {
            let server = &server;
            scope.spawn(move || expect_exit(&server.client(&["import", "-"], lines(loader).as_bytes()), 0));
        }
    });
    let peak_mb = server.memory_kib("VmHWM:").saturating_sub(server.memory_kib("RssFile:")) >> 10;
    assert!(peak_mb <= MEMORY_MB + MEMORY_MB / 5, "the server held {peak_mb} MiB of a budget of {MEMORY_MB}");
    server.stop();
}

fn lines(loader: usize) -> String {
    let value = "v".repeat(LOADED_VALUE_BYTES);
    let line = |number| format!("{{\"key\":\"{loader}:{number:08}\",\"value\":\"{value}\"}}\n");
    (0..LOAD_BYTES / LOADED_VALUE_BYTES).map(line).collect()
}

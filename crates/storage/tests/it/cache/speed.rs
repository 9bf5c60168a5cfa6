//! A measurement, run by hand: how many cached reads a second one node answers inside its process.
//! `cargo test --release -p kvstore-storage --locked --test it -- --ignored --nocapture cached_reads_a_second`

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use kvstore_storage::{CacheMode, CacheTimes};

use super::{authority::MemoryAuthority, node::Node, redis::start};

const READERS: usize = 64;
const KEYS: usize = 1_000;
const TIME: Duration = Duration::from_secs(5);

async fn measure(mode: CacheMode, url: &str) -> f64 {
    let authority = MemoryAuthority::new();
    let node = Node::with(&authority, url, mode, CacheTimes::default());
    node.becomes("on").await;
    for number in 0..KEYS {
        node.put(&format!("k{number}"), &"v".repeat(200)).await;
        node.warm(&authority, &format!("k{number}")).await;
    }
    let begun = Instant::now();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let node = node.clone();
            tokio::spawn(async move {
                let mut reads = 0_usize;
                while begun.elapsed() < TIME {
                    node.get(&format!("k{}", (reader * 31 + reads) % KEYS)).await.expect("an entry");
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.expect("a reader");
    }
    reads as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cached_reads_a_second() {
    let redis = start(&[]);
    let port = redis.port().to_string();
    let benchmark = std::process::Command::new("redis-benchmark")
        .args(["-p", &port, "-t", "get", "-n", "500000", "-c", "64", "-d", "200", "-r", "1000", "--threads", "1", "--csv"])
        .output()
        .expect("redis-benchmark runs");
    let mut report = String::from_utf8_lossy(&benchmark.stdout).into_owned();
    for mode in [CacheMode::Validate, CacheMode::Fenced] {
        report += &format!("{}: {:.0} reads/s\n", mode.as_str(), measure(mode, &redis.url()).await);
    }
    std::io::stderr().write_all(report.as_bytes()).expect("a place to report to");
}

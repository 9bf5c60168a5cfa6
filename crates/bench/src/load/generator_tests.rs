//! The generator against a server that answers at once, but for one stall or for errors.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use axum::{Router, routing::get};
use hdrhistogram::Histogram;
use tokio::net::TcpListener;

use super::{Dialect, Keys, Latencies, Load, Operation, Pace, Plan, Server, Stop};

/// A server whose n-th answer takes `stall`; the others are immediate.
async fn serve(stalled: usize, stall: Duration) -> u16 {
    let count = Arc::new(AtomicUsize::new(0));
    let handler = move || {
        let count = Arc::clone(&count);
        async move {
            if count.fetch_add(1, Ordering::SeqCst) == stalled {
                tokio::time::sleep(stall).await;
            }
            "fine"
        }
    };
    serve_router(Router::new().route("/{*path}", get(handler.clone()).put(handler))).await
}

async fn serve_router(router: Router) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn load(port: u16, operation: Operation, connections: usize, pace: Pace) -> Load {
    let server = Server { port, pid: std::process::id(), dialect: Dialect::Kvstore };
    Load { server, plan: Plan { operation, keys: Keys::Uniform(100), value_bytes: 100 }, connections, pace }
}

async fn run(port: u16, per_second: f64, limit: Duration) -> Result<Latencies> {
    load(port, Operation::Get, 1, Pace::Open(per_second)).run_for(limit).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_charged_to_every_request_that_it_delayed() {
    let stall = Duration::from_millis(800);
    let port = serve(100, stall).await;
    let found = run(port, 200.0, Duration::from_secs(2)).await.unwrap();

    assert_eq!((found.reads.len(), found.writes.len()), (400, 0), "every intended request is sent");
    let over = |histogram: &Histogram<u64>| histogram.len() - histogram.count_between(0, 400_000);
    // 800 ms at 200 a second delay 160 requests, and half of them by more than 400 ms.
    assert!(over(&found.reads) >= 70, "{} of 400 show the stall", over(&found.reads));
    assert_eq!(found.from_sent.count_between(790_000, 100_000_000), 1, "one request met the stall itself");
    let sample = found.sample().unwrap();
    assert!(sample.p90_us.unwrap() >= 300_000.0, "{sample:?}");
    assert!((sample.per_second - 200.0).abs() < 3.0, "{sample:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_is_kept_and_the_run_ends_when_told() {
    let port = serve(usize::MAX, Duration::ZERO).await;
    let stop = Stop::after(Duration::from_secs(60));
    let load = load(port, Operation::Get, 4, Pace::Open(500.0));
    let started = Instant::now();
    let stopper = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        stop.now();
    };
    let (found, ()) = tokio::join!(load.run(stop.clone()), stopper);
    let sent = found.unwrap().reads.len();
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    assert!(sent >= 295, "{sent} requests were intended in 600 ms at 500 a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_keeps_every_connection_busy_and_counts_what_it_takes() {
    let port = serve(usize::MAX, Duration::ZERO).await;
    let load = load(port, Operation::Mix { reads_percent: 50 }, 8, Pace::Closed);
    let found = load.run_for(Duration::from_millis(500)).await.unwrap();
    let (reads, writes) = (found.reads.len(), found.writes.len());
    assert!(reads > 100 && writes > 100, "{reads} reads and {writes} writes");
    let sample = found.sample().unwrap();
    assert_eq!(sample.requests, reads + writes);
    assert!(sample.p50_us <= sample.p99_us && sample.p99_us <= sample.p999_us.unwrap(), "{sample:?}");
    assert!(sample.usage.unwrap().generator_cores > 0.0, "{sample:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_that_meets_a_stall_as_long_as_itself_goes_on_and_counts_it() {
    let stall = Duration::from_millis(300);
    let port = serve(0, stall).await;
    let found = load(port, Operation::Get, 1, Pace::Closed).run_for(Duration::from_millis(50)).await.unwrap();
    assert!(found.seconds >= 0.6, "as long again as the stall, {} s", found.seconds);
    assert!(found.reads.len() > 10, "{} reads after the first", found.reads.len());
    assert!(found.reads.max() >= 290_000, "the stall counts, {} us", found.reads.max());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_success_fails_the_run() {
    let port = serve_router(Router::new()).await;
    let error = run(port, 100.0, Duration::from_millis(100)).await.err().expect("404 is no result").to_string();
    assert!(error.contains("404"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_larger_than_a_socket_takes_at_once_arrive_whole() {
    let handler = |body: bytes::Bytes| async move {
        let items: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(items["items"].as_array().expect("items").len(), 500);
        "x".repeat(3_000_000)
    };
    let router = Router::new().route("/{*path}", axum::routing::post(handler)).layer(axum::extract::DefaultBodyLimit::disable());
    let port = serve_router(router).await;
    let batch = Operation::Batch { items: 500, answer: super::BatchAnswer::Entries };
    let mut load = load(port, batch, 2, Pace::Open(20.0));
    load.plan = Plan { value_bytes: 8_000, keys: Keys::Uniform(1_000), ..load.plan };
    let found = load.run_for(Duration::from_millis(500)).await.unwrap();
    assert_eq!(found.writes.len(), 10);
}

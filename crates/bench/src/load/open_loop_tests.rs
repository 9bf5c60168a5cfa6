//! The generator against a server that answers at once, but for one stall or for errors.

use std::{net::Ipv4Addr, sync::atomic::AtomicUsize};

use axum::{Router, routing::get};
use tokio::net::TcpListener;

use super::*;

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
    serve_router(Router::new().route("/", get(handler))).await
}

async fn serve_router(router: Router) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn get_root() -> Arc<Make> {
    Arc::new(|_| (Method::GET, "/".to_owned(), Bytes::new()))
}

async fn run(port: u16, per_second: f64, limit: Duration) -> Result<Latencies> {
    let plan = OpenLoop { port, connections: 1, per_second, limit };
    plan.run(Stop::after(limit), get_root()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_charged_to_every_request_that_it_delayed() {
    let stall = Duration::from_millis(800);
    let port = serve(100, stall).await;
    let found = run(port, 200.0, Duration::from_secs(2)).await.unwrap();

    assert_eq!(found.from_intended.len(), 400, "every intended request is sent");
    let over = |histogram: &Histogram<u64>| histogram.len() - histogram.count_between(0, 400_000);
    // 800 ms at 200 a second delay 160 requests, and half of them by more than 400 ms.
    assert!(over(&found.from_intended) >= 70, "{} of 400 show the stall", over(&found.from_intended));
    assert_eq!(found.from_sent.count_between(790_000, 100_000_000), 1, "one request met the stall itself");
    assert!(found.percentile_us(90.0) >= 300_000.0, "p90 {}", found.percentile_us(90.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_is_kept_and_the_run_ends_when_told() {
    let port = serve(usize::MAX, Duration::ZERO).await;
    let stop = Stop::after(Duration::from_secs(60));
    let plan = OpenLoop { port, connections: 4, per_second: 500.0, limit: Duration::from_secs(60) };
    let started = Instant::now();
    let stopper = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        stop.now();
    };
    let (found, ()) = tokio::join!(plan.run(stop.clone(), get_root()), stopper);
    let sent = found.unwrap().from_intended.len();
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    assert!(sent >= 295, "{sent} requests were intended in 600 ms at 500 a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_success_fails_the_run() {
    let port = serve_router(Router::new()).await;
    let error = run(port, 100.0, Duration::from_millis(100)).await.err().expect("404 is no result").to_string();
    assert!(error.contains("404"), "{error}");
}

//! Fills a kvstore through its batch API.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::{
    http::Http,
    progress::progress,
    workload::{BASE, batch_body, scattered},
};

/// How long to stay away after a 503.
const PAUSE: Duration = Duration::from_millis(50);
const REPORT_EVERY: u64 = 1_000_000;

/// Which entries to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loader {
    pub(crate) port: u16,
    pub(crate) entries: u64,
    pub(crate) value_bytes: usize,
    pub(crate) batch: u64,
    pub(crate) connections: usize,
    pub(crate) limit: Duration,
}

#[derive(Debug, Deserialize)]
struct Minimal {
    count: u64,
}

impl Loader {
    /// Writes every entry once, in an order that is not the keys'. Says how long it took.
    pub(crate) async fn run(self) -> Result<Duration> {
        let started = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..self.connections {
            workers.spawn(self.work(Arc::clone(&next)));
        }
        let all = async {
            while let Some(done) = workers.join_next().await {
                done??;
            }
            Ok::<(), anyhow::Error>(())
        };
        tokio::time::timeout(self.limit, all).await.with_context(|| format!("loading took more than {:?}", self.limit))??;
        Ok(started.elapsed())
    }

    async fn work(self, next: Arc<AtomicU64>) -> Result<()> {
        let mut http = Http::connect(self.port).await?;
        loop {
            let from = next.fetch_add(self.batch, Ordering::Relaxed);
            if from >= self.entries {
                return Ok(());
            }
            let to = self.entries.min(from + self.batch);
            if to / REPORT_EVERY > from / REPORT_EVERY {
                progress!("{to} entries");
            }
            let body = batch_body((from..to).map(|position| scattered(position, self.entries)), self.value_bytes);
            post(&mut http, Bytes::from(body), to - from).await?;
        }
    }
}

/// Posts a batch until it is taken: a 503 says that it was not applied.
async fn post(http: &mut Http, body: Bytes, items: u64) -> Result<()> {
    loop {
        let mut request = http.request(Method::POST, &format!("{BASE}/kv/batch/"), body.clone())?;
        request.headers_mut().insert("prefer", HeaderValue::from_static("return=minimal"));
        let answer = http.send(request).await?;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let done: Minimal = answer.json()?;
        ensure!(done.count == items, "a batch of {items} counted {}", done.count);
        return Ok(());
    }
}

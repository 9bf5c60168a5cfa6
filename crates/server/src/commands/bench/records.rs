//! The records that are loaded, read and written: their keys and values, and how they come and go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use indicatif::ProgressBar;
use kvstore_client::{BatchItem, Client, ClientError, DeleteOptions, PageQuery};
use kvstore_types::{
    Key,
    limits::{IMPORT_BATCH_BYTES_MAX, IMPORT_BATCH_ITEMS_MAX, PAGE_ENTRIES_MAX},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{super::connect::explain, distribution::scatter};

/// What follows the prefix in a key.
const NAME: &str = "user";
/// Digits after it.
const DIGITS: usize = 16;
/// Random bytes beyond a value's, so that values differ.
const SPARE_BYTES: usize = 64 << 10;
const ALPHABET: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// Batches that are loaded at one time, at most.
const BATCHES_UNDER_WAY_MAX: usize = 16;
/// Deletes that are under way at one time.
const DELETES_UNDER_WAY: usize = 64;
/// Times that a request of loading or deleting is sent.
const ATTEMPTS_MAX: u32 = 5;

/// The records of a run.
#[derive(Debug)]
pub(super) struct Records {
    prefix: String,
    loaded: u64,
    /// How many there are now, those included whose insert is under way.
    count: AtomicU64,
    value_bytes: usize,
    random: Bytes,
}

/// What lies under the prefix before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Only records, as a run writes them.
    Records,
    /// A key that no run writes.
    Foreign(Key),
}

impl Records {
    pub(super) fn new(prefix: &str, loaded: u64, value_bytes: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let letter = |_| ALPHABET.get(random.random_range(0..ALPHABET.len())).copied().unwrap_or_default();
        let random = (0..value_bytes + SPARE_BYTES).map(letter).collect();
        Self { prefix: prefix.to_owned(), loaded, count: AtomicU64::new(loaded), value_bytes, random }
    }

    /// How many there are now.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// How many were loaded at first.
    pub(super) const fn loaded(&self) -> u64 {
        self.loaded
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The number of a record that is to be inserted.
    pub(super) fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// The key of a record. Neighbours by number are no neighbours by key, as in YCSB.
    pub(super) fn key(&self, number: u64) -> Result<Key, ClientError> {
        let text = format!("{}{NAME}{:0DIGITS$x}", self.prefix, scatter(number));
        Key::new(&text).map_err(|error| ClientError::BadAnswer(error.to_string()))
    }

    /// A value: text that is hard to compress, and each time another one.
    pub(super) fn value(&self, random: &mut impl Rng) -> Bytes {
        let from = random.random_range(0..=SPARE_BYTES);
        self.random.slice(from..from + self.value_bytes)
    }

    /// Whether a run writes such keys.
    fn is_ours(&self, key: &Key) -> bool {
        let digits = key.as_str().strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(NAME));
        digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')))
    }

    fn query(&self) -> PageQuery {
        PageQuery { prefix: Some(self.prefix.clone()), keys_only: true, page_entries_max: Some(PAGE_ENTRIES_MAX), ..PageQuery::default() }
    }

    /// Looks at every key under the prefix, up to the first one that is foreign.
    pub(super) async fn find(&self, client: &Client) -> anyhow::Result<Found> {
        let mut pages = client.pages(&self.query());
        let mut found = Found::Nothing;
        while let Some(entries) = pages.next_page().await.map_err(explain)? {
            for entry in entries {
                if !self.is_ours(&entry.key) {
                    return Ok(Found::Foreign(entry.key));
                }
                found = Found::Records;
            }
        }
        Ok(found)
    }

    /// Looks whether the first and the last record are there.
    pub(super) async fn expect_loaded(&self, client: &Client) -> anyhow::Result<()> {
        let keys = [self.key(0)?, self.key(self.loaded.saturating_sub(1))?];
        let entries = client.read_many(&keys).await.map_err(explain)?;
        if entries.iter().any(Option::is_none) {
            bail!(
                "there are no {} records under {:?}; leave out --no-load, or give the --records of the run that loaded them",
                self.loaded,
                self.prefix
            );
        }
        Ok(())
    }

    /// Stores all records, and gives how many were stored: fewer where it was stopped.
    pub(super) async fn load(self: &Arc<Self>, clients: &[Client], bar: &ProgressBar, stop: &CancellationToken) -> anyhow::Result<u64> {
        let items = (IMPORT_BATCH_BYTES_MAX / self.value_bytes.max(1)).clamp(1, IMPORT_BATCH_ITEMS_MAX) as u64;
        let next = Arc::new(AtomicU64::new(0));
        let mut loaders = JoinSet::new();
        for client in clients.iter().take(BATCHES_UNDER_WAY_MAX) {
            let (client, records, next, bar, stop) = (client.clone(), Arc::clone(self), Arc::clone(&next), bar.clone(), stop.clone());
            loaders.spawn(async move {
                let mut stored = 0;
                while !stop.is_cancelled() {
                    let from = next.fetch_add(items, Ordering::Relaxed);
                    let to = records.loaded.min(from.saturating_add(items));
                    if from >= to {
                        break;
                    }
                    records.store(&client, from, to).await?;
                    stored += to - from;
                    bar.inc(to - from);
                }
                Ok(stored)
            });
        }
        sum(loaders).await
    }

    async fn store(&self, client: &Client, from: u64, to: u64) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(from);
        let item = |number| Ok(BatchItem { key: self.key(number)?, value: self.value(&mut random), ttl: None, condition: None });
        let items: Vec<_> = (from..to).map(item).collect::<Result<_, ClientError>>()?;
        // To store the same records twice does no harm.
        let stored = patiently(|| client.batch(&items, None)).await;
        stored.map(drop).map_err(|error| anyhow!("the records can't be loaded: {:#}", explain(error)))
    }

    /// Deletes all records under the prefix, whichever run they are of, and gives how many. Foreign keys stay.
    pub(super) async fn delete(self: &Arc<Self>, client: &Client, bar: &ProgressBar, stop: &CancellationToken) -> anyhow::Result<u64> {
        let mut pages = client.pages(&self.query());
        let mut deleted = 0;
        while !stop.is_cancelled()
            && let Some(entries) = patiently_page(&mut pages).await?
        {
            let keys: Arc<Vec<Key>> = Arc::new(entries.into_iter().map(|entry| entry.key).filter(|key| self.is_ours(key)).collect());
            let next = Arc::new(AtomicU64::new(0));
            let mut deleters = JoinSet::new();
            for _ in 0..DELETES_UNDER_WAY.min(keys.len()) {
                let (client, keys, next, bar, stop) = (client.clone(), Arc::clone(&keys), Arc::clone(&next), bar.clone(), stop.clone());
                deleters.spawn(async move {
                    let (options, mut deleted) = (DeleteOptions::default(), 0);
                    while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed) as usize).filter(|_| !stop.is_cancelled()) {
                        patiently(|| client.delete(key, &options)).await.map_err(explain)?;
                        deleted += 1;
                        bar.inc(1);
                    }
                    Ok(deleted)
                });
            }
            deleted += sum(deleters).await?;
        }
        Ok(deleted)
    }
}

async fn patiently_page(pages: &mut kvstore_client::Pages) -> anyhow::Result<Option<Vec<kvstore_client::Entry>>> {
    let mut attempt = 1;
    loop {
        match pages.next_page().await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS_MAX => tokio::time::sleep(pause(attempt)).await,
            page => return page.map_err(explain),
        }
        attempt += 1;
    }
}

/// Sends a request that may be sent again, until it is answered or was sent a few times.
async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(request: impl Fn() -> F) -> Result<T, ClientError> {
    let mut attempt = 1;
    loop {
        match request().await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS_MAX => tokio::time::sleep(pause(attempt)).await,
            answer => return answer,
        }
        attempt += 1;
    }
}

/// 100 ms, doubled at each attempt.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(100) * 2_u32.saturating_pow(attempt.saturating_sub(1))
}

async fn sum(mut workers: JoinSet<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    let mut all = 0;
    while let Some(done) = workers.join_next().await {
        all += done.context("a worker ended")??;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_know_their_own_keys_and_no_others() {
        let records = Records::new("bench/", 10, 100, 1);
        for number in [0, 1, 9, u64::MAX - 1] {
            assert!(records.is_ours(&records.key(number).expect("a key")), "{number}");
        }
        for foreign in ["bench/", "bench/user", "bench/user00000000000000zz", "bench/user00000000000000000", "other/user0000000000000000"] {
            assert!(!records.is_ours(&Key::new(foreign).expect("a key")), "{foreign}");
        }
    }

    #[test]
    fn values_have_the_length_that_was_asked_for_and_differ() {
        for bytes in [1, 100, 100_000] {
            let records = Records::new("bench/", 10, bytes, 1);
            let mut random = StdRng::seed_from_u64(1);
            assert_eq!(records.value(&mut random).len(), bytes);
        }
        let records = Records::new("bench/", 10, 100, 1);
        let mut random = StdRng::seed_from_u64(1);
        assert_ne!(records.value(&mut random), records.value(&mut random));
    }
}

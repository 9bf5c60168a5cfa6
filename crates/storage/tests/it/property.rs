//! Random histories on the embedded store and on the specification side by side: every outcome, entry and page is the same.
//!
//! Both run on clocks that are moved together, and nothing is reclaimed: a reclaiming takes a stamp at a moment of its own.

mod history;

use std::sync::Arc;

use kvstore_storage::{EmbeddedConfig, ManualClock, Store, open_embedded, open_memory};
use kvstore_types::{Consistency, KeyRange, Projection, Scan, Timestamp};
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use tempfile::TempDir;

use self::history::{Op, Reader, op};
use crate::fixtures::{START, config};

const HISTORIES: u32 = 64;
const OPS: usize = 60;

proptest! {
    #![proptest_config(Config {
        cases: HISTORIES,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 400,
        ..Config::default()
    })]

    #[test]
    fn embedded_answers_as_the_specification_does(history in prop::collection::vec(op(), 1..=OPS)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut pair = Pair::open().await;
            for (step, op) in history.into_iter().enumerate() {
                pair.step(step, op).await?;
            }
            pair.compare_contents("in the end").await
        })?;
    }
}

/// The two stores, and what the history has learnt so far.
struct Pair {
    _dir: TempDir,
    config: EmbeddedConfig,
    clocks: [Arc<ManualClock>; 2],
    specification: Arc<dyn Store>,
    embedded: Arc<dyn Store>,
    now: Timestamp,
    reader: Reader,
}

impl Pair {
    async fn open() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let config = config(&dir.path().join("data"), None);
        let clocks = [Arc::new(ManualClock::at(START)), Arc::new(ManualClock::at(START))];
        let specification = open_memory(clocks[0].clone(), None).expect("a thread for the committer");
        let embedded = open(&config, &clocks[1]).await;
        Self { _dir: dir, config, clocks, specification, embedded, now: START, reader: Reader::default() }
    }

    async fn step(&mut self, step: usize, op: Op) -> Result<(), TestCaseError> {
        let at = format!("step {step}, {op:?}");
        match op {
            Op::Write(write) => {
                let batch = self.reader.batch(&write);
                let expected = self.specification.write(Arc::clone(&batch)).await.expect("the specification writes");
                let found = self.embedded.write(batch).await.expect("the embedded store writes");
                prop_assert_eq!(&found, &expected, "the outcome at {}", at);
                self.reader.learn(&expected);
                prop_assert_eq!(self.embedded.applied_revision(), self.specification.applied_revision(), "the revision at {}", at);
            }
            Op::Read(key, projection) => {
                let key = history::key(key);
                let expected = self.specification.read(&key, projection, Consistency::Linearizable).await.expect("a read");
                let found = self.embedded.read(&key, projection, Consistency::Linearizable).await.expect("a read");
                prop_assert_eq!(found, expected, "the entry at {}", at);
            }
            Op::ReadMany(keys) => {
                let keys: Vec<_> = keys.into_iter().map(history::key).collect();
                let expected = self.specification.read_many(&keys, Consistency::Linearizable).await.expect("a read");
                let found = self.embedded.read_many(&keys, Consistency::Linearizable).await.expect("a read");
                prop_assert_eq!(found, expected, "the entries at {}", at);
            }
            Op::Scan(scan) => self.compare_page(&self.reader.scan(&scan), &at).await?,
            Op::Clock(micros) => {
                self.now = Timestamp::from_micros(self.now.as_micros() + micros);
                self.clocks.iter().for_each(|clock| clock.set(self.now));
            }
            Op::Reopen => self.reopen().await?,
        }
        Ok(())
    }

    async fn compare_page(&self, scan: &Scan, at: &str) -> Result<(), TestCaseError> {
        let expected = self.specification.scan(scan, Consistency::Linearizable).await.expect("a page");
        let found = self.embedded.scan(scan, Consistency::Linearizable).await.expect("a page");
        prop_assert_eq!(found, expected, "the page at {}", at);
        Ok(())
    }

    async fn compare_contents(&self, at: &str) -> Result<(), TestCaseError> {
        for projection in [Projection::Full, Projection::Header] {
            for reverse in [false, true] {
                self.compare_page(&Scan { projection, reverse, ..Scan::of(KeyRange::all()) }, at).await?;
            }
        }
        Ok(())
    }

    /// Closes and opens the embedded store. The specification can't be closed; a write to both carries store time over, since what
    /// a store has only read is not saved.
    async fn reopen(&mut self) -> Result<(), TestCaseError> {
        let batch = self.reader.marker();
        let expected = self.specification.write(Arc::clone(&batch)).await.expect("the specification writes");
        let found = self.embedded.write(batch).await.expect("the embedded store writes");
        prop_assert_eq!(found, expected, "the outcome of the marker");
        self.embedded.shutdown().await.expect("a shutdown");
        let Self { specification, .. } = self;
        // The directory is free once the old store is gone.
        self.embedded = Arc::clone(specification);
        self.embedded = open(&self.config, &self.clocks[1]).await;
        self.compare_contents("after reopening").await
    }
}

async fn open(config: &EmbeddedConfig, clock: &Arc<ManualClock>) -> Arc<dyn Store> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (config, clock) = (config.clone(), clock.clone());
        match tokio::task::spawn_blocking(move || open_embedded(&config, clock)).await.expect("an opening") {
            Ok(store) => return store,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "the embedded store can't be opened: {error}"),
        }
    }
}

//! `Bed`: a store on its fixture, with short words for what cases do to it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kvstore_types::{
    Applied, Condition, Consistency, Entry, FailedCondition, Header, IdempotencyKey, Item, Key, KeyRange, Mutation, Outcome, Page,
    Projection, Revision, Scan, Timestamp, Ttl, WriteBatch,
};
use tokio::task::JoinHandle;

use super::{Fixture, Stop};
use crate::{Checkpoint, Clock, Store};

/// A store under test.
#[derive(Clone)]
pub(super) struct Bed {
    fixture: Arc<dyn Fixture>,
    pub(super) store: Arc<dyn Store>,
}

impl Bed {
    pub(super) async fn on(fixture: Arc<dyn Fixture>) -> Result<Self, Stop> {
        let store = fixture.store().await?;
        Ok(Self { fixture, store })
    }

    /// The same data after a shutdown and an opening.
    pub(super) async fn reopen(self) -> Result<Self, Stop> {
        self.reopen_if_kept().await?.ok_or(Stop::Skipped("the backend keeps nothing"))
    }

    /// The same, for cases that have something to check on a backend that keeps nothing too.
    pub(super) async fn reopen_if_kept(self) -> Result<Option<Self>, Stop> {
        let Self { fixture, store } = self;
        // The old handle must go first: a backend locks its data.
        drop(store);
        Ok(fixture.reopen().await?.map(|store| Self { fixture, store }))
    }

    /// The same data after a crash.
    pub(super) async fn crash(&self) -> Result<Self, Stop> {
        let store = self.fixture.crash().await?.ok_or(Stop::Skipped("the fixture can't crash its store"))?;
        Ok(Self { fixture: Arc::clone(&self.fixture), store })
    }

    /// Another node on the same data.
    pub(super) async fn second(&self) -> Result<Self, Stop> {
        let store = self.fixture.second().await?.ok_or(Stop::Skipped("one node owns the data"))?;
        Ok(Self { fixture: Arc::clone(&self.fixture), store })
    }

    /// What a case ends with that showed a weaker form where reads of several keys show no common moment.
    pub(super) fn shown_with_snapshots(&self) -> Result<(), Stop> {
        if self.store.capabilities().common_snapshot {
            return Ok(());
        }
        Err(Stop::Weaker("a batch may be seen in part while it is being committed"))
    }

    /// Whether reads of several keys show one moment.
    pub(super) fn has_common_snapshot(&self) -> bool {
        self.store.capabilities().common_snapshot
    }

    /// Whether revisions and stamps follow one order in the whole store.
    pub(super) fn has_store_wide_order(&self) -> bool {
        self.store.capabilities().store_wide_order
    }

    /// A store from a checkpoint.
    pub(super) async fn copy(&self, checkpoint: Checkpoint) -> Result<Self, Stop> {
        let store = self.fixture.copy(checkpoint).await?.ok_or(Stop::Skipped("the fixture can't open a checkpoint"))?;
        Ok(Self { fixture: Arc::clone(&self.fixture), store })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.fixture.clock().now()
    }

    pub(super) fn set_clock(&self, at: Timestamp) {
        self.fixture.clock().set(at);
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.fixture.clock().advance(Duration::from_secs(seconds));
    }

    pub(super) fn turn_back(&self, seconds: i64) {
        self.set_clock(Timestamp::from_micros(self.now().as_micros() - seconds * 1_000_000));
    }

    pub(super) async fn write(&self, items: Vec<Item>) -> Result<Outcome, Stop> {
        Ok(self.store.write(batch(items, None)?).await?)
    }

    pub(super) async fn write_once(&self, items: Vec<Item>, idempotency: &str) -> Result<Outcome, Stop> {
        Ok(self.store.write(batch(items, Some(idempotency))?).await?)
    }

    /// Writes items that must be applied.
    pub(super) async fn apply(&self, items: Vec<Item>) -> Result<Applied, Stop> {
        applied(self.write(items).await?)
    }

    pub(super) async fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<Header, Stop> {
        let applied = self.apply(vec![put(key, value)]).await?;
        applied.items.first().and_then(|item| item.header).ok_or_else(|| Stop::Failed(format!("a put of {key:?} gave no header")))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<Outcome, Stop> {
        self.write(vec![delete(key)]).await
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, Stop> {
        let_others_run().await;
        Ok(self.store.read(&key_of(key)?, Projection::Full, Consistency::Linearizable).await?)
    }

    pub(super) async fn value(&self, key: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(self.get(key).await?.and_then(|entry| entry.value).map(|value| value.to_vec()))
    }

    pub(super) async fn header(&self, key: &str) -> Result<Option<Header>, Stop> {
        Ok(self.get(key).await?.map(|entry| entry.header))
    }

    pub(super) async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Entry>>, Stop> {
        let_others_run().await;
        let keys = keys.iter().map(|key| key_of(key)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.store.read_many(&keys, Consistency::Linearizable).await?)
    }

    pub(super) async fn scan(&self, scan: &Scan) -> Result<Page, Stop> {
        let_others_run().await;
        Ok(self.store.scan(scan, Consistency::Linearizable).await?)
    }

    /// Follows `next` to the end of the range. The pages must get on: a cursor that stands still is a failure.
    pub(super) async fn pages(&self, mut scan: Scan) -> Result<Vec<Page>, Stop> {
        let mut pages = Vec::new();
        loop {
            let page = self.scan(&scan).await?;
            let next = page.next.clone();
            pages.push(page);
            let Some(next) = next else { return Ok(pages) };
            let moved = scan.after.as_ref().is_none_or(|last| if scan.reverse { next < *last } else { next > *last });
            if !moved {
                return Err(Stop::Failed(format!("the cursor went from {:?} to {next:?}, reverse: {}", scan.after, scan.reverse)));
            }
            scan.after = Some(next);
        }
    }

    /// All entries of a scan, page by page.
    pub(super) async fn entries(&self, scan: Scan) -> Result<Vec<Entry>, Stop> {
        Ok(self.pages(scan).await?.into_iter().flat_map(|page| page.entries).collect())
    }

    /// All that the store holds, in order.
    pub(super) async fn contents(&self) -> Result<Vec<Entry>, Stop> {
        self.entries(Scan::of(KeyRange::all())).await
    }

    /// Starts a writer that goes on from round to round while a case looks.
    pub(super) fn keep_writing<W>(&self, write: fn(Self, u64) -> W) -> Writing
    where
        W: Future<Output = Result<(), Stop>> + Send + 'static,
    {
        let (rounds, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let writer = tokio::spawn({
            let (bed, rounds, over) = (self.clone(), Arc::clone(&rounds), Arc::clone(&over));
            async move {
                while !over.load(Ordering::SeqCst) {
                    write(bed.clone(), rounds.fetch_add(1, Ordering::SeqCst)).await?;
                }
                Ok(())
            }
        });
        Writing { writer: Some(writer), rounds, over, looks: 0 }
    }

    /// Runs as many tasks as asked for at once, each with its number, and gives their answers in that order.
    pub(super) async fn race<T, F, R>(&self, tasks: usize, run: F) -> Result<Vec<T>, Stop>
    where
        T: Send + 'static,
        F: Fn(Self, usize) -> R,
        R: Future<Output = Result<T, Stop>> + Send + 'static,
    {
        let running: Vec<_> = (0..tasks).map(|number| tokio::spawn(run(self.clone(), number))).collect();
        let mut answers = Vec::with_capacity(tasks);
        for task in running {
            answers.push(joined(task).await?);
        }
        Ok(answers)
    }
}

/// A read may be answered without ever waiting. A loop of such reads would keep the writers it waits for from running at all.
async fn let_others_run() {
    tokio::task::yield_now().await;
}

/// A writer that goes on until it is ended, or dropped by a case that failed.
pub(super) struct Writing {
    writer: Option<JoinHandle<Result<(), Stop>>>,
    rounds: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    looks: u64,
}

impl Writing {
    /// The number of the next look; `None` once there were enough looks, and enough rounds between them for the looks to mean
    /// something, or the writer failed.
    pub(super) fn next_look(&mut self) -> Option<u64> {
        const LEAST: u64 = 200;
        let enough = self.looks >= LEAST && self.rounds.load(Ordering::SeqCst) >= LEAST;
        let writes = self.writer.as_ref().is_some_and(|writer| !writer.is_finished());
        self.looks += 1;
        (writes && !enough).then_some(self.looks)
    }

    pub(super) async fn end(mut self) -> Result<(), Stop> {
        self.over.store(true, Ordering::SeqCst);
        match self.writer.take() {
            Some(writer) => joined(writer).await,
            None => Ok(()),
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn joined<T>(task: JoinHandle<Result<T, Stop>>) -> Result<T, Stop> {
    task.await.map_err(|error| Stop::Failed(format!("a task of the case ended: {error}")))?
}

pub(super) fn key_of(text: &str) -> Result<Key, Stop> {
    Ok(Key::new(text)?)
}

#[expect(clippy::expect_used, reason = "cases name valid keys; a wrong one is a mistake in the suite")]
fn literal(text: &str) -> Key {
    Key::new(text).expect("cases name valid keys")
}

pub(super) fn put(key: &str, value: impl Into<Vec<u8>>) -> Item {
    Item { key: literal(key), mutation: Mutation::Put { value: Bytes::from(value.into()), ttl: None }, condition: None }
}

pub(super) fn put_ttl(key: &str, value: impl Into<Vec<u8>>, seconds: u64) -> Item {
    let ttl = Ttl::from_seconds(seconds).ok();
    Item { key: literal(key), mutation: Mutation::Put { value: Bytes::from(value.into()), ttl }, condition: None }
}

pub(super) fn delete(key: &str) -> Item {
    Item { key: literal(key), mutation: Mutation::Delete, condition: None }
}

pub(super) fn when(condition: Condition, item: Item) -> Item {
    Item { condition: Some(condition), ..item }
}

pub(super) fn at(revision: Revision, item: Item) -> Item {
    when(Condition::Revision(revision), item)
}

pub(super) fn if_absent(item: Item) -> Item {
    when(Condition::Absent, item)
}

pub(super) fn if_present(item: Item) -> Item {
    when(Condition::Present, item)
}

pub(super) fn batch(items: Vec<Item>, idempotency: Option<&str>) -> Result<Arc<WriteBatch>, Stop> {
    let idempotency = idempotency.map(IdempotencyKey::new).transpose()?;
    Ok(Arc::new(WriteBatch::new(items, idempotency)?))
}

pub(super) fn applied(outcome: Outcome) -> Result<Applied, Stop> {
    match outcome {
        Outcome::Applied(applied) => Ok(applied),
        other => Err(Stop::Failed(format!("expected the batch to be applied, found {other:?}"))),
    }
}

pub(super) fn refused(outcome: Outcome) -> Result<Vec<FailedCondition>, Stop> {
    match outcome {
        Outcome::ConditionFailed(failed) => Ok(failed),
        other => Err(Stop::Failed(format!("expected a failed condition, found {other:?}"))),
    }
}

pub(super) fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

/// Bytes that no codec can make smaller unseen and no text function can take: a pattern that depends on the length.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31).wrapping_add(at >> 8).wrapping_add(len) & 0xff) as u8).collect()
}

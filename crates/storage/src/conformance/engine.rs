//! The suite of engines: clauses E1 to E3, and what a committer relies on below a [`Store`](crate::Store).
//!
//! An engine brings an [`EngineFixture`]; [`run_all`] gives a fresh one to each case. Cases block, as engines do.

mod checkpoints;
mod grouping;
mod reclaiming;

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use kvstore_types::{Applied, Entry, Header, Item, Key, Outcome, Projection, Revision, Timestamp};

use super::{Report, Ruling, Stop, Verdict, bed, runner::CASE_SECONDS_MAX};
use crate::{Durability, Engine, Proposal, ReadTier};

/// An engine under test, with data of its own that no other case sees.
pub trait EngineFixture: Send + Sync + 'static {
    /// The engine's name, for the report.
    fn name(&self) -> &str;

    /// Opens the engine: empty at the first call, and with what it kept after that. The one before it was dropped.
    ///
    /// # Errors
    /// It can't be opened.
    fn open(&self) -> Result<Arc<dyn Engine>, Stop>;

    /// Whether the engine keeps its contents when it is opened again.
    fn keeps(&self) -> bool;

    /// A path at which nothing is, on the disk that the engine uses; another one at each call.
    fn new_path(&self) -> PathBuf;
}

/// Makes a fresh fixture for a case.
pub type EngineFactory<'a> = &'a dyn Fn() -> Arc<dyn EngineFixture>;

/// A case of the engine suite.
#[derive(Clone, Copy)]
pub struct EngineCase {
    /// What the engine must do, as a name.
    pub name: &'static str,
    /// The clauses that it holds the engine to.
    pub clauses: &'static [&'static str],
    run: fn(EngineBed) -> Result<(), Stop>,
}

/// Every case, in the order in which they run.
#[must_use]
pub fn cases() -> Vec<EngineCase> {
    [grouping::CASES, checkpoints::CASES, reclaiming::CASES].concat()
}

/// Runs every case, each in a thread of its own with a deadline. A panic or a hang is that case's failure.
#[must_use]
pub fn run_all(factory: EngineFactory<'_>) -> Report {
    let rulings = cases().iter().map(|case| Ruling { name: case.name, clauses: case.clauses, verdict: ruled(case, factory()) }).collect();
    Report { backend: format!("{} (engine)", factory().name()), rulings }
}

fn ruled(case: &EngineCase, fixture: Arc<dyn EngineFixture>) -> Verdict {
    let (answer, wait) = mpsc::channel();
    let run = case.run;
    let thread = std::thread::spawn(move || answer.send(EngineBed::on(fixture).and_then(run)));
    match wait.recv_timeout(Duration::from_secs(CASE_SECONDS_MAX)) {
        Ok(result) => result.into(),
        Err(mpsc::RecvTimeoutError::Timeout) => Verdict::Failed(format!("no end after {CASE_SECONDS_MAX} seconds")),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = thread.join().err().and_then(|panic| panic.downcast::<String>().ok());
            Verdict::Failed(format!("the case panicked: {}", panic.map_or_else(String::new, |message| *message)))
        }
    }
}

/// The table of a module's cases.
macro_rules! engine_cases {
    ($($name:ident: [$($clause:literal),+]),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::engine::EngineCase] = &[
            $($crate::conformance::engine::EngineCase { name: stringify!($name), clauses: &[$($clause),+], run: $name }),+
        ];
    };
}
use engine_cases;

/// An engine under test, with short words for what cases do to it.
struct EngineBed {
    fixture: Arc<dyn EngineFixture>,
    engine: Arc<dyn Engine>,
}

/// The time at which cases begin.
const START: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

impl EngineBed {
    fn on(fixture: Arc<dyn EngineFixture>) -> Result<Self, Stop> {
        let engine = fixture.open()?;
        Ok(Self { fixture, engine })
    }

    fn reopen(self) -> Result<Self, Stop> {
        let Self { fixture, engine } = self;
        if !fixture.keeps() {
            return Err(Stop::Skipped("the engine keeps nothing"));
        }
        engine.flush()?;
        drop(engine);
        Self::on(fixture)
    }

    /// Applies a group of batches, each with its idempotency key if it has one.
    fn group(&self, batches: Vec<(Vec<Item>, Option<&str>)>, meta: &[(&str, &[u8])]) -> Result<Vec<Outcome>, Stop> {
        let group = batches.into_iter().map(|(items, key)| proposal(items, key)).collect::<Result<Vec<_>, _>>()?;
        let outcomes = self.engine.apply(&group, START, meta, Durability::Synced)?;
        Ok(outcomes.into_iter().collect::<Result<_, _>>()?)
    }

    /// Applies one batch that must be applied.
    fn apply(&self, items: Vec<Item>) -> Result<Applied, Stop> {
        let outcome = self.group(vec![(items, None)], &[])?.pop().ok_or_else(|| Stop::Failed("no outcome".into()))?;
        bed::applied(outcome)
    }

    fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Result<Header, Stop> {
        let applied = self.apply(vec![bed::put(key, value)])?;
        applied.items.first().and_then(|item| item.header).ok_or_else(|| Stop::Failed(format!("a put of {key:?} gave no header")))
    }

    /// A key as it is at a time; from memory first, as a store reads.
    fn get_at(&self, key: &str, now: Timestamp) -> Result<Option<Entry>, Stop> {
        let key = Key::new(key)?;
        match self.engine.get(&key, Projection::Full, now, ReadTier::Memory) {
            Err(crate::EngineError::WouldBlock) => Ok(self.engine.get(&key, Projection::Full, now, ReadTier::Disk)?),
            near => Ok(near?),
        }
    }

    fn get(&self, key: &str) -> Result<Option<Entry>, Stop> {
        self.get_at(key, START)
    }

    fn value(&self, key: &str) -> Result<Option<Bytes>, Stop> {
        Ok(self.get(key)?.and_then(|entry| entry.value))
    }

    fn revision(&self, key: &str) -> Result<Revision, Stop> {
        Ok(self.get(key)?.map(|entry| entry.header.revision).unwrap_or_default())
    }

    /// All entries at a time.
    fn contents_at(&self, now: Timestamp) -> Result<Vec<Entry>, Stop> {
        Ok(self.engine.scan(&kvstore_types::Scan::of(kvstore_types::KeyRange::all()), now, ReadTier::Disk)?.entries)
    }

    fn contents(&self) -> Result<Vec<Entry>, Stop> {
        self.contents_at(START)
    }
}

fn proposal(items: Vec<Item>, idempotency: Option<&str>) -> Result<Proposal, Stop> {
    Ok(Proposal { batch: bed::batch(items, idempotency)?, hints: None })
}

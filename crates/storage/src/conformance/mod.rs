//! One suite for every backend: small named cases, each of which cites the clauses of the [`contract`](crate::contract) that it
//! holds a store to.
//!
//! A backend brings a [`Fixture`]; [`run_all`] gives a fresh one to each case. The suite treats a store as a black box: it knows
//! no backend, and engines are held to their own clauses in [`engine`]. It is public, so that stores in other crates can run it.

#![expect(clippy::indexing_slicing, reason = "a suite of tests: an index out of range fails the case that did it")]

mod atomicity;
mod bed;
mod check;
mod checkpoints;
mod conditions;
mod durability;
pub mod engine;
mod expiry;
mod idempotency;
mod nodes;
mod paging;
mod racing;
mod ranges;
mod reading;
mod report;
mod restoring;
mod runner;
mod versions;

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;

pub use self::{
    check::Stop,
    report::{Report, Ruling, Verdict},
    runner::{run_all, run_named},
};
use crate::{Checkpoint, ManualClock, Store};

/// A backend under test, with data of its own that no other case sees.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// The backend's name, for the report.
    fn name(&self) -> &str;

    /// The clock that the store runs on.
    fn clock(&self) -> &ManualClock;

    /// The store, open and empty at the first call; later calls give the same store.
    async fn store(&self) -> Result<Arc<dyn Store>, Stop>;

    /// Shuts the store down and opens the same data again. `None` where the backend keeps nothing.
    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop>;

    /// Opens the data as a crash of the process at this moment would leave it: without a shutdown. `None` where that can't be had.
    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop>;

    /// Opens another node on the same data, beside the first. `None` where one node owns its data.
    async fn second(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }

    /// Ends what a case leaves, its data included. The case's stores have been dropped.
    async fn close(&self) -> Result<(), Stop> {
        Ok(())
    }

    /// Opens a store from the files of a checkpoint, beside the one that it was taken from. `None` where that can't be had.
    async fn copy(&self, _checkpoint: Checkpoint) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }
}

/// Makes a fresh fixture for a case.
pub type Factory<'a> = &'a (dyn Fn() -> Arc<dyn Fixture> + Send + Sync);

type Running = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send>>;

/// A case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// What the store must do, as a name.
    pub name: &'static str,
    /// The clauses that it holds the store to.
    pub clauses: &'static [&'static str],
    run: fn(bed::Bed) -> Running,
}

/// Every case, in the order in which they run.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        atomicity::CASES,
        racing::CASES,
        reading::CASES,
        ranges::CASES,
        paging::CASES,
        conditions::CASES,
        versions::CASES,
        expiry::CASES,
        idempotency::CASES,
        durability::CASES,
        checkpoints::CASES,
        restoring::CASES,
        nodes::CASES,
    ]
    .concat()
}

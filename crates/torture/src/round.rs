//! One store through many crashes: load, let a crash happen, start again, compare with the journal, repeat what may be repeated.
//! How the crash happens is the caller's.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kvstore_client::Client;
use tokio::time::Instant;

use crate::journal::{Journal, Op};
use crate::verify::{Before, verify};
use crate::workload::{Counts, Load, Shared};
use crate::{observe, repeat};

/// The state that outlives a crash: ours.
#[derive(Default)]
pub(crate) struct Rounds {
    journal: Arc<Journal>,
    before: Before,
    pub(crate) faults: Vec<String>,
    /// All acknowledged requests.
    pub(crate) counts: Counts,
    pub(crate) repeats_answered: u64,
    pub(crate) repeats_unknown: u64,
    /// Requests that a crash left without an answer.
    pub(crate) unknown: u64,
}

/// A load in which some kind of request does not succeed for this long is broken.
pub(crate) const ALL_KINDS_MAX: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(10);

impl Rounds {
    /// Starts the load.
    pub(crate) fn load(&self, clients: &[Client]) -> Load {
        Load::start(clients, &self.journal)
    }

    /// Lets the load run for `least`, and on until every kind of request was acknowledged.
    pub(crate) async fn until_all_kinds(load: &Load, least: Duration) -> anyhow::Result<()> {
        tokio::time::sleep(least).await;
        Rounds::until_all_kinds_since(load, &Counts::default(), ALL_KINDS_MAX).await
    }

    /// Waits until every kind of request was acknowledged since `before` was counted.
    pub(crate) async fn until_all_kinds_since(load: &Load, before: &Counts, longest: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + longest;
        loop {
            let missing = load.shared.counts.missing_since(before);
            if missing.is_empty() {
                return Ok(());
            }
            let failures = load.shared.failures.lock().len();
            anyhow::ensure!(
                Instant::now() < deadline,
                "no {} acknowledged within {longest:?} ({failures} failures)",
                missing.join(", no ")
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the load after the crash, and takes its requests.
    pub(crate) async fn crashed(&mut self, load: Load) -> (Vec<Op>, Arc<Shared>) {
        let shared = load.end().await;
        (self.take(&shared), shared)
    }

    /// Ends the load of a store whose servers live on, and takes its requests.
    pub(crate) async fn drained(&mut self, load: Load) -> anyhow::Result<Vec<Op>> {
        let shared = load.drain().await?;
        Ok(self.take(&shared))
    }

    fn take(&mut self, shared: &Shared) -> Vec<Op> {
        let ops = self.journal.take();
        self.counts.add_all(&shared.counts);
        self.faults.append(&mut shared.faults.lock());
        self.unknown += ops.iter().filter(|op| matches!(op.answer, crate::journal::Answer::Unknown)).count() as u64;
        ops
    }

    /// Compares the store after a crash with what was asked for, then repeats idempotent requests.
    pub(crate) async fn check(&mut self, client: &Client, round: u32, ops: &[Op]) -> anyhow::Result<()> {
        let look = observe::look(client).await.with_context(|| format!("reading the store after crash {round}"))?;
        let faults = verify(&self.before, ops, &look.contents, look.during);
        self.faults.extend(faults.iter().map(|fault| format!("crash {round}: {fault}")));
        self.before = self.before.after(ops, &look.contents);
        let repeats = repeat::repeat(client, &self.journal, ops, &look.contents).await?;
        self.faults.extend(repeats.faults.iter().map(|fault| format!("crash {round}: {fault}")));
        self.repeats_answered += repeats.answered;
        self.repeats_unknown += repeats.unknown;
        Ok(())
    }

    /// The requests that the last check repeated, for a check of their own.
    pub(crate) fn take_repeats(&self) -> Vec<Op> {
        self.journal.take()
    }

    /// What was counted.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} acknowledged ({}); {} without an answer; repeated after a crash: {} answered before it, {} not",
            self.counts.total(),
            self.counts.text(),
            self.unknown,
            self.repeats_answered,
            self.repeats_unknown
        )
    }
}

//! The pump: takes batches from the source's thread and sends them, some at a time. Batches that share a key are sent one after the
//! other, so that of two lines with the same key the later one wins.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use foldhash::HashSet;
use kvstore_client::Client;
use kvstore_types::limits::{IMPORT_BATCHES_UNDER_WAY_MAX, IMPORT_FAULTS_SHOWN_MAX};
use tokio::{sync::mpsc::Receiver, task::JoinSet};

use super::{
    super::{
        outage::Outage,
        progress::{Amount, Progress},
        state_file::StateFile,
    },
    batcher::{Batch, Message, OnFault, Totals},
    send::{Failed, Sender, Sent},
    state::State,
};
use crate::shutdown::Signals;

/// How often progress is shown and the state saved.
const TICK: Duration = Duration::from_millis(500);

/// How an import ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done(Totals),
    /// By a signal.
    Interrupted(Totals),
}

/// Sends batches.
pub(super) struct Pump {
    sender: Arc<Sender>,
    state: State,
    file: Option<StateFile>,
    progress: Progress,
    under_way: JoinSet<(u64, Box<Batch>, Result<Sent, Failed>)>,
    under_way_max: usize,
    /// Keys of the batches under way.
    keys: HashSet<u64>,
    /// Batches that are stored while one before them is not, by their numbers, each with the count of what the server refused of it.
    ahead: BTreeMap<u64, (Box<Batch>, u64)>,
    next: u64,
    stored_up_to: u64,
    faults: u64,
    read: u64,
    failure: Option<anyhow::Error>,
}

impl Pump {
    pub(super) fn new(
        client: Client,
        outage: Outage,
        on_fault: OnFault,
        state: State,
        file: Option<StateFile>,
        progress: Progress,
    ) -> Self {
        let restores = state.restores();
        // A restored batch expects what the one before it was answered with.
        let under_way_max = if restores { 1 } else { IMPORT_BATCHES_UNDER_WAY_MAX };
        let sender = Sender::new(client, outage, on_fault, state.name.clone(), restores.then_some(state.applied_revision));
        Self {
            sender: Arc::new(sender),
            state,
            file,
            progress,
            under_way: JoinSet::new(),
            under_way_max,
            keys: HashSet::default(),
            ahead: BTreeMap::new(),
            next: 0,
            stored_up_to: 0,
            faults: 0,
            read: 0,
            failure: None,
        }
    }

    /// Runs until the source is at its end and all is stored, or something fails.
    pub(super) async fn run(&mut self, mut source: Receiver<Message>) -> anyhow::Result<Ending> {
        self.save()?;
        let mut signals = Signals::register().context("signals can't be caught")?;
        let mut ticks = tokio::time::interval(TICK);
        let mut waiting: Option<Box<Batch>> = None;
        let mut end: Option<anyhow::Result<Totals>> = None;
        let mut interrupted = false;
        let mut interrupted_again = false;
        while !interrupted_again {
            let stops = interrupted || self.failure.is_some();
            if !stops && waiting.as_ref().is_some_and(|batch| self.may_go(batch)) {
                self.start(waiting.take());
            }
            let takes = !stops && waiting.is_none() && end.is_none();
            if self.under_way.is_empty() && (stops || (end.is_some() && waiting.is_none())) {
                break;
            }
            tokio::select! {
                biased;
                _ = signals.next() => {
                    interrupted_again = interrupted;
                    interrupted = true;
                    // Those who wait for a server that is gone need not wait on.
                    self.sender.stop.cancel();
                }
                Some(done) = self.under_way.join_next() => self.ended(done?)?,
                message = source.recv(), if takes => match message {
                    Some(Message::Batch(batch)) => waiting = Some(batch),
                    Some(Message::Fault { place, reason }) => self.tell(&place, &reason),
                    Some(Message::Note(text)) => self.progress.teller().say(&text),
                    Some(Message::End(result)) => end = Some(result),
                    None => end = Some(Err(anyhow!("the thread that reads the input ended"))),
                },
                _ = ticks.tick() => {
                    self.show();
                    self.save()?;
                }
            }
        }
        self.conclude(end, interrupted)
    }

    fn conclude(&mut self, end: Option<anyhow::Result<Totals>>, interrupted: bool) -> anyhow::Result<Ending> {
        let reached = self.amount();
        self.progress.end(reached);
        self.save()?;
        if self.faults > IMPORT_FAULTS_SHOWN_MAX {
            let more = self.faults - IMPORT_FAULTS_SHOWN_MAX;
            self.progress.teller().say(&format!("{more} more could not be stored"));
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match end {
            Some(Err(error)) => Err(error),
            Some(Ok(_)) if !interrupted => Ok(Ending::Done(self.totals())),
            _ => Ok(Ending::Interrupted(self.totals())),
        }
    }

    /// Whether no batch was sent: there is nothing to go on with.
    pub(super) const fn has_sent_nothing(&self) -> bool {
        self.next == 0 && self.state.offset() == 0
    }

    /// What is certainly stored, and all before it.
    pub(super) fn totals(&self) -> Totals {
        self.state.totals()
    }

    fn amount(&self) -> Amount {
        Amount { entries: self.totals().entries, bytes: self.read }
    }

    fn show(&mut self) {
        let amount = self.amount();
        self.progress.at(amount);
    }

    /// Saves the state, if there is a file for it.
    fn save(&self) -> anyhow::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| self.state.save(file))
    }

    fn may_go(&self, batch: &Batch) -> bool {
        self.under_way.len() < self.under_way_max && batch.keys.iter().all(|key| !self.keys.contains(key))
    }

    fn start(&mut self, batch: Option<Box<Batch>>) {
        let Some(batch) = batch else { return };
        self.keys.extend(&batch.keys);
        let number = self.next;
        self.next += 1;
        self.send(number, batch);
    }

    fn send(&mut self, number: u64, batch: Box<Batch>) {
        let (sender, passed_over) = (Arc::clone(&self.sender), self.state.passed_over(&batch.stretch));
        self.under_way.spawn(async move {
            let result = sender.send(&batch, &passed_over).await;
            (number, batch, result)
        });
    }

    fn ended(&mut self, (number, batch, result): (u64, Box<Batch>, Result<Sent, Failed>)) -> anyhow::Result<()> {
        if let Ok(sent) = &result {
            for (line, reason) in &sent.refused {
                self.tell(&format!("{} {line}", batch.unit), reason);
            }
            if sent.rest_remains {
                self.state.pass_over(&batch.stretch, sent.refused.iter().map(|(line, _)| *line));
                self.save()?;
                self.send(number, batch);
                return Ok(());
            }
        }
        for key in &batch.keys {
            self.keys.remove(key);
        }
        match result {
            Ok(sent) => {
                let passed_over = self.state.passed_over(&batch.stretch).len();
                self.state.applied_revision = self.sender.applied().unwrap_or(self.state.applied_revision);
                self.ahead.insert(number, (batch, (sent.refused.len() + passed_over) as u64));
                while let Some((batch, refused)) = self.ahead.remove(&self.stored_up_to) {
                    self.stored_up_to += 1;
                    self.read = batch.read;
                    self.state.reached(batch.stretch, batch.totals, refused);
                }
            }
            // The first that failed is the cause; what failed after it may have been ended by it.
            Err(Failed::Stopped) => {}
            Err(failed) if self.failure.is_none() => {
                self.failure = Some(failed.explain(&batch));
                self.sender.stop.cancel();
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn tell(&mut self, place: &str, reason: &str) {
        self.faults += 1;
        if self.faults <= IMPORT_FAULTS_SHOWN_MAX {
            self.progress.teller().say(&format!("{place}: {reason}"));
        }
    }
}

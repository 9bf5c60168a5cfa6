//! Sending one batch until its outcome is known: again and again while the server is gone, and without the items that it refuses.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::anyhow;
use kvstore_client::{Client, ClientError, EncodedItems, Problem, WriteOutcome};
use kvstore_types::{IdempotencyKey, Revision};
use tokio_util::sync::CancellationToken;

use super::{
    super::{connect::explain, outage::Outage},
    batcher::{Batch, OnFault},
};
use crate::told::Told;

/// Hex digits of a batch's hash in its idempotency key.
const HASH_DIGITS: usize = 16;

/// What all batches of an import have in common.
pub(super) struct Sender {
    client: Client,
    outage: Outage,
    on_fault: OnFault,
    /// What the idempotency keys begin with.
    name: String,
    /// Where entries are restored: what the last batch was answered with, and the next one expects.
    applied: Option<AtomicU64>,
    /// Nothing is waited for any more.
    pub(super) stop: CancellationToken,
}

/// A batch is stored, less what was refused of it.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) refused: Vec<(u64, String)>,
    /// Nothing of it is stored yet: the rest is to be sent once it is noted what was refused.
    pub(super) rest_remains: bool,
}

/// A batch is not stored, or nobody knows.
#[derive(Debug)]
pub(super) enum Failed {
    /// It was given up while the server was away.
    Stopped,
    /// What the server said, and the lines that were sent.
    Server(ClientError, Vec<u64>),
}

impl Sender {
    pub(super) fn new(client: Client, outage: Outage, on_fault: OnFault, name: String, applied: Option<u64>) -> Self {
        Self { client, outage, on_fault, name, applied: applied.map(AtomicU64::new), stop: CancellationToken::new() }
    }

    /// Where entries are restored: what the next batch expects.
    pub(super) fn applied(&self) -> Option<u64> {
        self.applied.as_ref().map(|applied| applied.load(Ordering::Acquire))
    }

    /// Sends a batch without those of its lines that are to be passed over.
    pub(super) async fn send(&self, batch: &Batch, passed_over: &[u64]) -> Result<Sent, Failed> {
        let mut sent = Sent::default();
        let mut rest = (!passed_over.is_empty()).then(|| without(&batch.items, &batch.lines, |line| passed_over.contains(&line)));
        loop {
            let (items, lines) = rest.as_ref().map_or((&batch.items, &batch.lines), |(items, lines)| (items, lines));
            if items.is_empty() {
                break;
            }
            let Some(answer) = self.send_patiently(items, &self.key(batch, sent.refused.len())).await else { return Err(Failed::Stopped) };
            match answer {
                Ok(()) => break,
                Err(error) if is_stored_already(&error) => break,
                Err(error) if self.on_fault == OnFault::Skip => {
                    let faults = faults(&error).into_iter().flatten();
                    let refused: Vec<_> = faults.filter_map(|(at, why)| Some((*lines.get(at)?, why))).collect();
                    if refused.is_empty() {
                        return Err(Failed::Server(error, lines.clone()));
                    }
                    if self.applied.is_some() {
                        return Ok(Sent { refused, rest_remains: true });
                    }
                    rest = Some(without(items, lines, |line| refused.iter().any(|(refused, _)| *refused == line)));
                    sent.refused.extend(refused);
                }
                Err(error) => return Err(Failed::Server(error, lines.clone())),
            }
        }
        Ok(sent)
    }

    /// The same for the same part of the input at the same place of the same import, whenever it is sent.
    fn key(&self, batch: &Batch, refused: usize) -> String {
        let hash = batch.stretch.blake3.get(..HASH_DIGITS).unwrap_or_default();
        format!("{}-{}-{hash}-{refused}", self.name, batch.stretch.from)
    }

    /// What the server said in the end; `None` where the import was stopped before.
    async fn send_patiently(&self, items: &EncodedItems, key: &str) -> Option<Result<(), ClientError>> {
        let mut attempt = 1;
        loop {
            let error = match self.send_once(items, key).await {
                Ok(()) => {
                    self.outage.is_over();
                    return Some(Ok(()));
                }
                Err(error) => error,
            };
            let Some(wait) = self.outage.wait(&error, attempt) else { return Some(Err(error)) };
            attempt += 1;
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn send_once(&self, items: &EncodedItems, key: &str) -> Result<(), ClientError> {
        if let Some(applied) = &self.applied {
            let expected = Revision(applied.load(Ordering::Acquire));
            let answer = self.client.restore(expected, items).await?;
            applied.store(answer.applied_revision.0, Ordering::Release);
            return Ok(());
        }
        let key = IdempotencyKey::new(key).map_err(|error| ClientError::BadAnswer(error.to_string()))?;
        self.client.batch_encoded(items, Some(&key)).await.map(drop)
    }
}

/// Items and their lines without some.
fn without(items: &EncodedItems, lines: &[u64], leaves: impl Fn(u64) -> bool) -> (EncodedItems, Vec<u64>) {
    let stays: Vec<bool> = lines.iter().map(|line| !leaves(*line)).collect();
    let kept = lines.iter().zip(&stays).filter(|(_, stays)| **stays).map(|(line, _)| *line).collect();
    (items.filter(|at| stays.get(at).copied().unwrap_or(true)), kept)
}

/// Whether the server had this batch before, from the import that goes on here: since then its entries have less time to live, or none,
/// so that the items are others. They were right when they were stored, and are not stored again.
fn is_stored_already(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { problem } if problem.kind.ends_with("idempotency-mismatch"))
}

/// The items that the server found fault with; `None` where it found fault with anything else.
fn faults(error: &ClientError) -> Option<Vec<(usize, String)>> {
    let ClientError::Refused { problem } = error else { return None };
    let faults: Option<Vec<_>> =
        problem.errors.iter().map(|fault| Some((position(fault.pointer.as_deref()?)?, fault.detail.clone()))).collect();
    faults.filter(|faults| !faults.is_empty())
}

/// The position of an item from a JSON pointer into the batch.
fn position(pointer: &str) -> Option<usize> {
    pointer.strip_prefix("/items/")?.split('/').next()?.parse().ok()
}

impl Failed {
    pub(super) fn explain(self, batch: &Batch) -> anyhow::Error {
        let Self::Server(error, lines) = self else { return anyhow!("the import was stopped while the server was away") };
        if let (Some(faults), ClientError::Refused { problem }) = (faults(&error), &error) {
            return Told::of(&error, named(&faults, batch.unit, &lines, problem));
        }
        let (first, count) = (lines.first().copied().unwrap_or(batch.totals.lines), lines.len());
        let became = match error.outcome() {
            WriteOutcome::NotApplied => "it was not stored",
            WriteOutcome::Unknown => "whether it was stored is not known",
        };
        let explained = explain(error);
        let text = format!("the batch of {count} items from {} {first} on failed, {became}: {explained:#}", batch.unit);
        Told::again(&explained, text)
    }
}

/// The first faults with their lines.
fn named(faults: &[(usize, String)], unit: &str, lines: &[u64], problem: &Problem) -> String {
    const SHOWN: usize = 5;
    let named = faults.iter().take(SHOWN).map(|(at, why)| format!("{unit} {}: {why}", lines.get(*at).copied().unwrap_or_default()));
    let mut text = named.collect::<Vec<_>>().join("\n  ");
    if faults.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", faults.len() - SHOWN));
    }
    text.push_str(&format!("; the server refused the batch (HTTP {}), and nothing of it is stored; mend it, or pass over what can't be stored with --skip-invalid", problem.status));
    text
}

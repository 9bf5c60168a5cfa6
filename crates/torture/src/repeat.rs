//! Repeating idempotent requests after a restart: each must have been applied once at most, and an answer must come again as it was.

use std::collections::HashMap;

use kvstore_client::Client;

use crate::journal::{Answer, Journal, Op};
use crate::value;
use crate::verify::{Contents, Fault, FaultKind};
use crate::workload::request::{self, Answered};

/// Requests that are repeated after one restart, at most.
const REPEATS_MAX: usize = 24;

/// What the repeats showed.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    pub(crate) faults: Vec<Fault>,
    /// Requests whose first answer came before the crash.
    pub(crate) answered: u64,
    /// Requests that the crash left without an answer.
    pub(crate) unknown: u64,
}

/// Repeats the newest idempotent requests among `ops`, of which `now` shows the effects. What a repeat applies is in `journal`.
pub(crate) async fn repeat(client: &Client, journal: &Journal, ops: &[Op], now: &Contents) -> anyhow::Result<Repeats> {
    let visible: HashMap<u64, u64> = now.values().filter_map(|seen| Some((value::author(&seen.value)?.0, seen.revision))).collect();
    let mut repeats = Repeats::default();
    let repeatable = ops.iter().rev().filter(|op| op.idempotency.is_some() && !matches!(op.answer, Answer::NotApplied));
    for op in repeatable.take(REPEATS_MAX) {
        let ticket = journal.begin(Some(op.id), op.writes.clone(), None, op.idempotency.clone());
        let answered = request::send(client, op).await?;
        let first = First::of(op, visible.get(&op.id).copied());
        match first {
            First::Answered(_) => repeats.answered += 1,
            First::Visible(_) | First::Hidden => repeats.unknown += 1,
        }
        if answered.replayed {
            // It took effect before, under its first entry in the journal; this one must leave no trace.
            journal.not_applied(ticket);
        } else {
            journal.applied(ticket, Some(answered.revision));
        }
        if let Some(detail) = judge(first, &answered) {
            let key = op.writes.first().map(|write| write.key.clone()).unwrap_or_default();
            repeats.faults.push(Fault { kind: FaultKind::AppliedTwice, key, detail: format!("operation {}: {detail}", op.id) });
        }
    }
    Ok(repeats)
}

/// What is known of the first try.
#[derive(Debug, Clone, Copy)]
enum First {
    Answered(u64),
    /// Without an answer, but its value is there.
    Visible(u64),
    /// Without an answer, and without a trace: it may have been replaced since.
    Hidden,
}

impl First {
    fn of(op: &Op, visible: Option<u64>) -> First {
        match (op.answer, visible) {
            (Answer::Applied { revision: Some(revision), .. }, _) => First::Answered(revision),
            (_, Some(revision)) => First::Visible(revision),
            (_, None) => First::Hidden,
        }
    }
}

fn judge(first: First, answered: &Answered) -> Option<String> {
    let again = answered.revision;
    match first {
        First::Hidden => None,
        First::Answered(revision) | First::Visible(revision) if !answered.replayed => {
            Some(format!("applied as revision {revision}, and its repeat was applied as {again}"))
        }
        First::Answered(revision) | First::Visible(revision) if again != revision => {
            Some(format!("applied as revision {revision}, and its repeat was answered {again}"))
        }
        First::Answered(_) | First::Visible(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_application_is_found() {
        let replayed = |revision| Answered { revision, created: true, replayed: true };
        let fresh = |revision| Answered { revision, created: false, replayed: false };
        for first in [First::Answered(7), First::Visible(7)] {
            assert_eq!(judge(first, &replayed(7)), None);
            assert!(judge(first, &fresh(8)).is_some(), "{first:?} applied again");
            assert!(judge(first, &replayed(8)).is_some(), "{first:?} with another answer");
        }
        assert_eq!(judge(First::Hidden, &replayed(7)), None);
        assert_eq!(judge(First::Hidden, &fresh(8)), None);
    }
}

//! What a record shows: whether enough happened for it to show anything, and whether one order explains it.

use std::path::Path;
use std::time::Duration;

use super::recorder::{Record, is_success};
use crate::linear::{self, Answer, Call, Operation};

/// A time in which something was broken, by the recording's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// A record with less shows nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Successful operations.
    pub(crate) successes: usize,
    /// Of these, as many were under way while something was broken.
    pub(crate) in_trouble: usize,
}

/// What was counted, for a sum over many records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) histories: u32,
    pub(crate) reads: usize,
    pub(crate) writes: usize,
    pub(crate) conditional: usize,
    pub(crate) refused: usize,
    pub(crate) in_trouble: usize,
    pub(crate) unknown: usize,
    /// The longest that a successful operation took, in nanoseconds.
    pub(crate) slowest: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.histories += other.histories;
        self.reads += other.reads;
        self.writes += other.writes;
        self.conditional += other.conditional;
        self.refused += other.refused;
        self.in_trouble += other.in_trouble;
        self.unknown += other.unknown;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// "histories: 3, with 12 reads, ..."
    pub(crate) fn text(&self) -> String {
        format!(
            "histories: {}, with {} reads, {} writes, {} conditional writes, {} refused; {} of these amid faults, the slowest in {:.2?}; {} unknown",
            self.histories,
            self.reads,
            self.writes,
            self.conditional,
            self.refused,
            self.in_trouble,
            Duration::from_nanos(self.slowest),
            self.unknown
        )
    }

    fn count<'a>(operations: impl Iterator<Item = &'a Operation>) -> Tally {
        let mut tally = Tally::default();
        for operation in operations {
            if is_success(operation) {
                tally.slowest = tally.slowest.max(operation.returned.saturating_sub(operation.invoked));
            }
            match (operation.call, operation.answer) {
                (Call::Get, Answer::Unknown) | (_, Answer::NotApplied) => {}
                (_, Answer::Unknown) => tally.unknown += 1,
                (_, Answer::Refused { .. }) => tally.refused += 1,
                (Call::Get, _) => tally.reads += 1,
                (Call::Put { condition: Some(_), .. } | Call::Delete { condition: Some(_) }, _) => tally.conditional += 1,
                (Call::Put { .. } | Call::Delete { .. }, _) => tally.writes += 1,
            }
        }
        tally
    }

    const fn successes(&self) -> usize {
        self.reads + self.writes + self.conditional + self.refused
    }
}

impl Record {
    /// Judges the record. What is wrong goes to `faults`; a record with a fault is kept in `keep`.
    pub(crate) fn judge(&self, spans: &[Span], needs: Needs, keep: &Path, faults: &mut Vec<String>) -> Tally {
        let known = faults.len();
        let amid = |operation: &&Operation| {
            is_success(operation) && spans.iter().any(|span| operation.invoked >= span.from && operation.returned <= span.to)
        };
        let amid = Tally::count(self.operations.iter().filter(amid));
        let tally = Tally { histories: 1, in_trouble: amid.successes(), ..Tally::count(self.operations.iter()) };
        faults.extend(self.odd.iter().cloned());
        for (found, needed, what) in [(tally.successes(), needs.successes, "in all"), (amid.successes(), needs.in_trouble, "amid faults")] {
            if found < needed {
                faults.push(format!("only {found} operations succeeded {what}, and a history needs {needed} to show anything"));
            }
        }
        for (found, what) in [(amid.reads, "read"), (amid.writes, "write"), (amid.conditional, "conditional write")] {
            if found == 0 && needs.in_trouble > 0 {
                faults.push(format!("no {what} succeeded amid faults"));
            }
        }
        faults.extend(linear::check(&self.operations).iter().map(ToString::to_string));
        if faults.len() > known {
            self.keep(keep, faults);
        }
        tally
    }

    /// Writes the operations down for a person to look at.
    fn keep(&self, path: &Path, faults: &mut Vec<String>) {
        let lines: String = self.operations.iter().map(|operation| format!("{} {operation}\n", operation.key)).collect();
        match std::fs::write(path, lines) {
            Ok(()) => faults.push(format!("the history is in {}", path.display())),
            Err(error) => faults.push(format!("the history could not be kept in {}: {error}", path.display())),
        }
    }
}

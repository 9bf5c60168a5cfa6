//! `Violation`: the operations around the first answer that no order explains, for a person to read.

use std::fmt;

use super::operation::{Answer, Call, Operation};
use super::past::Past;
use super::register::Register;
use super::search::Stuck;

#[derive(Debug)]
pub(crate) struct Violation {
    key: String,
    /// The answer that can't be explained.
    pub(crate) offender: Option<Operation>,
    /// What the key held, in the orders that explain everything before.
    registers: Vec<Register>,
    /// The end of such an order.
    before: Vec<Operation>,
    /// Whatever ran at the same time, and is not among those before.
    beside: Vec<Operation>,
    /// Who wrote what the offender was answered.
    writer: Option<Operation>,
    operations: usize,
    unanswered: usize,
}

/// Operations beside the offender that are told.
const BESIDE_MAX: usize = 16;

impl Violation {
    pub(super) fn of(key: &str, operations: &[&Operation], past: &Past, stuck: &Stuck) -> Violation {
        let at = |origin: &usize| operations.get(*origin).map(|operation| (*operation).clone());
        let offender = stuck.origin.as_ref().and_then(at);
        let beside = operations.iter().enumerate().filter(|(origin, operation)| {
            offender.as_ref().is_some_and(|offender| overlap(operation, offender))
                && stuck.origin != Some(*origin)
                && !stuck.order.contains(origin)
                && operation.answer != Answer::NotApplied
        });
        Violation {
            key: key.to_owned(),
            beside: beside.map(|(_, operation)| (*operation).clone()).collect(),
            writer: offender.as_ref().and_then(|offender| writer(operations, offender)),
            offender,
            registers: stuck.registers.clone(),
            before: stuck.order.iter().filter_map(at).collect(),
            operations: operations.len(),
            unanswered: past.alike.iter().map(|alike| alike.open.len()).sum(),
        }
    }
}

/// Whether two operations ran at the same time. One without an answer may still have been under way long after; it is told if it
/// began while the other ran.
fn overlap(operation: &Operation, offender: &Operation) -> bool {
    let ended = operation.end().unwrap_or(operation.returned);
    operation.invoked <= offender.returned && ended >= offender.invoked
}

/// The put whose value, or revision, the offender was shown.
fn writer(operations: &[&Operation], offender: &Operation) -> Option<Operation> {
    let is_writer = |operation: &Operation| match (offender.answer, operation.call, operation.answer) {
        (Answer::Found { value, .. }, Call::Put { value: written, .. }, _) => value == written,
        (Answer::Refused { current: Some(current) }, Call::Put { .. }, Answer::Stored { revision, .. }) => current == revision,
        _ => false,
    };
    operations.iter().find(|operation| is_writer(operation)).map(|operation| (*operation).clone())
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no order of its {} operations explains the answers ({} without one)", self.key, self.operations, self.unanswered)?;
        for operation in &self.before {
            write!(f, "\n      {operation}")?;
        }
        for (n, register) in self.registers.iter().enumerate() {
            write!(f, "\n    {} {register}", if n == 0 { "then the key is" } else { "             or" })?;
        }
        if let Some(offender) = &self.offender {
            write!(f, "\n    > {offender}")?;
        }
        if let Some(writer) = &self.writer {
            write!(f, "\n    written by\n      {writer}")?;
        }
        if !self.beside.is_empty() {
            f.write_str("\n    at the same time")?;
        }
        for operation in self.beside.iter().take(BESIDE_MAX) {
            write!(f, "\n      {operation}")?;
        }
        if self.beside.len() > BESIDE_MAX {
            write!(f, "\n      and {} more", self.beside.len() - BESIDE_MAX)?;
        }
        Ok(())
    }
}

//! Whether what clients were answered can be explained by one order of their requests: linearizability (Herlihy and Wing, 1990).
//!
//! Keys are independent, so each is checked alone (Horn and Kroening, 2015). The search is that of Wing and Gong (1993), with the
//! places that it has seen remembered (Lowe, 2017). It knows operations with their times and answers, and nothing of servers.

#[cfg(test)]
mod brute_force;
mod operation;
mod past;
mod place;
#[cfg(test)]
mod property;
mod register;
mod search;
#[cfg(test)]
mod tests;
mod violation;

use std::collections::BTreeMap;

pub(crate) use operation::{Answer, Call, Condition, Operation};
pub(crate) use violation::Violation;

/// Places that a search looks at before it gives up on a key.
const PLACES_MAX: usize = 2_000_000;

/// Why a history is not accepted.
#[derive(Debug)]
pub(crate) enum Fault {
    /// No order explains the answers.
    NotLinearizable(Box<Violation>),
    /// The search was given up: nothing is shown.
    Undecided { key: String },
}

/// Checks every key's operations. One fault for each key that has any.
pub(crate) fn check(operations: &[Operation]) -> Vec<Fault> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys.into_iter().filter_map(|(key, operations)| check_key(key, &operations)).collect()
}

fn check_key(key: &str, operations: &[&Operation]) -> Option<Fault> {
    let past = past::Past::of(operations);
    match search::search(&past, PLACES_MAX) {
        search::Found::Order => None,
        search::Found::None(stuck) => Some(Fault::NotLinearizable(Box::new(Violation::of(key, operations, &past, &stuck)))),
        search::Found::GaveUp => Some(Fault::Undecided { key: key.to_owned() }),
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::NotLinearizable(violation) => violation.fmt(f),
            Fault::Undecided { key } => write!(f, "{key}: undecided after {PLACES_MAX} places"),
        }
    }
}

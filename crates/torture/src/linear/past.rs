//! `Past`: one key's operations, made ready for the search: those that took effect, and those that may have.

use std::collections::HashMap;

use super::operation::{Answer, Call, Operation};

/// An operation that took effect between its two times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    /// Its place in the list of operations that the past was made of.
    pub(super) origin: usize,
    pub(super) call: Call,
    pub(super) answer: Answer,
    pub(super) invoked: u64,
    pub(super) returned: u64,
}

/// An operation that took effect at any time after this one, or never.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) origin: usize,
    pub(super) invoked: u64,
}

/// Open operations that do the same, by their times. Nobody saw which of them it was, so they are used in this order: that is as
/// good as any other order of them.
#[derive(Debug)]
pub(super) struct Alike {
    pub(super) call: Call,
    pub(super) open: Vec<Open>,
}

#[derive(Debug)]
pub(super) struct Past {
    /// By their times of invocation.
    pub(super) settled: Vec<Settled>,
    pub(super) alike: Vec<Alike>,
}

impl Settled {
    /// The revision of a put.
    pub(super) const fn stored(&self) -> Option<u64> {
        match self.answer {
            Answer::Stored { revision, .. } => Some(revision),
            _ => None,
        }
    }
}

/// What a read showed of a value.
struct Sight {
    version: u64,
    revision: u64,
    returned: u64,
}

impl Past {
    pub(super) fn of(operations: &[&Operation]) -> Past {
        let sights = sights(operations);
        let mut past = Past { settled: Vec::new(), alike: Vec::new() };
        for (origin, operation) in operations.iter().enumerate() {
            let Operation { call, answer, invoked, returned, .. } = **operation;
            let settled = Settled { origin, call, answer, invoked, returned };
            match (answer, call) {
                (Answer::NotApplied, _) | (Answer::Unknown, Call::Get) => {}
                (Answer::Unknown, Call::Put { value, .. }) => match sights.get(&value) {
                    // It was seen, so it took effect, and before that read was over.
                    Some(sight) => past.settled.push(Settled {
                        answer: Answer::Stored { version: sight.version, revision: sight.revision },
                        returned: sight.returned.max(invoked),
                        ..settled
                    }),
                    None => past.add_open(unseen(call), Open { origin, invoked }),
                },
                (Answer::Unknown, Call::Delete { .. }) => past.add_open(call, Open { origin, invoked }),
                _ => past.settled.push(settled),
            }
        }
        past.settled.sort_by_key(|settled| settled.invoked);
        past.alike.iter_mut().for_each(|alike| alike.open.sort_by_key(|open| open.invoked));
        past
    }

    fn add_open(&mut self, call: Call, open: Open) {
        match self.alike.iter_mut().find(|alike| alike.call == call) {
            Some(alike) => alike.open.push(open),
            None => self.alike.push(Alike { call, open: vec![open] }),
        }
    }
}

/// The value of all puts that nobody saw.
pub(super) const UNSEEN: u64 = u64::MAX;

fn unseen(call: Call) -> Call {
    match call {
        Call::Put { condition, .. } => Call::Put { value: UNSEEN, condition },
        call => call,
    }
}

/// The read of each value that was over first.
fn sights(operations: &[&Operation]) -> HashMap<u64, Sight> {
    let mut sights: HashMap<u64, Sight> = HashMap::new();
    for operation in operations {
        if let Answer::Found { value, version, revision } = operation.answer {
            let sight = Sight { version, revision, returned: operation.returned };
            match sights.get(&value) {
                Some(earlier) if earlier.returned <= sight.returned => {}
                _ => drop(sights.insert(value, sight)),
            }
        }
    }
    sights
}

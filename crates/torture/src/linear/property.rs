//! Random histories: what a register really did is accepted whatever the overlap; what it can't have done is refused; and on small
//! histories the search says the same as trying every order.

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use super::operation::{Answer, Call, Condition, Operation};
use super::{brute_force, check};

/// What one step of an execution is made of.
#[derive(Debug, Clone, Copy)]
struct Step {
    kind: u8,
    /// How long before and after its moment the request was under way.
    lead: u64,
    tail: u64,
    fate: u8,
}

fn step(overlap: u64) -> impl Strategy<Value = Step> {
    (0..8_u8, 0..overlap, 0..overlap, 0..12_u8).prop_map(|(kind, lead, tail, fate)| Step { kind, lead, tail, fate })
}

/// A register that does one thing after the other, and tells the truth.
#[derive(Default)]
struct Actor {
    state: Option<(u64, u64, u64)>,
    revision: u64,
    operations: Vec<Operation>,
}

/// Moments of an execution lie this far apart.
const APART: u64 = 10;

impl Actor {
    fn act(steps: &[Step]) -> Vec<Operation> {
        let mut actor = Actor::default();
        for (n, step) in steps.iter().enumerate() {
            actor.step(n as u64, *step);
        }
        actor.operations
    }

    fn step(&mut self, n: u64, step: Step) {
        let value = n + 1;
        let current = self.state.map(|(_, _, revision)| revision);
        let call = match step.kind {
            0..3 => Call::Get,
            3 => Call::Put { value, condition: None },
            4 => Call::Put { value, condition: Some(Condition::Absent) },
            5 => Call::Put { value, condition: current.map(Condition::Revision) },
            6 => Call::Put { value, condition: Some(Condition::Revision(self.revision.saturating_sub(1))) },
            _ => Call::Delete { condition: None },
        };
        let moment = 1_000 + n * APART;
        let answer = match step.fate {
            0 => Answer::Unknown,
            1 => Answer::NotApplied,
            _ => self.answer(call),
        };
        // Of the requests without an answer, half were applied.
        if step.fate == 0 && step.tail.is_multiple_of(2) {
            self.answer(call);
        }
        let (invoked, returned) = (moment - step.lead, moment + step.tail);
        self.operations.push(Operation { client: 0, key: "k".into(), call, answer, invoked, returned });
    }

    fn answer(&mut self, call: Call) -> Answer {
        let current = self.state.map(|(_, _, revision)| revision);
        let (Call::Put { condition, .. } | Call::Delete { condition }) = call else {
            return self.state.map_or(Answer::Absent, |(value, version, revision)| Answer::Found { value, version, revision });
        };
        let holds = match condition {
            None => true,
            Some(Condition::Absent) => current.is_none(),
            Some(Condition::Present) => current.is_some(),
            Some(Condition::Revision(revision)) => current == Some(revision),
        };
        match call {
            _ if !holds => Answer::Refused { current },
            Call::Put { value, .. } => {
                self.revision += 2;
                let version = self.state.map_or(1, |(_, version, _)| version + 1);
                self.state = Some((value, version, self.revision));
                Answer::Stored { version, revision: self.revision }
            }
            _ if self.state.take().is_some() => {
                self.revision += 2;
                Answer::Deleted
            }
            _ => Answer::Absent,
        }
    }
}

/// Changes an answer to one of another kind or time; it may still be right.
fn mutate(operations: &mut [Operation], at: prop::sample::Index, how: u8) {
    let donors: Vec<Answer> = operations.iter().map(|operation| operation.answer).collect();
    let operation = &mut operations[at.index(donors.len())];
    operation.answer = match (operation.answer, how) {
        (Answer::Found { value, version, revision }, 0) => Answer::Found { value, version: version + 1, revision },
        (Answer::Found { .. }, 1) => Answer::Absent,
        (Answer::Stored { version, revision }, 0) => Answer::Stored { version, revision: revision + 1 },
        (Answer::Stored { .. }, 1) => Answer::NotApplied,
        (Answer::Stored { .. }, 2) => Answer::Unknown,
        (Answer::Deleted, _) => Answer::Absent,
        (Answer::Absent, 0) if matches!(operation.call, Call::Delete { .. }) => Answer::Deleted,
        (_, _) if operation.call == Call::Get => {
            *donors.iter().rev().find(|answer| matches!(answer, Answer::Found { .. })).unwrap_or(&Answer::Absent)
        }
        (answer, _) => answer,
    };
}

fn config(cases: u32) -> Config {
    Config { cases, failure_persistence: Some(Box::new(FileFailurePersistence::Off)), max_shrink_iters: 2_000, ..Config::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_a_register_did_is_accepted(steps in prop::collection::vec(step(90), 1..200)) {
        let faults = check(&Actor::act(&steps));
        prop_assert!(faults.is_empty(), "{}", faults[0]);
    }

    #[test]
    fn a_version_or_revision_that_the_writer_was_not_told_is_refused(
        steps in prop::collection::vec(step(40), 1..100), at: prop::sample::Index, revision: bool,
    ) {
        let mut operations = Actor::act(&steps);
        let told: Vec<u64> = operations.iter().filter_map(|operation| match (operation.call, operation.answer) {
            (Call::Put { value, .. }, Answer::Stored { .. }) => Some(value),
            _ => None,
        }).collect();
        let is_read = |operation: &&mut Operation| matches!(operation.answer, Answer::Found { value, .. } if told.contains(&value));
        let mut reads: Vec<&mut Operation> = operations.iter_mut().filter(is_read).collect();
        prop_assume!(!reads.is_empty());
        let place = at.index(reads.len());
        if let Answer::Found { version: old_version, revision: old_revision, .. } = &mut reads[place].answer {
            *(if revision { old_revision } else { old_version }) += 1;
        }
        prop_assert!(!check(&operations).is_empty(), "accepted: {operations:#?}");
    }

    #[test]
    fn a_read_of_what_was_replaced_before_it_began_is_refused(steps in prop::collection::vec(step(40), 3..100), at: prop::sample::Index) {
        let mut operations = Actor::act(&steps);
        let puts: Vec<(u64, u64, u64, u64, u64)> = operations.iter().filter_map(|operation| match (operation.call, operation.answer) {
            (Call::Put { value, .. }, Answer::Stored { version, revision }) => {
                Some((value, version, revision, operation.invoked, operation.returned))
            }
            _ => None,
        }).collect();
        // A value, and when it was certainly replaced.
        let stale = |invoked: u64| puts.windows(2).filter(move |pair| pair[1].4 < invoked).map(|pair| pair[0]).next_back();
        let mut reads: Vec<&mut Operation> = operations
            .iter_mut()
            .filter(|operation| operation.call == Call::Get && operation.end().is_some() && stale(operation.invoked).is_some())
            .collect();
        prop_assume!(!reads.is_empty());
        let place = at.index(reads.len());
        let (value, version, revision, _, _) = stale(reads[place].invoked).unwrap();
        reads[place].answer = Answer::Found { value, version, revision };
        prop_assert!(!check(&operations).is_empty(), "accepted: {operations:#?}");
    }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn the_search_says_what_trying_every_order_says(
        steps in prop::collection::vec(step(60), 1..7),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 0..3),
    ) {
        let mut operations = Actor::act(&steps);
        for (at, how) in mutations {
            mutate(&mut operations, at, how);
        }
        let expected = brute_force::is_linearizable(&operations);
        prop_assert_eq!(check(&operations).is_empty(), expected, "{:#?}", operations);
    }
}

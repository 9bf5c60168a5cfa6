//! What a task of a recording asks for next: reads, puts, deletes, and puts and deletes on a condition that it believes to hold.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::linear::{Answer, Call, Condition};

/// Chooses for one task.
pub(super) struct Chooser {
    random: SmallRng,
    /// What this task last learned of each key: its revision, or that it is absent.
    known: Vec<Option<u64>>,
}

/// How long a task waits after a failure, at least, so that a server that comes back is not flooded.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

impl Chooser {
    pub(super) fn new(keys: usize) -> Chooser {
        Chooser { random: SmallRng::from_os_rng(), known: vec![None; keys] }
    }

    /// A key, by its place, and what is asked of it. `value` makes a value that nobody has written.
    pub(super) fn choose(&mut self, value: impl FnOnce() -> u64) -> (usize, Call) {
        let key = self.below(self.known.len());
        let known = self.known.get(key).copied().flatten();
        let holds = known.map_or(Condition::Absent, Condition::Revision);
        let call = match self.random.random_range(0..100) {
            0..45 => Call::Get,
            45..60 => Call::Put { value: value(), condition: None },
            60..85 => Call::Put { value: value(), condition: Some(holds) },
            85..88 => Call::Put { value: value(), condition: Some(Condition::Absent) },
            88..90 => Call::Put { value: value(), condition: Some(Condition::Present) },
            90..96 => Call::Delete { condition: None },
            _ => Call::Delete { condition: known.map(Condition::Revision) },
        };
        (key, call)
    }

    /// Remembers what an answer told of a key.
    pub(super) fn learn(&mut self, key: usize, answer: Answer) {
        let Some(known) = self.known.get_mut(key) else {
            return;
        };
        match answer {
            Answer::Found { revision, .. } | Answer::Stored { revision, .. } => *known = Some(revision),
            Answer::Refused { current } => *known = current,
            Answer::Absent | Answer::Deleted => *known = None,
            Answer::Unknown | Answer::NotApplied => {}
        }
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        self.random.random_range(0..count.max(1))
    }

    pub(super) fn pause(&mut self, longest: Duration, answer: Answer) -> Duration {
        let pause = longest.mul_f64(self.random.random());
        if matches!(answer, Answer::Unknown | Answer::NotApplied) { pause.max(AFTER_FAILURE) } else { pause }
    }
}

//! What a task asks for next. Keys are shared by all tasks and few, so that requests meet.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::counts::Kind;
use super::request::Answered;
use crate::journal::{Change, Op, Write};

/// One request, not yet numbered.
pub(crate) struct Choice {
    pub(crate) kind: Kind,
    pub(crate) writes: Vec<Write>,
    pub(crate) if_match: Option<u64>,
    pub(crate) idempotency: Option<String>,
}

/// Chooses for one task.
pub(crate) struct Chooser {
    random: SmallRng,
    /// The revisions that this task was last answered.
    revisions: HashMap<String, u64>,
}

const KEYS: u32 = 400;

/// What all keys of the load begin with. Other keys are none of its business.
pub(crate) const PREFIX: &str = "torture/";

/// A batch writes up to this many keys.
const BATCH_MAX: u32 = 24;

/// A life that ends within a run.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// A life that does not.
const LONG_LIFE: Duration = Duration::from_secs(3_600);

impl Chooser {
    pub(crate) fn new() -> Chooser {
        Chooser { random: SmallRng::from_os_rng(), revisions: HashMap::new() }
    }

    pub(crate) fn choose(&mut self) -> Choice {
        match self.random.random_range(0..100) {
            0..25 => self.one(Kind::Put, 20..2_000, None),
            25..40 => self.conditional(),
            40..52 => Choice {
                kind: Kind::Delete,
                writes: vec![Write { key: self.key(), change: Change::Delete }],
                if_match: None,
                idempotency: None,
            },
            52..66 => self.batch(None),
            66..76 => self.idempotent(),
            // Values of more than 4 KiB are stored apart from their keys.
            76..88 => self.one(Kind::Large, 4_097..60_000, None),
            _ => {
                let life = if self.random.random_bool(0.5) { SHORT_LIFE } else { LONG_LIFE };
                self.one(Kind::Expiring, 20..6_000, Some(life))
            }
        }
    }

    /// Remembers the revisions of an answer, for conditions.
    pub(crate) fn learn(&mut self, op: &Op, answered: &Answered) {
        for write in &op.writes {
            match write.change {
                Change::Put { .. } => self.revisions.insert(write.key.clone(), answered.revision),
                Change::Delete => self.revisions.remove(&write.key),
            };
        }
    }

    fn one(&mut self, kind: Kind, lengths: std::ops::Range<usize>, ttl: Option<Duration>) -> Choice {
        let length = self.random.random_range(lengths);
        let writes = vec![Write { key: self.key(), change: Change::Put { length, ttl } }];
        Choice { kind, writes, if_match: None, idempotency: None }
    }

    /// A put of a key that this task wrote, if nobody wrote it since.
    fn conditional(&mut self) -> Choice {
        let newest = self.revisions.iter().max_by_key(|(_, revision)| **revision);
        let Some((key, revision)) = newest.map(|(key, revision)| (key.clone(), *revision)) else {
            return self.one(Kind::Put, 20..2_000, None);
        };
        // If it fails, the next try is for another key.
        self.revisions.remove(&key);
        let mut choice = self.one(Kind::Conditional, 20..6_000, None);
        if let Some(write) = choice.writes.first_mut() {
            write.key = key;
        }
        choice.if_match = Some(revision);
        choice
    }

    fn batch(&mut self, idempotency: Option<String>) -> Choice {
        let count = self.random.random_range(2..=BATCH_MAX);
        let keys: BTreeSet<String> = (0..count).map(|_| self.key()).collect();
        let mut put = |key| Write { key, change: Change::Put { length: self.random.random_range(20..6_000), ttl: None } };
        let writes = keys.into_iter().map(&mut put).collect();
        Choice { kind: Kind::Batch, writes, if_match: None, idempotency }
    }

    fn idempotent(&mut self) -> Choice {
        let name = Some(format!("torture-{:032x}", self.random.random::<u128>()));
        let mut choice = if self.random.random_bool(0.5) { self.batch(name.clone()) } else { self.one(Kind::Idempotent, 20..6_000, None) };
        choice.kind = Kind::Idempotent;
        choice.idempotency = name;
        choice
    }

    fn key(&mut self) -> String {
        format!("{PREFIX}{:04}", self.random.random_range(0..KEYS))
    }
}

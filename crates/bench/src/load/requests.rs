//! What is sent: an operation on keys of a choice, put together from prepared parts, so that making a request costs next to nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::dialects::{BatchAnswer, Dialect, Values};
use crate::workload::scattered;

/// The seed of the next run. A run that drew what one before it drew would find it in memory.
static SEED: AtomicU64 = AtomicU64::new(42);
/// Bytes to cut values from: long enough that values within one block of a table rarely share a stretch.
const TEXT_BYTES: usize = 1_000_000;
/// Draws from the zipfian that are made before the clock starts; then they begin anew.
const DRAWS: usize = 1 << 20;
/// YCSB's constant: the larger, the more of the load goes to few keys.
const THETA: f64 = 0.99;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    /// GET in so many of a hundred, else PUT.
    Mix {
        reads_percent: u32,
    },
    /// So many entries in the order of the keys.
    Page {
        entries: usize,
    },
    /// So many entries written at once. All batches together hold each key once.
    Batch {
        items: usize,
        answer: BatchAnswer,
    },
}

/// Which keys are touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    One(u64),
    /// All below this alike.
    Uniform(u64),
    /// Of those below this a few most often. They lie anywhere in the order of the keys.
    Zipfian(u64),
    /// All below this, in turn.
    Cycle(u64),
    /// Batches whose keys are neighbours in number and strangers in order.
    Scattered(u64),
}

/// Whether a request reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// A load before it is made ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) operation: Operation,
    pub(crate) keys: Keys,
    pub(crate) value_bytes: usize,
}

/// Makes the requests of one run.
pub(super) struct Requests {
    plan: Plan,
    dialect: Dialect,
    random: SmallRng,
    values: Values,
    draws: Vec<u32>,
    body: Vec<u8>,
    keys: Vec<u64>,
}

impl Plan {
    /// Makes ready what costs time, before the clock starts.
    pub(super) fn prepare(self, dialect: Dialect) -> Result<Requests> {
        let Self { operation, keys, value_bytes } = self;
        ensure!(dialect.knows(operation), "{dialect:?} has no {operation:?}");
        let mut random = SmallRng::seed_from_u64(SEED.fetch_add(1, Ordering::Relaxed));
        let draws = match keys {
            Keys::Zipfian(count) => zipfian(count, &mut random)?,
            _ => Vec::new(),
        };
        let values = Values::new(TEXT_BYTES, value_bytes, &mut random);
        Ok(Requests { plan: self, dialect, random, values, draws, body: Vec::new(), keys: Vec::new() })
    }
}

impl Requests {
    /// Writes the n-th request, and says of which kind it is.
    pub(super) fn write(&mut self, number: u64, out: &mut Vec<u8>) -> Kind {
        match self.plan.operation {
            Operation::Get => self.get(number, out),
            Operation::Put => self.put(number, out),
            Operation::Mix { reads_percent } if self.random.random_range(0..100) < reads_percent => self.get(number, out),
            Operation::Mix { .. } => self.put(number, out),
            Operation::Page { entries } => {
                let key = self.key(number);
                self.dialect.page(key, entries, &mut self.body, out);
                Kind::Read
            }
            Operation::Batch { items, answer } => {
                self.choose_batch(number, items as u64);
                self.values.choose(&mut self.random);
                self.dialect.batch(&self.keys, &self.values, answer, &mut self.body, out);
                Kind::Write
            }
        }
    }

    fn get(&mut self, number: u64, out: &mut Vec<u8>) -> Kind {
        let key = self.key(number);
        self.dialect.get(key, &mut self.body, out);
        Kind::Read
    }

    fn put(&mut self, number: u64, out: &mut Vec<u8>) -> Kind {
        let key = self.key(number);
        self.values.choose(&mut self.random);
        self.dialect.put(key, self.values.first(), &mut self.body, out);
        Kind::Write
    }

    fn key(&mut self, number: u64) -> u64 {
        match self.plan.keys {
            Keys::One(key) => key,
            Keys::Uniform(count) | Keys::Scattered(count) => self.random.random_range(0..count),
            Keys::Cycle(count) => number % count,
            Keys::Zipfian(_) => {
                let draw = self.draws.get(usize::try_from(number).unwrap_or(0) % DRAWS);
                u64::from(draw.copied().unwrap_or(0))
            }
        }
    }

    fn choose_batch(&mut self, number: u64, items: u64) {
        self.keys.clear();
        match self.plan.keys {
            Keys::Scattered(count) => self.keys.extend((0..items).map(|item| scattered(number * items + item, count))),
            Keys::Uniform(count) | Keys::Zipfian(count) | Keys::Cycle(count) => {
                let batches = (count / items).max(1);
                let batch = self.random.random_range(0..batches);
                self.keys.extend((0..items).map(|item| item * batches + batch));
            }
            Keys::One(key) => self.keys.push(key),
        }
    }
}

/// Draws the n-th most popular of `count` keys in proportion to 1/n^THETA.
fn zipfian(count: u64, random: &mut SmallRng) -> Result<Vec<u32>> {
    ensure!(count > 0 && u32::try_from(count).is_ok(), "a zipfian over {count} keys");
    let sums: Vec<f64> = (1..=count)
        .scan(0.0, |sum, rank| {
            *sum += (rank as f64).powf(-THETA);
            Some(*sum)
        })
        .collect();
    let all = sums.last().copied().unwrap_or(1.0);
    let mut draw = || {
        let share = random.random::<f64>() * all;
        let rank = sums.partition_point(|sum| *sum < share) as u64;
        Ok(u32::try_from(scattered(rank.min(count - 1), count))?)
    };
    (0..DRAWS).map(|_| draw()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn requests(operation: Operation, keys: Keys) -> Requests {
        Plan { operation, keys, value_bytes: 10 }.prepare(Dialect::Kvstore).unwrap()
    }

    #[test]
    fn the_most_popular_key_has_the_zipfians_share() {
        let draws = zipfian(1_000, &mut SmallRng::seed_from_u64(1)).unwrap();
        let share = |key: u64| draws.iter().filter(|draw| u64::from(**draw) == key).count() as f64 / DRAWS as f64;
        let sum: f64 = (1..=1_000).map(|rank| f64::from(rank).powf(-THETA)).sum();
        assert!((share(scattered(0, 1_000)) - 1.0 / sum).abs() < 0.002);
        assert!((share(scattered(1, 1_000)) - 2_f64.powf(-THETA) / sum).abs() < 0.002);
        assert_eq!(draws.iter().collect::<HashSet<_>>().len(), 1_000);
    }

    #[test]
    fn a_mix_has_its_share_of_reads() {
        let mut requests = requests(Operation::Mix { reads_percent: 95 }, Keys::Uniform(100));
        let reads = (0..10_000).filter(|number| requests.write(*number, &mut Vec::new()) == Kind::Read).count();
        assert!((9_300..9_700).contains(&reads), "{reads} of 10,000");
    }

    #[test]
    fn no_key_is_twice_in_a_batch() {
        for keys in [Keys::Uniform(1_000), Keys::Scattered(1_000)] {
            let mut requests = requests(Operation::Batch { items: 10, answer: BatchAnswer::Entries }, keys);
            let mut met = HashSet::new();
            for number in 0..100 {
                requests.choose_batch(number, 10);
                assert_eq!(requests.keys.iter().collect::<HashSet<_>>().len(), 10, "{keys:?}");
                met.extend(requests.keys.clone());
            }
            assert!(met.iter().all(|key| *key < 1_000) && met.len() > 500, "{keys:?} met {}", met.len());
        }
    }

    #[test]
    fn no_run_draws_again_what_one_before_it_drew() {
        let drawn = || {
            let mut requests = requests(Operation::Get, Keys::Uniform(1_000_000_000));
            (0..100).map(|number| requests.key(number)).collect::<HashSet<_>>()
        };
        assert_eq!(drawn().intersection(&drawn()).count(), 0);
    }

    #[test]
    fn redis_has_no_pages() {
        let plan = Plan { operation: Operation::Page { entries: 5 }, keys: Keys::One(1), value_bytes: 1 };
        assert!(plan.prepare(Dialect::Redis).is_err());
    }
}

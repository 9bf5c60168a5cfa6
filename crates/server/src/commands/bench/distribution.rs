//! The distributions: which record is touched next.
//!
//! The zipfian is drawn in constant time after Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (SIGMOD 1994). As in
//! YCSB, ranks are drawn from ten billion items and scattered over the records, so that popular records lie anywhere in the order of keys
//! and the most popular one has the same share whatever their number.

use clap::ValueEnum;
use rand::Rng;
use serde::Serialize;

/// YCSB's constant: the larger, the more of the load goes to few records.
const THETA: f64 = 0.99;
/// Items that ranks of the scattered zipfian are drawn from.
const SCATTERED_ITEMS: u64 = 10_000_000_000;
/// Terms of the zeta function that are added one by one; the rest follows from an integral.
const EXACT_TERMS: u64 = 10_000;

/// Which records are touched more than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Distribution {
    /// A few records are touched most often; they lie anywhere
    Zipfian,
    /// All alike
    Uniform,
    /// The last ones inserted are touched most often
    Latest,
}

impl Distribution {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zipfian => "zipfian",
            Self::Uniform => "uniform",
            Self::Latest => "latest",
        }
    }
}

/// Chooses records, by their numbers.
#[derive(Debug, Clone)]
pub(super) struct Chooser {
    records: u64,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Scattered(Zipfian),
    Uniform,
    Latest(Zipfian),
}

impl Chooser {
    /// Chooses among so many records, at least one.
    pub(super) fn new(distribution: Distribution, records: u64) -> Self {
        let records = records.max(1);
        let shape = match distribution {
            Distribution::Zipfian => Shape::Scattered(Zipfian::new(SCATTERED_ITEMS)),
            Distribution::Uniform => Shape::Uniform,
            Distribution::Latest => Shape::Latest(Zipfian::new(records)),
        };
        Self { records, shape }
    }

    /// The number of a record. `count` is how many there are now, those inserted since included.
    pub(super) fn draw(&self, count: u64, random: &mut impl Rng) -> u64 {
        match &self.shape {
            Shape::Scattered(zipfian) => scatter(zipfian.draw(random)) % self.records,
            Shape::Uniform => random.random_range(0..self.records),
            Shape::Latest(zipfian) => count.max(self.records) - 1 - zipfian.draw(random),
        }
    }
}

/// Ranks from 0 on, of which the n-th is drawn in proportion to 1/n^THETA.
#[derive(Debug, Clone)]
struct Zipfian {
    items: u64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    fn new(items: u64) -> Self {
        let zeta = zeta(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - THETA)) / (1.0 - zeta_of_two() / zeta);
        Self { items, zeta, eta }
    }

    fn draw(&self, random: &mut impl Rng) -> u64 {
        let share: f64 = random.random();
        let scaled = share * self.zeta;
        if scaled < 1.0 || self.items == 1 {
            return 0;
        }
        if scaled < zeta_of_two() || self.items == 2 {
            return 1;
        }
        let rank = self.items as f64 * (self.eta * share - self.eta + 1.0).powf(1.0 / (1.0 - THETA));
        (rank as u64).min(self.items - 1)
    }
}

fn zeta_of_two() -> f64 {
    1.0 + 0.5_f64.powf(THETA)
}

/// The sum of 1/i^THETA up to `items`. Past the first terms it is the Euler-Maclaurin formula, off by less than a billionth.
fn zeta(items: u64) -> f64 {
    let exact = items.min(EXACT_TERMS);
    let sum: f64 = (1..=exact).map(|item| (item as f64).powf(-THETA)).sum();
    let (from, to) = (exact as f64, items as f64);
    let integral = (to.powf(1.0 - THETA) - from.powf(1.0 - THETA)) / (1.0 - THETA);
    sum + integral + (to.powf(-THETA) - from.powf(-THETA)) / 2.0
}

/// Puts numbers in another order, no two at one place, as SplitMix64 does (Steele, Lea, Flood, OOPSLA 2014).
pub(super) const fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const RECORDS: u64 = 1_000;
    const DRAWS: usize = 200_000;

    fn drawn(distribution: Distribution, count: u64, seed: u64) -> Vec<u64> {
        let chooser = Chooser::new(distribution, RECORDS);
        let mut random = StdRng::seed_from_u64(seed);
        (0..DRAWS).map(|_| chooser.draw(count, &mut random)).collect()
    }

    /// How often each was drawn, as shares, the most frequent first.
    fn shares(drawn: &[u64]) -> Vec<(u64, f64)> {
        let mut counts = BTreeMap::new();
        for number in drawn {
            *counts.entry(*number).or_insert(0_u32) += 1;
        }
        let mut shares: Vec<_> = counts.into_iter().map(|(number, count)| (number, f64::from(count) / DRAWS as f64)).collect();
        shares.sort_by(|one, other| other.1.total_cmp(&one.1));
        shares
    }

    #[test]
    fn a_seed_always_draws_the_same_and_all_lie_within_the_records() {
        for distribution in Distribution::value_variants() {
            let first = drawn(*distribution, RECORDS, 3);
            assert_eq!(first, drawn(*distribution, RECORDS, 3), "{distribution:?}");
            assert_ne!(first, drawn(*distribution, RECORDS, 4), "{distribution:?}");
            assert!(first.iter().all(|number| *number < RECORDS), "{distribution:?}");
            for records in [1, 2, 3] {
                let chooser = Chooser::new(*distribution, records);
                let mut random = StdRng::seed_from_u64(3);
                assert!((0..1_000).all(|_| chooser.draw(records, &mut random) < records), "{distribution:?} of {records}");
            }
        }
    }

    #[test]
    fn the_sum_is_the_one_that_ycsb_was_measured_with() {
        assert!((zeta(SCATTERED_ITEMS) - 26.469_028_201_783_02).abs() < 1e-6, "{}", zeta(SCATTERED_ITEMS));
        let slow: f64 = (1..=100_000_u64).map(|item| (item as f64).powf(-THETA)).sum();
        assert!((zeta(100_000) - slow).abs() < 1e-9, "{} and {slow}", zeta(100_000));
    }

    #[test]
    fn the_most_popular_record_has_the_zipfians_share_and_lies_anywhere() {
        let shares = shares(&drawn(Distribution::Zipfian, RECORDS, 5));
        // The first rank's own, and its part of what the many low ranks scatter over all records.
        let (first, second) = (1.0 / zeta(SCATTERED_ITEMS), 1.0 / zeta(SCATTERED_ITEMS) / 2.0_f64.powf(THETA));
        assert!((shares[0].1 - first).abs() < 0.004, "{:?}, where {first} was expected", shares[0]);
        assert!((shares[1].1 - second).abs() < 0.004, "{:?}, where {second} was expected", shares[1]);
        assert_eq!((shares[0].0, shares[1].0), (scatter(0) % RECORDS, scatter(1) % RECORDS));
        assert!(shares.len() > 900, "only {} of {RECORDS} records were ever drawn", shares.len());
    }

    #[test]
    fn the_latest_are_the_ones_inserted_last() {
        let count = RECORDS + 50;
        let drawn = drawn(Distribution::Latest, count, 5);
        let shares = shares(&drawn);
        assert_eq!((shares[0].0, shares[1].0), (count - 1, count - 2), "{:?}", &shares[..4]);
        assert!((shares[0].1 - 1.0 / zeta(RECORDS)).abs() < 0.005, "{:?}", shares[0]);
        assert!(drawn.iter().all(|number| *number >= 50 && *number < count));
    }

    #[test]
    fn the_uniform_prefers_none() {
        let shares = shares(&drawn(Distribution::Uniform, RECORDS, 5));
        assert_eq!(shares.len() as u64, RECORDS);
        assert!(shares[0].1 < 0.0015 && shares[999].1 > 0.0006, "{:?} to {:?}", shares[0], shares[999]);
    }

    #[test]
    fn no_two_numbers_are_scattered_to_one_place() {
        let places: std::collections::BTreeSet<_> = (0..100_000).map(scatter).collect();
        assert_eq!(places.len(), 100_000);
    }
}

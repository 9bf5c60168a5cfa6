//! The workloads: which kinds of operation, and how often each. They are YCSB's core workloads (Cooper et al., "Benchmarking Cloud
//! Serving Systems with YCSB", SoCC 2010), without D, whose reads are A's with another distribution.

use clap::ValueEnum;
use rand::Rng;
use serde::Serialize;

/// What is done how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Workload {
    /// 50 % reads, 50 % updates
    A,
    /// 95 % reads, 5 % updates
    B,
    /// Reads only
    C,
    /// 95 % scans of 1 to 100 entries, 5 % inserts
    E,
    /// 50 % reads, 50 % read-modify-writes under If-Match, done again when another write came between
    F,
}

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Read,
    Update,
    Insert,
    Scan,
    ReadModifyWrite,
}

impl Workload {
    /// The kinds of operation, each with its percentage.
    pub(super) const fn mix(self) -> &'static [(Kind, u32)] {
        match self {
            Self::A => &[(Kind::Read, 50), (Kind::Update, 50)],
            Self::B => &[(Kind::Read, 95), (Kind::Update, 5)],
            Self::C => &[(Kind::Read, 100)],
            Self::E => &[(Kind::Scan, 95), (Kind::Insert, 5)],
            Self::F => &[(Kind::Read, 50), (Kind::ReadModifyWrite, 50)],
        }
    }

    /// The kind of the next operation.
    pub(super) fn draw(self, random: &mut impl Rng) -> Kind {
        let mut left = random.random_range(0..100);
        for (kind, percent) in self.mix() {
            if left < *percent {
                return *kind;
            }
            left -= percent;
        }
        Kind::Read
    }

    /// Its letter, as YCSB names it.
    pub(super) const fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::E => "E",
            Self::F => "F",
        }
    }
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Insert => "insert",
            Self::Scan => "scan",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn kinds_are_drawn_as_often_as_the_mix_says() {
        const DRAWS: u32 = 100_000;
        for workload in Workload::value_variants() {
            assert_eq!(workload.mix().iter().map(|(_, percent)| percent).sum::<u32>(), 100, "{workload:?}");
            let mut random = StdRng::seed_from_u64(7);
            let mut counts = BTreeMap::new();
            for _ in 0..DRAWS {
                *counts.entry(workload.draw(&mut random)).or_insert(0_u32) += 1;
            }
            assert_eq!(counts.len(), workload.mix().len(), "{workload:?} drew {counts:?}");
            for (kind, percent) in workload.mix() {
                let drawn = f64::from(counts[kind]) / f64::from(DRAWS) * 100.0;
                assert!((drawn - f64::from(*percent)).abs() < 0.7, "{workload:?} drew {drawn} % of {kind:?}");
            }
        }
    }
}

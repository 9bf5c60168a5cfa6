//! `Near`: whether it is worth asking an engine's memory before its disk.
//!
//! A look-up in memory that ends at a block which is not there has done most of a read's work, and the disk's thread does it
//! again. Where that happens nearly always, since the data is far larger than memory, it is better to go to the disk at once. So
//! the share of look-ups that memory answered is followed, and where it is small only one read in some asks memory still.

use std::sync::atomic::{AtomicU32, Ordering};

/// The share is kept in these units.
const ONE: u32 = 1 << 16;
/// Below this share memory is not worth asking.
const WORTH: u32 = ONE / 3;
/// Each look-up moves the share by this part of the difference.
const WEIGHT: i64 = 32;
/// One read in so many asks all the same, so that a change is noticed.
const TRY_EVERY: u32 = 32;

/// The share of look-ups that memory answered lately. Races between readers blur it a little, which does no harm.
pub(crate) struct Near {
    share: AtomicU32,
    passed_over: AtomicU32,
}

impl Default for Near {
    fn default() -> Self {
        Self { share: AtomicU32::new(ONE), passed_over: AtomicU32::new(0) }
    }
}

impl Near {
    /// Whether this read should ask memory first.
    pub(crate) fn is_worth_asking(&self) -> bool {
        self.share.load(Ordering::Relaxed) >= WORTH || self.passed_over.fetch_add(1, Ordering::Relaxed) % TRY_EVERY == TRY_EVERY - 1
    }

    /// Takes note of whether memory had the answer.
    pub(crate) fn note(&self, answered: bool) {
        let share = i64::from(self.share.load(Ordering::Relaxed));
        let target = if answered { i64::from(ONE) } else { 0 };
        let step = (target - share) / WEIGHT;
        self.share.store(u32::try_from(share + step).unwrap_or(ONE), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_passed_over_once_it_seldom_answers_and_asked_again_once_it_does() {
        let near = Near::default();
        assert!(near.is_worth_asking(), "at first it is asked");
        (0..200).for_each(|_| near.note(false));
        let asked = (0..TRY_EVERY * 10).filter(|_| near.is_worth_asking()).count();
        assert_eq!(asked, 10, "one in {TRY_EVERY} tries all the same");
        (0..100).for_each(|_| near.note(true));
        assert!((0..100).all(|_| near.is_worth_asking()), "what it answers it is asked for");
    }
}

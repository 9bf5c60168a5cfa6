//! Which keys changed lately: tells whether a header that was loaded before a batch queued is still the stored one.
//!
//! A table of revisions, one for all keys that share a slot by their hash. Another key's change can only make a header look stale
//! that is not, and then it is loaded again; nothing is ever forgotten, and noting a change costs one store.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use kvstore_types::{Key, Revision, limits::RECENT_CHANGE_SLOTS};

/// The last change of each slot's keys since this was made.
#[derive(Debug)]
pub(super) struct RecentChanges {
    /// 0 where there was none.
    slots: Vec<u64>,
    hasher: RandomState,
}

impl RecentChanges {
    pub(super) fn new() -> Self {
        Self { slots: vec![0; RECENT_CHANGE_SLOTS], hasher: RandomState::default() }
    }

    /// Whether the key certainly did not change after this revision.
    pub(super) fn unchanged_since(&self, key: &Key, revision: Revision) -> bool {
        self.slots.get(self.slot(key)).is_some_and(|changed| *changed <= revision.0)
    }

    /// Notes a change. Revisions come in ascending order.
    pub(super) fn note(&mut self, key: &Key, revision: Revision) {
        let slot = self.slot(key);
        if let Some(changed) = self.slots.get_mut(slot) {
            *changed = revision.0;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what a slot is chosen by")]
    fn slot(&self, key: &Key) -> usize {
        self.hasher.hash_one(key) as usize % RECENT_CHANGE_SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_however_much_came_after() {
        let key = |n: usize| Key::new(&format!("k{n}")).expect("a key");
        let mut recent = RecentChanges::new();
        assert!(recent.unchanged_since(&key(0), Revision(10)));
        recent.note(&key(0), Revision(11));
        assert!(!recent.unchanged_since(&key(0), Revision(10)));
        assert!(recent.unchanged_since(&key(0), Revision(11)));
        for n in 1..=RECENT_CHANGE_SLOTS * 2 {
            recent.note(&key(n), Revision(11 + n as u64));
        }
        assert!((0..100).all(|n| !recent.unchanged_since(&key(n), Revision(10))));
    }

    #[test]
    fn few_keys_are_taken_for_others() {
        let key = |n: usize| Key::new(&format!("k{n}")).expect("a key");
        let mut recent = RecentChanges::new();
        let changed = RECENT_CHANGE_SLOTS / 8;
        for n in 0..changed {
            recent.note(&key(n), Revision(1 + n as u64));
        }
        let mistaken = (changed..changed + 10_000).filter(|n| !recent.unchanged_since(&key(*n), Revision(0))).count();
        assert!(mistaken < 2_000, "{mistaken} of 10,000 keys");
    }
}

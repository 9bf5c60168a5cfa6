//! Which keys changed lately: tells whether a header that was loaded before a batch queued is still the stored one.

use std::collections::VecDeque;

use foldhash::HashMap;

use kvstore_types::{Key, Revision, limits::RECENT_CHANGES_MAX};

/// The last changes, up to a bounded number of them.
#[derive(Debug)]
pub(super) struct RecentChanges {
    last: HashMap<Key, Revision>,
    order: VecDeque<(Revision, Key)>,
    /// Every change after this revision is remembered.
    complete_after: Revision,
}

impl RecentChanges {
    pub(super) fn new(position: Revision) -> Self {
        Self { last: HashMap::default(), order: VecDeque::new(), complete_after: position }
    }

    /// Whether the key certainly did not change after this revision.
    pub(super) fn unchanged_since(&self, key: &Key, revision: Revision) -> bool {
        revision >= self.complete_after && self.last.get(key).is_none_or(|changed| *changed <= revision)
    }

    /// Notes a change. Revisions come in ascending order.
    pub(super) fn note(&mut self, key: &Key, revision: Revision) {
        self.last.insert(key.clone(), revision);
        self.order.push_back((revision, key.clone()));
        while self.order.len() > RECENT_CHANGES_MAX {
            let Some((revision, key)) = self.order.pop_front() else { break };
            self.complete_after = self.complete_after.max(revision);
            if self.last.get(&key) == Some(&revision) {
                self.last.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_counts_as_changed() {
        let key = |n: usize| Key::new(&format!("k{n}")).expect("a key");
        let mut recent = RecentChanges::new(Revision(10));
        assert!(!recent.unchanged_since(&key(0), Revision(9)), "nothing is known of what came before");
        recent.note(&key(0), Revision(11));
        assert!(!recent.unchanged_since(&key(0), Revision(10)));
        assert!(recent.unchanged_since(&key(0), Revision(11)) && recent.unchanged_since(&key(1), Revision(10)));
        for n in 1..=RECENT_CHANGES_MAX {
            recent.note(&key(n), Revision(11 + n as u64));
        }
        assert!(!recent.unchanged_since(&key(1), Revision(10)), "revision 11 was pushed out, so 10 is too old to tell");
        assert!(recent.unchanged_since(&key(0), Revision(11)));
    }
}

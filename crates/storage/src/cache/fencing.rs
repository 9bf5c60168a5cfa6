//! `Fencing`: what a node must remember of its own writes, so that it neither agrees to an opening too early nor writes without
//! cover. One lock, no I/O, no clock.
//!
//! A write under way is covered by a mark in an instance of Redis, or *bare*: covered by the fence being closed, for as long as
//! this node does not agree to an opening. So the node agrees only when none of its writes is bare, and all marks stand where the
//! fence is to be opened. Once it has agreed it is no longer closed by its own will, and the next bare write closes anew.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kvstore_types::{
    Key,
    limits::{CACHE_UNRESOLVED_KEYS_MAX, CACHE_UNRESOLVED_WRITES_MAX},
};
use parking_lot::Mutex;

use super::authority::{Agreement, FIRST_EPOCH, Fence};
use crate::ticks::Ticks;

/// What keeps others from answering with what a write replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cover {
    /// Marks in this instance.
    Marked(Arc<str>),
    /// The closed fence.
    Bare,
}

/// A write whose outcome is unknown: it may take effect until `until`.
#[derive(Debug, Clone)]
pub(super) struct Unresolved {
    pub(super) keys: Arc<[Key]>,
    pub(super) cover: Cover,
    pub(super) until: Ticks,
}

/// A write under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WriteId(u64);

/// What a node remembers of its writes.
#[derive(Debug, Default)]
pub(super) struct Fencing {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    under_way: HashMap<WriteId, Cover>,
    unresolved: Vec<Unresolved>,
    /// Keys in all of them.
    unresolved_keys: usize,
    /// Until when writes may take effect whose keys are not remembered.
    blind_until: Option<Ticks>,
    /// The epoch in which the fence is closed, and since when, without a chance to be opened: this node has not agreed since.
    closed: Option<(u64, Ticks)>,
    agreed: Option<Agreement>,
    /// The closed epoch that was last seen, and since when.
    seen_closed: Option<(u64, Ticks)>,
}

/// Whether a node may agree.
#[derive(Debug)]
pub(super) enum Agreed {
    /// It has.
    Yes,
    /// Writes under way forbid it.
    NotYet,
    /// It has agreed to another instance: the fence must be closed anew first.
    Otherwise,
    /// The marks of these must be set in the new instance first.
    MarkFirst(Vec<Unresolved>),
}

impl Fencing {
    /// Enters a write that is going to be marked in this instance. `None` where marks there would not be looked at: by others,
    /// who look elsewhere, or after the opening that this node has agreed to. With it comes the moment whose leases must have ended,
    /// if there is one: others may go on with an instance that was used before the closing, where this mark removes nothing.
    pub(super) fn enter_marked(&self, instance: &Arc<str>, fence: &Fence) -> Option<(WriteId, Option<Ticks>)> {
        let mut state = self.state.lock();
        let looked_at = if fence.open {
            *fence.instance == **instance
        } else {
            state.agreed.as_ref().is_none_or(|agreed| agreed.epoch < fence.epoch || *agreed.instance == **instance)
        };
        let elsewhere_before = !fence.open && *fence.instance != **instance;
        let since = state.seen_closed.filter(|_| elsewhere_before).map(|(_, since)| since);
        looked_at.then(|| (state.enter(Cover::Marked(Arc::clone(instance))), since))
    }

    /// Makes a write bare, a new one where none is given, and tells since when the fence is closed. `None` where it must be closed
    /// first.
    pub(super) fn enter_bare(&self, write: Option<WriteId>) -> Option<(WriteId, Ticks)> {
        let mut state = self.state.lock();
        let (_, since) = state.closed?;
        Some((state.bare(write), since))
    }

    /// Makes a write bare where the fence is seen closed, by whomever, and this node has not agreed to its opening.
    pub(super) fn adopt(&self, write: Option<WriteId>, fence: &Fence, now: Ticks) -> Option<(WriteId, Ticks)> {
        let mut state = self.state.lock();
        if fence.open || state.agreed.as_ref().is_some_and(|agreed| agreed.epoch >= fence.epoch) {
            return None;
        }
        // The first epoch was never open: no lease is out.
        let at = if fence.epoch == FIRST_EPOCH { Ticks::default() } else { now };
        let (_, since) = *state.closed.get_or_insert((fence.epoch, at));
        Some((state.bare(write), since))
    }

    /// This node has closed the fence, for this write.
    pub(super) fn closed(&self, write: Option<WriteId>, epoch: u64, at: Ticks) -> (WriteId, Ticks) {
        let mut state = self.state.lock();
        state.agreed = None;
        // Closed before and not agreed since: closed all the time.
        let (_, since) = *state.closed.get_or_insert((epoch, at));
        (state.bare(write), since)
    }

    /// The node was away for so long that others may have gone on without it.
    pub(super) fn lapsed(&self) {
        self.state.lock().closed = None;
    }

    /// Takes note of the fence: one that is open later than it was closed was opened without this node.
    pub(super) fn saw(&self, fence: &Fence, now: Ticks) {
        let mut state = self.state.lock();
        if !fence.open && fence.epoch > FIRST_EPOCH && state.seen_closed.is_none_or(|(epoch, _)| epoch < fence.epoch) {
            state.seen_closed = Some((fence.epoch, now));
        }
        if fence.open && state.closed.is_some_and(|(epoch, _)| epoch < fence.epoch) {
            state.closed = None;
        }
    }

    /// A write took no effect, or its effect is seen by all.
    pub(super) fn ended(&self, write: WriteId) {
        self.state.lock().under_way.remove(&write);
    }

    /// A write may take effect later. Its keys are remembered where they are given, up to a number of them.
    pub(super) fn unknown(&self, write: WriteId, keys: Option<Arc<[Key]>>, until: Ticks, now: Ticks) {
        let mut state = self.state.lock();
        state.forget(now);
        let Some(cover) = state.under_way.remove(&write) else { return };
        let has_room = state.unresolved.len() < CACHE_UNRESOLVED_WRITES_MAX;
        match keys.filter(|keys| has_room && state.unresolved_keys + keys.len() <= CACHE_UNRESOLVED_KEYS_MAX) {
            Some(keys) => {
                state.unresolved_keys += keys.len();
                state.unresolved.push(Unresolved { keys, cover, until });
            }
            None => state.blind_until = state.blind_until.max(Some(until)),
        }
    }

    /// Agrees, if it may.
    pub(super) fn agree(&self, agreement: &Agreement, now: Ticks) -> Agreed {
        let mut state = self.state.lock();
        let there = |cover: &Cover| matches!(cover, Cover::Marked(instance) if **instance == *agreement.instance);
        // Marks that were set since stand where it was agreed before: an agreement to an epoch is never changed.
        if state.agreed.as_ref().is_some_and(|agreed| agreed.epoch >= agreement.epoch && agreed != agreement) {
            return Agreed::Otherwise;
        }
        state.forget(now);
        if !state.under_way.values().all(there) || state.blind_until.is_some() {
            return Agreed::NotYet;
        }
        let elsewhere: Vec<_> = state.unresolved.iter().filter(|one| !there(&one.cover)).cloned().collect();
        if !elsewhere.is_empty() {
            return Agreed::MarkFirst(elsewhere);
        }
        state.closed = None;
        state.agreed = Some(agreement.clone());
        Agreed::Yes
    }

    /// The marks of unresolved writes stand in this instance now.
    pub(super) fn marked_again(&self, marked: &[Unresolved], instance: &Arc<str>) {
        let mut state = self.state.lock();
        let marked: HashSet<*const Key> = marked.iter().map(|one| one.keys.as_ptr()).collect();
        for one in &mut state.unresolved {
            if marked.contains(&one.keys.as_ptr()) {
                one.cover = Cover::Marked(Arc::clone(instance));
            }
        }
    }

    /// What this node has agreed to.
    pub(super) fn agreement(&self) -> Option<Agreement> {
        self.state.lock().agreed.clone()
    }

    /// Whether no write is under way and none is unresolved.
    pub(super) fn is_idle(&self, now: Ticks) -> bool {
        let mut state = self.state.lock();
        state.forget(now);
        state.under_way.is_empty() && state.unresolved.is_empty() && state.blind_until.is_none()
    }
}

impl State {
    /// Forgets writes that can't take effect any more.
    fn forget(&mut self, now: Ticks) {
        let mut forgotten = 0;
        self.unresolved.retain(|one| {
            let may_take_effect = one.until > now;
            forgotten += if may_take_effect { 0 } else { one.keys.len() };
            may_take_effect
        });
        self.unresolved_keys -= forgotten;
        self.blind_until = self.blind_until.filter(|until| *until > now);
    }

    fn enter(&mut self, cover: Cover) -> WriteId {
        self.last += 1;
        let write = WriteId(self.last);
        self.under_way.insert(write, cover);
        write
    }

    fn bare(&mut self, write: Option<WriteId>) -> WriteId {
        match write {
            Some(write) => {
                self.under_way.insert(write, Cover::Bare);
                write
            }
            None => self.enter(Cover::Bare),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn keys(count: usize) -> Arc<[Key]> {
        (0..count).filter_map(|number| Key::new(&format!("key-{number}")).ok()).collect()
    }

    /// Every write whose caller went away was remembered with all its keys, for as long as the fence stayed open or for ever.
    #[test]
    fn abandoned_writes_are_forgotten_in_time_and_hold_a_bounded_number_of_keys() {
        let fencing = Fencing::default();
        let (instance, start) = (Arc::from("one"), Ticks::default());
        let fence =
            Fence { store: 1, epoch: 3, open: true, instance: "one".into(), now: kvstore_types::Timestamp::default(), nodes: Vec::new() };
        let (soon, late) = (start.after(Duration::from_secs(600)), start.after(Duration::from_secs(601)));
        let abandon = |keys: Option<Arc<[Key]>>| {
            let (write, _) = fencing.enter_marked(&instance, &fence).unwrap();
            fencing.unknown(write, keys, soon, start);
        };
        for _ in 0..30 {
            abandon(Some(keys(CACHE_UNRESOLVED_KEYS_MAX / 10)));
        }
        let held: usize = fencing.state.lock().unresolved.iter().map(|one| one.keys.len()).sum();
        assert_eq!(held, CACHE_UNRESOLVED_KEYS_MAX);
        let agreement = Agreement { epoch: 4, instance: "two".into() };
        assert!(matches!(fencing.agree(&agreement, start), Agreed::NotYet), "marks of unknown keys can't be set elsewhere");
        assert!(!fencing.is_idle(start));
        assert!(matches!(fencing.agree(&agreement, late), Agreed::Yes), "none of them can take effect any more");
        assert!(fencing.is_idle(late) && fencing.state.lock().unresolved.is_empty());
        abandon(None);
        assert!(!fencing.is_idle(start) && fencing.state.lock().unresolved.is_empty());
    }
}

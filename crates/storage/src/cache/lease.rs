//! `Lease`: the fence as this node last saw it, and for how long that counts.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use kvstore_types::{Entry, Timestamp};

use super::{authority::Fence, config::CacheTimes, link::Link, payload::Payload};
use crate::ticks::Ticks;

/// What was seen, and when the question was sent: what the fence said then or later.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) fence: Fence,
    pub(super) asked: Ticks,
}

impl Lease {
    /// Whether entries of its epoch count on this link at this moment.
    pub(super) fn vouches(&self, link: &Link, times: &CacheTimes, now: Ticks) -> bool {
        self.fence.open && self.asked.until(now) <= times.lease && *self.fence.instance == *link.instance
    }

    /// Whether this payload is the truth at this moment.
    pub(super) fn counts(&self, payload: &Payload, link: &Link, times: &CacheTimes, now: Ticks) -> bool {
        let ours = payload.store == self.fence.store && payload.epoch == self.fence.epoch;
        ours && self.vouches(link, times, now) && payload.entry.as_ref().is_none_or(|entry| self.is_alive(entry, times, now))
    }

    /// Whether an entry has certainly not expired: the authority's clock was read after the question was sent.
    fn is_alive(&self, entry: &Entry, times: &CacheTimes, now: Ticks) -> bool {
        let passed = (self.asked.until(now) + times.clock_margin).as_micros();
        let latest = self.fence.now.as_micros().saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        entry.header.is_live(Timestamp::from_micros(latest))
    }
}

/// The newest lease.
#[derive(Debug, Default)]
pub(super) struct LastLease(ArcSwapOption<Lease>);

impl LastLease {
    pub(super) fn get(&self) -> Option<Arc<Lease>> {
        self.0.load_full()
    }

    /// Takes note of what was seen, unless something later was seen meanwhile.
    pub(super) fn saw(&self, fence: Fence, asked: Ticks) {
        let lease = Arc::new(Lease { fence, asked });
        self.0.rcu(|last| match last {
            Some(last) if (last.fence.epoch, last.asked) > (lease.fence.epoch, asked) => Some(Arc::clone(last)),
            _ => Some(Arc::clone(&lease)),
        });
    }
}

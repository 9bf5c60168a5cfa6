//! `Claim`: who has a queued batch. Either whoever orders writes takes it, or a time-out, a shutdown or a caller that went away
//! withdraws it; it changes hands once. So a batch that was refused as *not applied* is never applied later.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use crate::metrics::CommitterMetrics;

/// The state of a queued batch.
#[derive(Default)]
pub(crate) struct Claim(AtomicU8);

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Claim {
    /// Takes the batch. `false` where it was withdrawn.
    pub(crate) fn take(&self) -> bool {
        self.change_to(TAKEN)
    }

    /// Withdraws the batch. `false` where it was taken.
    pub(crate) fn withdraw(&self) -> bool {
        self.change_to(WITHDRAWN)
    }

    /// Whether it was taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.0.load(Ordering::Acquire) == TAKEN
    }

    /// Whether it was withdrawn.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire) == WITHDRAWN
    }

    fn change_to(&self, state: u8) -> bool {
        self.0.compare_exchange(QUEUED, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Withdraws a batch whose caller went away while it was still waiting.
pub(crate) struct WithdrawOnDrop<'a> {
    pub(crate) claim: Arc<Claim>,
    pub(crate) metrics: &'a CommitterMetrics,
}

impl Drop for WithdrawOnDrop<'_> {
    fn drop(&mut self) {
        self.claim.withdraw();
        self.metrics.queued(-1.0);
    }
}

//! An outage: the server went away in the middle of a transfer. Requests that are safe to send again are, for a bounded time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use kvstore_client::ClientError;
use kvstore_types::limits;
use parking_lot::Mutex;

use super::progress::Teller;

/// How long a transfer waits for its server.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Patience {
    /// Seconds for which a server that went away is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = limits::TRANSFER_RETRY_SECONDS_DEFAULT)]
    retry_for: u64,
}

/// What all requests of a transfer know of their server.
#[derive(Clone)]
pub(super) struct Outage {
    inner: Arc<Inner>,
}

struct Inner {
    wait_for: Duration,
    teller: Teller,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It answered once: that it can't be reached now is an outage, and not a wrong address.
    answered: bool,
    since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(patience: Patience, teller: Teller) -> Self {
        let wait_for = Duration::from_secs(patience.retry_for);
        Self { inner: Arc::new(Inner { wait_for, teller, state: Mutex::default() }) }
    }

    /// A request was answered.
    pub(super) fn is_over(&self) {
        let mut state = self.inner.state.lock();
        state.answered = true;
        if state.since.take().is_some() {
            self.inner.teller.say("the server answers again");
        }
    }

    /// A request failed for the `attempt`-th time: how long to wait before it is sent again, or `None` where that is of no use.
    pub(super) fn wait(&self, error: &ClientError, attempt: u32) -> Option<Duration> {
        let mut state = self.inner.state.lock();
        if !error.is_retryable() || (!state.answered && matches!(error, ClientError::Connect { .. })) {
            return None;
        }
        let began = state.since.is_none();
        let since = *state.since.get_or_insert_with(Instant::now);
        let left = self.inner.wait_for.checked_sub(since.elapsed()).filter(|left| !left.is_zero())?;
        if began {
            self.inner.teller.say(&format!("{error}; trying again for up to {} s", self.inner.wait_for.as_secs()));
        }
        let wait = Duration::from_millis(limits::TRANSFER_RETRY_WAIT_MS_MIN) * 2_u32.saturating_pow(attempt.saturating_sub(1).min(10));
        Some(wait.min(Duration::from_millis(limits::TRANSFER_RETRY_WAIT_MS_MAX)).min(left))
    }
}

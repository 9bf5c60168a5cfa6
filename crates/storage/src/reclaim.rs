//! The housekeeper: a thread that now and then has the committer delete expired entries, and publishes the engine's gauges.
//!
//! Expired entries are deleted by writes in turn with all others, never behind the log's back.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{Engine, committer::Committer, metrics};

/// The handle that ends the thread.
pub(crate) struct Housekeeper(Arc<Signal>);

#[derive(Default)]
struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Housekeeper {
    /// Starts the thread; with no interval there is none, and nothing is reclaimed.
    pub(crate) fn start<E: Engine>(engine: &Arc<E>, committer: &Arc<Committer>, every: Option<Duration>) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        if let Some(every) = every {
            let (engine, committer) = (Arc::downgrade(engine), Arc::downgrade(committer));
            let thread_signal = Arc::clone(&signal);
            std::thread::Builder::new()
                .name("housekeeper".into())
                .spawn(move || while thread_signal.wait(every) && keep_house(&engine, &committer) {})?;
        }
        Ok(Self(signal))
    }

    pub(crate) fn stop(&self) {
        *self.0.stopped.lock() = true;
        self.0.changed.notify_all();
    }
}

impl Signal {
    /// Waits for an interval. `false` once the thread is to end.
    fn wait(&self, every: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, every);
        }
        !*stopped
    }
}

/// `false` once the store is gone.
fn keep_house<E: Engine>(engine: &Weak<E>, committer: &Weak<Committer>) -> bool {
    let (Some(engine), Some(committer)) = (engine.upgrade(), committer.upgrade()) else { return false };
    metrics::publish(engine.stats());
    committer.reclaim_soon();
    true
}

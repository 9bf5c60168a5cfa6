//! The housekeeper: a thread that now and then has the committer delete expired entries, and publishes the engine's gauges.
//!
//! Expired entries are deleted by writes in turn with all others, never behind the log's back.

use std::{
    sync::{Arc, Weak},
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use crate::{Engine, committer::Committer, metrics};

/// The handle that ends the thread.
pub(crate) struct Housekeeper {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Housekeeper {
    /// Starts the thread; with no interval there is none, and nothing is reclaimed.
    pub(crate) fn start<E: Engine>(engine: &Arc<E>, committer: &Arc<Committer>, every: Option<Duration>) -> std::io::Result<Self> {
        let signal = Arc::new(Signal::default());
        let mut thread = None;
        if let Some(every) = every {
            let (engine, committer) = (Arc::downgrade(engine), Arc::downgrade(committer));
            let thread_signal = Arc::clone(&signal);
            let run = move || while thread_signal.wait(every) && keep_house(&engine, &committer) {};
            thread = Some(std::thread::Builder::new().name("housekeeper".into()).spawn(run)?);
        }
        Ok(Self { signal, thread: Mutex::new(thread) })
    }

    /// Ends the thread and waits for it: it may hold the engine for a moment, and with it the data directory.
    pub(crate) fn stop(&self) {
        *self.signal.stopped.lock() = true;
        self.signal.changed.notify_all();
        let Some(thread) = self.thread.lock().take() else { return };
        if thread.join().is_err() {
            tracing::error!("the housekeeper panicked");
        }
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

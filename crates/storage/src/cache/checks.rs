//! `Checks`: asking the authority for revisions, for all readers at once.
//!
//! A reader's key goes into the next query that begins after it came, never into one that is under way: so what the query finds is
//! from within the reader's own time, and the read is linearizable.

use std::{collections::HashMap, sync::Arc};

use kvstore_types::{
    Key, Revision,
    limits::{CACHE_CHECK_KEYS_MAX, CACHE_CHECKS_MAX},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::authority::Authority;
use crate::StoreError;

type Answer = Result<Option<Revision>, StoreError>;
type Waiting = HashMap<Key, Vec<oneshot::Sender<Answer>>>;

/// Checks that wait, and those under way.
pub(super) struct Checks {
    authority: Arc<dyn Authority>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: Waiting,
    running: usize,
}

impl Checks {
    pub(super) fn new(authority: Arc<dyn Authority>) -> Arc<Self> {
        Arc::new(Self { authority, queue: Mutex::default() })
    }

    /// The key's revision; `None` where it is absent.
    pub(super) async fn revision(self: &Arc<Self>, key: &Key) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut queue = self.queue.lock();
            queue.waiting.entry(key.clone()).or_default().push(sender);
            queue.take()
        };
        if let Some(first) = first {
            tokio::spawn(Arc::clone(self).run(first));
        }
        receiver.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the check of a cached entry broke off".into())))
    }

    /// Queries until nobody waits.
    async fn run(self: Arc<Self>, mut taken: Waiting) {
        loop {
            let running = Running(&self.queue);
            let (keys, waiting): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
            let answers = self.authority.revisions(&keys).await;
            for (at, senders) in waiting.into_iter().enumerate() {
                let answer = match &answers {
                    Ok(revisions) => revisions.get(at).copied().ok_or_else(|| StoreError::Read("a revision is missing".into())),
                    Err(error) => Err(error.clone()),
                };
                for sender in senders {
                    // A reader that went away is not waited for.
                    let _ = sender.send(answer.clone());
                }
            }
            drop(running);
            let next = self.queue.lock().take();
            match next {
                Some(next) => taken = next,
                None => return,
            }
        }
    }
}

/// A query under way; also one that panics ends.
struct Running<'a>(&'a Mutex<Queue>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Queue {
    /// What the next query asks for, unless enough are under way or nobody waits.
    fn take(&mut self) -> Option<Waiting> {
        if self.running >= CACHE_CHECKS_MAX || self.waiting.is_empty() {
            return None;
        }
        self.running += 1;
        if self.waiting.len() <= CACHE_CHECK_KEYS_MAX {
            return Some(std::mem::take(&mut self.waiting));
        }
        let chosen: Vec<_> = self.waiting.keys().take(CACHE_CHECK_KEYS_MAX).cloned().collect();
        Some(chosen.into_iter().filter_map(|key| self.waiting.remove_entry(&key)).collect())
    }
}

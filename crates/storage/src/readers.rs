//! Reader threads: where reads wait for the disk, so that no async worker does.
//!
//! They are few. A thread that is done takes the next read that waits, and of the sleeping ones one is woken at a time, which wakes
//! the next if more reads wait once it is there: waking costs about as much as a read that the system's page cache answers, and
//! until the first one runs a busy thread may have done what it was woken for.
//! The last to fall asleep is the first to be woken: a walk through the data then stays on one thread, with its warm caches and
//! its allocator's memory, where taking turns would leave memory with every thread.
//! They know nothing of engines; a read brings what it needs, so that an idle thread keeps no data directory open.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use kvstore_types::limits::{READ_QUEUE_MAX, READ_WAIT_MS_MAX};
use parking_lot::{Condvar, Mutex};
use tokio::{sync::oneshot, time::timeout};

use crate::{EngineError, StoreError};

type Job = Box<dyn FnOnce() + Send>;

/// A bounded number of threads, and the queue before them.
pub(crate) struct Readers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The sleeping threads, the last to fall asleep at the end. Whoever wakes one takes it out.
    asleep: Vec<Arc<Condvar>>,
    /// A thread was woken and has not taken a read yet.
    waking: bool,
    stopped: bool,
}

impl Readers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(name: &str, threads: usize) -> std::io::Result<Self> {
        let readers = Self(Arc::default());
        for number in 0..threads {
            let shared = Arc::clone(&readers.0);
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || shared.work_off())?;
        }
        Ok(readers)
    }

    /// Runs a read on one of the threads. A caller that goes away before its turn takes the read with it.
    ///
    /// # Errors
    /// The queue is full, the read did not end in time, or it failed.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = move || {
            if !reply.is_closed() {
                // Whoever asked may have gone away meanwhile.
                let _ = reply.send(read());
            }
        };
        self.0.queue(Box::new(job))?;
        match timeout(Duration::from_millis(READ_WAIT_MS_MAX), answer).await {
            Ok(Ok(done)) => done.map_err(StoreError::from),
            Ok(Err(_)) => Err(StoreError::Read("the read broke off".into())),
            Err(_) => Err(StoreError::Unavailable("the disk did not answer in time".into())),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.stopped = true;
        // Nobody waits for these any more.
        state.jobs.clear();
        for thread in state.asleep.drain(..) {
            thread.notify_one();
        }
    }
}

impl State {
    /// Takes out the thread to wake, unless one is on its way: that one wakes the next if there is need.
    fn wake(&mut self) -> Option<Arc<Condvar>> {
        if self.waking {
            return None;
        }
        let sleeper = self.asleep.pop();
        self.waking = sleeper.is_some();
        sleeper
    }
}

impl Shared {
    fn queue(&self, job: Job) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        if state.jobs.len() >= READ_QUEUE_MAX {
            return Err(StoreError::Overloaded("too many reads are waiting for the disk"));
        }
        state.jobs.push_back(job);
        let sleeper = state.wake();
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.notify_one();
        }
        Ok(())
    }

    fn work_off(&self) {
        let wake = Arc::new(Condvar::new());
        let mut state = self.state.lock();
        while !state.stopped {
            if let Some(job) = state.jobs.pop_front() {
                let sleeper = if state.jobs.is_empty() { None } else { state.wake() };
                drop(state);
                if let Some(sleeper) = sleeper {
                    sleeper.notify_one();
                }
                // A panic is the caller's, who sees the read break off; the thread goes on.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state.lock();
            } else {
                state.asleep.push(Arc::clone(&wake));
                wake.wait(&mut state);
                state.waking = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_is_an_error_and_the_thread_goes_on() {
        let readers = Readers::start("test", 1).expect("a thread");
        let broken = readers.run(|| -> Result<(), EngineError> { panic!("a read that panics") }).await;
        assert!(matches!(broken, Err(StoreError::Read(_))), "{broken:?}");
        assert_eq!(readers.run(|| Ok(7)).await.expect("an answer"), 7);
    }

    #[tokio::test]
    async fn as_many_reads_as_there_are_threads_wait_for_the_disk_at_once() {
        const THREADS: usize = 4;
        let readers = Readers::start("test", THREADS).expect("threads");
        for _ in 0..100 {
            let together = Arc::new(std::sync::Barrier::new(THREADS));
            let one = || {
                let together = Arc::clone(&together);
                readers.run(move || {
                    together.wait();
                    Ok(())
                })
            };
            let all = futures_util::future::try_join_all((0..THREADS).map(|_| one()));
            timeout(Duration::from_secs(10), all).await.expect("none waits for another's end").expect("no error");
        }
    }

    #[tokio::test]
    async fn a_full_queue_is_overload_and_whoever_went_away_is_not_read_for() {
        let readers = Readers::start("test", 1).expect("a thread");
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let block = readers.run(move || {
            started.send(()).expect("the test waits");
            released.recv().map_err(|error| EngineError::Read(error.to_string()))
        });
        tokio::pin!(block);
        assert!(futures_util::poll!(&mut block).is_pending());
        has_started.recv().expect("the read starts");
        let mut waiting: Vec<_> = (0..READ_QUEUE_MAX).map(|_| Box::pin(readers.run(|| Err::<(), _>(EngineError::WouldBlock)))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one).is_pending());
        }
        let refused = readers.run(|| Ok(())).await;
        assert!(matches!(refused, Err(StoreError::Overloaded(_))), "{refused:?}");
        // Whoever waits goes away: its reads must not be made.
        drop(waiting);
        release.send(()).expect("the read waits");
        block.await.expect("the first read ends");
        // The thread passes over them one by one, and the queue is full until it has begun.
        let answer = async {
            loop {
                match readers.run(|| Ok(7)).await {
                    Err(StoreError::Overloaded(_)) => tokio::task::yield_now().await,
                    answer => return answer,
                }
            }
        };
        assert_eq!(timeout(Duration::from_secs(10), answer).await.expect("an answer in time").expect("an answer"), 7);
    }
}

//! Reads of single keys that arrive together, read by one statement: most of what a read costs is its statement, not its row.
//!
//! A read that finds nobody reading goes at once, alone. While statements are under way the next reads gather, and whoever is done takes
//! all of them. Each is sent after its reads arrived, so each sees what was acknowledged before them (C4).

use std::{sync::Arc, time::Duration};

use kvstore_types::{
    Entry, Key, Projection,
    limits::{DATABASE_READ_GROUP_MAX, DATABASE_READ_GROUPS_MAX, DATABASE_SMALL_VALUE_BYTES, READ_QUEUE_MAX, READ_WAIT_MS_MAX},
};
use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Shared,
    read::{Seen, retried, seen},
    rows::{self, AFTER_HEADER, bigint},
};
use crate::StoreError;

/// What a gathered read came to.
enum Answer {
    Read(Option<Entry>),
    /// Its value is large, or it has just expired: it is read alone.
    ReadAlone,
}

struct Waiter {
    key: Key,
    reply: oneshot::Sender<Result<Answer, StoreError>>,
}

/// The reads that wait, and how many statements are under way.
#[derive(Default)]
pub(super) struct Reads(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiter>,
    running: usize,
}

/// Reads one key, with others where there are any.
pub(super) async fn read(shared: &Arc<Shared>, key: &Key) -> Result<Option<Entry>, StoreError> {
    let (reply, answer) = oneshot::channel();
    if shared.reads.add(Waiter { key: key.clone(), reply })? {
        tokio::spawn(run(UnderWay { shared: Arc::clone(shared), has_ended: false }));
    }
    let gone = |_| StoreError::Unavailable("the task that read it ended".into());
    // Its own statement has a deadline, but those before it in the queue have theirs too.
    let answer = timeout(Duration::from_millis(READ_WAIT_MS_MAX), answer).await;
    let answer = answer.map_err(|_| StoreError::Unavailable("the database did not answer in time".into()))?;
    match answer.map_err(gone)?? {
        Answer::Read(entry) => Ok(entry),
        Answer::ReadAlone => shared.read(key, Projection::Full).await,
    }
}

impl Reads {
    /// Adds a read. `true` where it needs a new statement: none is under way, or so many reads wait that one more is worth it.
    fn add(&self, waiter: Waiter) -> Result<bool, StoreError> {
        let mut state = self.0.lock();
        if state.waiting.len() >= READ_QUEUE_MAX {
            return Err(StoreError::Overloaded("too many reads are waiting"));
        }
        state.waiting.push(waiter);
        let is_crowded = state.waiting.len() >= state.running * (DATABASE_READ_GROUP_MAX / 4);
        let starts = state.running == 0 || (is_crowded && state.running < DATABASE_READ_GROUPS_MAX);
        state.running += usize::from(starts);
        Ok(starts)
    }

    fn take(&self) -> Vec<Waiter> {
        let waiting = &mut self.0.lock().waiting;
        let rest = waiting.split_off(waiting.len().min(DATABASE_READ_GROUP_MAX));
        std::mem::replace(waiting, rest)
    }

    /// Whether a statement is to go on: if not, it no longer counts as under way.
    fn goes_on(&self) -> bool {
        let mut state = self.0.lock();
        if state.waiting.is_empty() {
            state.running -= 1;
        }
        !state.waiting.is_empty()
    }
}

/// A statement under way. Where its task panics, those who wait must not wait for it for ever.
struct UnderWay {
    shared: Arc<Shared>,
    has_ended: bool,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let mut state = self.shared.reads.0.lock();
        state.running -= 1;
        if state.running == 0 {
            // Dropped replies are answers too: nobody else would give one.
            state.waiting.clear();
        }
    }
}

/// Reads what waits until nothing does.
async fn run(mut under_way: UnderWay) {
    while !under_way.has_ended {
        let group = under_way.shared.reads.take();
        under_way.shared.read_group(group).await;
        under_way.has_ended = !under_way.shared.reads.goes_on();
    }
}

impl Shared {
    async fn read_group(&self, group: Vec<Waiter>) {
        let names: Vec<_> = group.iter().map(|waiter| waiter.key.as_str()).collect();
        match self.answers(&names).await {
            Ok(answers) => {
                for (waiter, answer) in group.into_iter().zip(answers) {
                    // A caller that went away does not need its answer.
                    let _ = waiter.reply.send(answer);
                }
            }
            Err(error) => {
                for waiter in group {
                    let _ = waiter.reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn answers(&self, names: &[&str]) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
        let limit = bigint(DATABASE_SMALL_VALUE_BYTES);
        let rows = retried!(self, lease => lease.query(&lease.statements.read_small, &[&names, &limit]))?;
        let mut found = foldhash::HashMap::default();
        for row in &rows {
            found.insert(rows::column::<&str>(row, 0)?, row);
        }
        let answer = |name: &&str| {
            let Some(row) = found.get(name) else { return Ok(Answer::Read(None)) };
            let stored = rows::stored(row)?;
            match seen(&stored, self.time.at(rows::column(row, AFTER_HEADER)?)) {
                Seen::Absent => Ok(Answer::Read(None)),
                Seen::There if stored.header.value_len <= DATABASE_SMALL_VALUE_BYTES => {
                    let value = rows::value(row, AFTER_HEADER + 1, &stored.header)?;
                    Ok(Answer::Read(Some(Entry { key: rows::key(row)?, header: stored.header, value: Some(value) })))
                }
                Seen::There | Seen::JustExpired => Ok(Answer::ReadAlone),
            }
        };
        Ok(names.iter().map(answer).collect())
    }
}

//! `Chores`: what nobody waits for. Filling in what was read, evicting, and removing the marks of writes that have ended; sent
//! together, in the order that is safe whatever came first. When too much waits, fills are dropped: a cache may forget.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kvstore_types::{
    Key,
    limits::{CACHE_CHORE_BYTES_MAX, CACHE_CHORES_MAX, CACHE_CHORES_TOGETHER, CACHE_ENTRY_SECONDS},
};
use redis::{Pipeline, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::{
    link::{Link, is_out_of_memory, value_key},
    links::Links,
    metrics::CacheMetrics,
    scripts::{self, Answer, INSTANCE_KEY},
};

/// How often marks that are still to be removed are thought of.
const UNMARKS_EVERY: Duration = Duration::from_secs(1);

/// Something to be done in Redis.
pub(super) enum Chore {
    /// Store a payload; in fenced mode only under the token of its miss.
    Fill { key: Key, payload: Vec<u8>, token: Option<String> },
    /// Remove what is cached.
    Evict(Key),
    /// A write has ended: remove its mark from its keys.
    Unmark { keys: Arc<[Key]>, mark: Arc<str> },
    /// Tell somebody that all that was left before is done.
    Tell(oneshot::Sender<()>),
}

impl Chore {
    fn bytes(&self) -> usize {
        match self {
            Self::Fill { payload, .. } => payload.len(),
            Self::Evict(_) | Self::Unmark { .. } | Self::Tell(_) => 0,
        }
    }
}

/// Where chores are left.
pub(super) struct Chores {
    sender: mpsc::Sender<Chore>,
    waiting_bytes: Arc<AtomicUsize>,
    metrics: CacheMetrics,
}

impl Chores {
    /// Gives the place to leave chores, and the task that does them.
    pub(super) fn new(links: Arc<Links>, metrics: CacheMetrics) -> (Self, Doer) {
        let (sender, receiver) = mpsc::channel(CACHE_CHORES_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let doer = Doer { receiver, waiting_bytes: Arc::clone(&waiting_bytes), links, metrics: metrics.clone(), unmarks: Vec::new() };
        (Self { sender, waiting_bytes, metrics }, doer)
    }

    /// Waits until all that was left is done, but not for long.
    pub(super) async fn done(&self, limit: Duration) {
        let (sender, receiver) = oneshot::channel();
        self.leave(Chore::Tell(sender));
        let _ = tokio::time::timeout(limit, receiver).await;
    }

    /// Leaves a chore.
    pub(super) fn leave(&self, chore: Chore) {
        let bytes = chore.bytes();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > CACHE_CHORE_BYTES_MAX || self.sender.try_send(chore).is_err() {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.metrics.fills_refused.increment(1);
        }
    }
}

/// Does chores until nobody can leave any more.
pub(super) struct Doer {
    receiver: mpsc::Receiver<Chore>,
    waiting_bytes: Arc<AtomicUsize>,
    links: Arc<Links>,
    metrics: CacheMetrics,
    /// Marks to remove: kept while Redis is away, since a mark that stays keeps its key from being cached.
    unmarks: Vec<(Key, Arc<str>)>,
}

impl Doer {
    pub(super) async fn run(mut self) {
        let mut taken = Vec::with_capacity(CACHE_CHORES_TOGETHER);
        loop {
            let links = Arc::clone(&self.links);
            tokio::select! {
                count = self.receiver.recv_many(&mut taken, CACHE_CHORES_TOGETHER) => {
                    if count == 0 {
                        return;
                    }
                }
                () = links.renewed.notified() => {}
                () = tokio::time::sleep(UNMARKS_EVERY), if !self.unmarks.is_empty() => {}
            }
            self.waiting_bytes.fetch_sub(taken.iter().map(Chore::bytes).sum(), Ordering::Relaxed);
            self.do_all(&mut taken).await;
            taken.clear();
        }
    }

    async fn do_all(&mut self, taken: &mut Vec<Chore>) {
        // Dropped at the end, they are told.
        let (mut evicted, mut fills, mut _told) = (Vec::new(), Vec::new(), Vec::new());
        for chore in taken.drain(..) {
            match chore {
                Chore::Fill { key, payload, token } => fills.push((key, payload, token)),
                Chore::Evict(key) => evicted.push(key),
                Chore::Tell(sender) => _told.push(sender),
                Chore::Unmark { keys, mark } => self.unmarks.extend(keys.iter().map(|key| (key.clone(), Arc::clone(&mark)))),
            }
        }
        let Some(link) = self.links.current() else {
            // Beyond this many, marks are left to end by themselves.
            self.unmarks.truncate(CACHE_CHORES_MAX * 4);
            return;
        };
        let unmarks = self.unmarks.len().min(CACHE_CHORES_MAX);
        let mut pipeline = Pipeline::new();
        pipeline.ignore_errors();
        if let Some(first) = self.unmarks.get(..unmarks).filter(|first| !first.is_empty()) {
            pipeline.add_command(unmark(first));
        }
        if !evicted.is_empty() {
            let mut delete = redis::cmd("DEL");
            for key in &evicted {
                delete.arg(value_key(key));
            }
            pipeline.add_command(delete);
        }
        let before = pipeline.len();
        if link.is_roomy() {
            for fill in &fills {
                pipeline.add_command(fill_command(&link, fill));
            }
        } else {
            self.metrics.fills_refused.increment(fills.len() as u64);
        }
        if pipeline.is_empty() {
            return;
        }
        let answers = link.send(&pipeline).await;
        if let Some(answers) = self.links.checked(&link, answers) {
            self.unmarks.drain(..unmarks);
            for (at, answer) in answers.into_iter().enumerate() {
                self.conclude(&link, answer, if at < before { Kind::Removal } else { Kind::Fill });
            }
        }
    }

    fn conclude(&self, link: &Arc<Link>, answer: RedisResult<Value>, kind: Kind) {
        match (answer, kind) {
            // A fill that finds no room is no reason to give up what is cached.
            (Err(error), Kind::Fill) if is_out_of_memory(&error) => self.metrics.fills_refused.increment(1),
            (Err(error), _) => self.links.give_up(link, &error.to_string()),
            (Ok(_), Kind::Removal) | (Ok(Value::Okay), Kind::Fill) => self.metrics.fills.increment(u64::from(kind == Kind::Fill)),
            (Ok(Value::Int(number)), Kind::Fill) => match Answer::from_number(number) {
                Answer::Done => self.metrics.fills.increment(1),
                Answer::Refused => self.metrics.fills_refused.increment(1),
                Answer::OtherInstance => self.links.give_up(link, super::REPLACED),
            },
            (Ok(_), Kind::Fill) => self.metrics.fills_refused.increment(1),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Removal,
    Fill,
}

fn unmark(marks: &[(Key, Arc<str>)]) -> redis::Cmd {
    let mut call = scripts::call(&scripts::UNMARK, marks.len());
    for (key, _) in marks {
        call.arg(value_key(key));
    }
    for (_, mark) in marks {
        call.arg(&**mark);
    }
    call
}

fn fill_command(link: &Link, (key, payload, token): &(Key, Vec<u8>, Option<String>)) -> redis::Cmd {
    match token {
        Some(token) => {
            let mut call = scripts::call(&scripts::FILL, 2);
            call.arg(INSTANCE_KEY).arg(value_key(key)).arg(&*link.instance).arg(token).arg(CACHE_ENTRY_SECONDS).arg(payload.as_slice());
            call
        }
        None => {
            let mut set = redis::cmd("SET");
            set.arg(value_key(key)).arg(payload.as_slice()).arg("EX").arg(CACHE_ENTRY_SECONDS);
            set
        }
    }
}

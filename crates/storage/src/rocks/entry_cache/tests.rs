//! The gate under loom: every interleaving of fills, a write, evictions and a swap of generations. And what stays in the cache.

use kvstore_types::{Revision, Timestamp};
use loom::{
    model::Builder,
    sync::{
        Arc, Mutex as LoomMutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::*;

/// Every interleaving with up to three preemptions; without a bound the search takes hours.
fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

impl Lock for LoomMutex<Stripe> {
    fn new() -> Self {
        Self::new(Stripe::default())
    }

    fn with<R>(&self, act: impl FnOnce(&mut Stripe) -> R) -> R {
        act(&mut self.lock().expect("no thread panics while it holds the lock"))
    }
}

/// One key: its value in the engine and in the cache.
struct Model {
    gate: Gate<LoomMutex<Stripe>>,
    engine: AtomicUsize,
    cache: LoomMutex<Option<usize>>,
}

impl Model {
    fn new(value: usize) -> Self {
        Self { gate: Gate::new(1), engine: AtomicUsize::new(value), cache: LoomMutex::new(None) }
    }

    fn set(&self, value: Option<usize>) {
        *self.cache.lock().expect("no panic") = value;
    }

    fn read(&self) -> usize {
        if let Some(hit) = *self.cache.lock().expect("no panic") {
            return hit;
        }
        let ticket = self.gate.ticket(0);
        let value = self.engine.load(Ordering::SeqCst);
        if let Some(ticket) = ticket {
            self.gate.fill(&ticket, || self.set(Some(value)));
        }
        value
    }

    fn write(&self, value: usize) {
        self.gate.open(0, || self.set(None));
        self.engine.store(value, Ordering::SeqCst);
        self.gate.close(0, || self.set(Some(value)));
    }
}

#[test]
fn a_reader_never_goes_back_while_a_key_is_filled_and_written() {
    model(|| {
        let state = Arc::new(Model::new(1));
        let writer = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.write(2))
        };
        let filler = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.read())
        };
        let first = state.read();
        let second = state.read();
        assert!(second >= first, "read {second} after {first}");
        writer.join().expect("the writer ends");
        assert_eq!(state.read(), 2, "a read after the acknowledgement missed the write");
        filler.join().expect("the filler ends");
        assert_eq!(state.read(), 2, "a slow fill put an old value in");
    });
}

#[test]
fn an_eviction_between_leaves_the_cache_exact() {
    model(|| {
        let state = Arc::new(Model::new(1));
        let writer = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.write(2))
        };
        let evicter = {
            let state = Arc::clone(&state);
            thread::spawn(move || {
                state.read();
                state.set(None);
            })
        };
        state.read();
        writer.join().expect("the writer ends");
        evicter.join().expect("the evicter ends");
        assert_eq!(state.read(), 2);
    });
}

#[test]
fn a_fill_of_an_old_generation_does_not_reach_the_new_one() {
    model(|| {
        let generations = Arc::new([Model::new(1), Model::new(5)]);
        let current = Arc::new(AtomicUsize::new(0));
        let filler = {
            let (generations, current) = (Arc::clone(&generations), Arc::clone(&current));
            thread::spawn(move || generations[current.load(Ordering::SeqCst)].read())
        };
        current.store(1, Ordering::SeqCst);
        assert_eq!(generations[current.load(Ordering::SeqCst)].read(), 5, "a reader after the swap saw the old contents");
        filler.join().expect("the filler ends");
        assert_eq!(generations[current.load(Ordering::SeqCst)].read(), 5);
    });
}

/// The deliberate fault: without tickets loom finds the stale value, so the tests above can fail.
#[test]
#[should_panic(expected = "a slow fill put an old value in")]
fn without_tickets_a_slow_fill_is_caught() {
    model(|| {
        let state = Arc::new(Model::new(1));
        let writer = {
            let state = Arc::clone(&state);
            thread::spawn(move || state.write(2))
        };
        let value = state.engine.load(Ordering::SeqCst);
        state.set(Some(value));
        writer.join().expect("the writer ends");
        assert_eq!(state.read(), 2, "a slow fill put an old value in");
    });
}

fn header(revision: u64) -> Header {
    let at = Timestamp::ZERO;
    Header { version: revision, revision: Revision(revision), created_at: at, updated_at: at, expires_at: None, value_len: 100 }
}

fn write(cache: &EntryCache, key: &Key, revision: u64, value: &Bytes) {
    cache.begin_write(key);
    assert!(cache.get(key).is_none() && cache.peek_header(key).is_none(), "a key that is being written");
    cache.end_write(key, Some((header(revision), value)));
}

/// Each write removed the key and put it in as a new one. Beside a stream of keys that were written once, PUT to keys that it wrote every
/// few seconds found ever fewer of them, and read their records from disk.
#[test]
fn what_is_written_often_is_not_driven_out_by_what_is_written_once() {
    let cache = EntryCache::new(4 << 20);
    let (small, large) = (Bytes::from(vec![1; 100]), Bytes::from(vec![2; 4_000]));
    let keys: Vec<Key> = (0..2_000).map(|n| Key::new(&format!("often/{n}")).unwrap()).collect();
    let mut once = (0..).map(|n| Key::new(&format!("once/{n}")).unwrap());
    let mut missing = 0;
    for round in 0..20 {
        for (place, key) in keys.iter().enumerate() {
            missing += usize::from(round > 2 && cache.peek_header(key).is_none());
            write(&cache, key, round, &small);
            // The stream brings twenty times the capacity in all.
            if place % 2 == 0 {
                write(&cache, &once.next().unwrap(), round, &large);
            }
        }
    }
    assert_eq!(missing, 0, "of {} writes", 17 * keys.len());
    assert!(cache.weight() <= 4 << 20);
}

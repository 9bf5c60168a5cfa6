//! What a history is made of. Keys, values and marks are few, so that operations meet.

#![expect(clippy::indexing_slicing, reason = "indices are drawn from the lengths of the tables")]

use std::sync::Arc;

use bytes::Bytes;
use kvstore_types::{Condition, IdempotencyKey, Item, Key, KeyRange, Mutation, Outcome, Projection, Revision, Scan, Ttl, WriteBatch};
use proptest::prelude::*;

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Write(Write),
    Read(usize, Projection),
    ReadMany(Vec<usize>),
    Scan(Span),
    /// Moves the clocks by microseconds, also back.
    Clock(i64),
    Reopen,
}

/// A batch to be.
#[derive(Debug, Clone)]
pub(super) struct Write {
    items: Vec<(usize, Change, Test)>,
    idempotency: Option<u8>,
}

#[derive(Debug, Clone)]
enum Change {
    Put { size: usize, fill: u8, ttl: Option<u64> },
    Delete,
}

#[derive(Debug, Clone)]
enum Test {
    None,
    Absent,
    Present,
    /// One of the revisions that the history has seen, counted from the last.
    Revision(usize),
}

/// A scan to be.
#[derive(Debug, Clone)]
pub(super) struct Span {
    start: Option<usize>,
    end: Option<usize>,
    prefix: Option<usize>,
    after: Option<usize>,
    limit: usize,
    reverse: bool,
    projection: Projection,
}

const KEYS: [&str; 16] =
    ["a", "a\u{1}", "a/", "a/b", "aa", "b", "é", "éa", "é\u{10ffff}", "z", "\u{7ff}", "\u{ffff}", "\u{10000}", "\u{10ffff}", "0", "marker"];
const PREFIXES: [&str; 7] = ["a", "a/", "é", "\u{ffff}", "\u{10ffff}", "b", "x"];
const SIZES: [usize; 7] = [0, 1, 100, 4095, 4096, 4097, 20_000];

pub(super) fn key(index: usize) -> Key {
    Key::new(KEYS[index]).expect("a valid key")
}

fn a_key() -> impl Strategy<Value = usize> {
    0..KEYS.len()
}

fn projection() -> impl Strategy<Value = Projection> {
    prop_oneof![Just(Projection::Full), Just(Projection::Header)]
}

fn change() -> impl Strategy<Value = Change> {
    let ttl = prop_oneof![3 => Just(None), 2 => (1..20_u64).prop_map(Some)];
    prop_oneof![
        3 => (prop::sample::select(&SIZES[..]), any::<u8>(), ttl).prop_map(|(size, fill, ttl)| Change::Put { size, fill, ttl }),
        1 => Just(Change::Delete),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![6 => Just(Test::None), 1 => Just(Test::Absent), 1 => Just(Test::Present), 2 => (0..6_usize).prop_map(Test::Revision)]
}

fn write() -> impl Strategy<Value = Write> {
    let items = prop_oneof![
        2 => prop::collection::vec((a_key(), change(), test()), 1..=1),
        1 => prop::collection::vec((a_key(), change(), test()), 2..=6),
    ];
    (items, prop::option::weighted(0.3, 0..3_u8)).prop_map(|(items, idempotency)| Write { items, idempotency })
}

fn span() -> impl Strategy<Value = Span> {
    let bounds = (prop::option::of(a_key()), prop::option::of(a_key()), prop::option::of(0..PREFIXES.len()), prop::option::of(a_key()));
    (bounds, 1..8_usize, any::<bool>(), projection()).prop_map(|((start, end, prefix, after), limit, reverse, projection)| Span {
        start,
        end,
        prefix,
        after,
        limit,
        reverse,
        projection,
    })
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => write().prop_map(Op::Write),
        5 => (a_key(), projection()).prop_map(|(key, projection)| Op::Read(key, projection)),
        2 => prop::collection::vec(a_key(), 0..8).prop_map(Op::ReadMany),
        5 => span().prop_map(Op::Scan),
        2 => (0..15_000_000_i64).prop_map(Op::Clock),
        1 => (-20_000_000..0_i64).prop_map(Op::Clock),
        1 => Just(Op::Clock(13 * 3600 * 1_000_000)),
        1 => Just(Op::Reopen),
    ]
}

/// Makes requests out of steps, with the revisions that earlier answers gave.
#[derive(Default)]
pub(super) struct Reader {
    revisions: Vec<Revision>,
}

impl Reader {
    pub(super) fn learn(&mut self, outcome: &Outcome) {
        if let Outcome::Applied(done) = outcome {
            self.revisions.push(done.revision);
        }
    }

    pub(super) fn batch(&self, write: &Write) -> Arc<WriteBatch> {
        let mut items: Vec<Item> = Vec::new();
        for (index, change, test) in &write.items {
            if items.iter().any(|item| item.key == key(*index)) {
                continue;
            }
            let mutation = match change {
                Change::Delete => Mutation::Delete,
                Change::Put { size, fill, ttl } => Mutation::Put {
                    value: Bytes::from(vec![*fill; *size]),
                    ttl: ttl.map(|seconds| Ttl::from_seconds(seconds).expect("a valid time to live")),
                },
            };
            items.push(Item { key: key(*index), mutation, condition: self.condition(test) });
        }
        let idempotency = write.idempotency.map(|number| IdempotencyKey::new(&format!("once-{number}")).expect("a valid key"));
        Arc::new(WriteBatch::new(items, idempotency).expect("a valid batch"))
    }

    fn condition(&self, test: &Test) -> Option<Condition> {
        match test {
            Test::None => None,
            Test::Absent => Some(Condition::Absent),
            Test::Present => Some(Condition::Present),
            Test::Revision(back) => {
                Some(Condition::Revision(self.revisions.iter().rev().nth(*back).copied().unwrap_or(Revision(1_000_000))))
            }
        }
    }

    /// A put of a key that nothing else writes.
    pub(super) fn marker(&self) -> Arc<WriteBatch> {
        let mutation = Mutation::Put { value: Bytes::new(), ttl: None };
        Arc::new(WriteBatch::one(Item { key: Key::new("reopened").expect("a valid key"), mutation, condition: None }, None))
    }

    pub(super) fn scan(&self, span: &Span) -> Scan {
        let (mut start, mut end) = (span.start.map(key), span.end.map(key));
        if start > end && end.is_some() {
            std::mem::swap(&mut start, &mut end);
        }
        let range = KeyRange::new(start, end, span.prefix.map(|index| PREFIXES[index])).expect("ordered ends");
        Scan { range, after: span.after.map(key), limit: span.limit, reverse: span.reverse, projection: span.projection }
    }
}

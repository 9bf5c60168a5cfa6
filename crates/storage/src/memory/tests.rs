//! What only the memory engine's own tests can see: the sum of its idempotency records, and its checkpoint file.

use std::sync::Arc;

use kvstore_types::{IdempotencyKey, Item, Mutation, Outcome, limits::IDEMPOTENCY_KEPT_SECONDS};

use super::*;

fn put(key: &str, idempotency: Option<&str>) -> Proposal {
    let mutation = Mutation::Put { value: Bytes::from_static(b"value"), ttl: None };
    let item = Item { key: Key::new(key).unwrap(), mutation, condition: None };
    Proposal { batch: Arc::new(WriteBatch::one(item, idempotency.map(|key| IdempotencyKey::new(key).unwrap()))), hints: None }
}

fn apply(engine: &MemoryEngine, proposal: Proposal, at: i64) -> Outcome {
    let at = Timestamp::from_micros(at);
    engine.apply(&[proposal], at, &[("at", &at.as_micros().to_le_bytes())], Durability::Synced).unwrap().remove(0).unwrap()
}

fn is_replay(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied(applied) if applied.replayed)
}

#[test]
fn the_oldest_records_go_when_their_sum_is_over_the_limit() {
    let engine = MemoryEngine::default();
    apply(&engine, put("a", Some("first")), 1);
    let bytes_of_one = engine.contents.read().records.bytes();
    *engine.contents.write() = Contents { records: Records::limited_to(bytes_of_one * 2), ..Contents::default() };
    for (at, key) in ["first", "secnd", "third"].into_iter().enumerate() {
        assert!(!is_replay(&apply(&engine, put("a", Some(key)), 10 + at as i64)), "{key} is new");
    }
    assert_eq!(engine.contents.read().records.bytes(), bytes_of_one * 2, "two records fit");
    assert!(is_replay(&apply(&engine, put("a", Some("third")), 20)), "the newest is kept");
    assert!(is_replay(&apply(&engine, put("a", Some("secnd")), 21)), "the one before it is kept");
    assert!(!is_replay(&apply(&engine, put("a", Some("first")), 22)), "the oldest went");
}

#[test]
fn reclaiming_removes_ended_records_alone() {
    let engine = MemoryEngine::default();
    let day = i64::try_from(IDEMPOTENCY_KEPT_SECONDS).unwrap() * 1_000_000;
    apply(&engine, put("a", Some("old")), 1);
    apply(&engine, put("a", Some("new")), 1_000);
    let before = engine.contents.read().records.bytes();
    assert_eq!(engine.reclaim(&[], Timestamp::from_micros(day + 1), &[], Durability::Synced).unwrap(), 0, "no entries went");
    assert_eq!(engine.contents.read().records.bytes(), before / 2, "one of two equal records went");
    assert!(is_replay(&apply(&engine, put("a", Some("new")), day + 2)), "the newer record still counts");
}

#[test]
fn a_checkpoint_holds_everything_and_every_flipped_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = MemoryEngine::default();
    apply(&engine, put("a", Some("one")), 5);
    apply(&engine, put("é", None), 7);
    let path = dir.path().join("checkpoint");
    engine.checkpoint(&path).unwrap();
    assert!(matches!(engine.checkpoint(&path), Err(EngineError::Write(_))), "an existing directory is refused");

    let copy = MemoryEngine::default();
    copy.replace(&path).unwrap();
    assert_eq!(*copy.contents.read(), *engine.contents.read());

    let file = path.join("contents");
    let good = std::fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&file, &bad).unwrap();
        assert!(matches!(copy.replace(&path), Err(EngineError::Damaged(_))), "byte {at} was flipped");
        std::fs::write(&file, &good[..at]).unwrap();
        assert!(matches!(copy.replace(&path), Err(EngineError::Damaged(_))), "cut at {at}");
    }
    assert_eq!(*copy.contents.read(), *engine.contents.read(), "a refused checkpoint leaves the old contents");
}

/// A checkpoint of format 1: one entry, one record, one meta value. It must stay readable.
const FORMAT_1: &str = "01\
    0100000000000000\
    0900000000000000\
    0100000000000000\
    01000000000000006b\
    2000000000000000010109000000000000000900000000000000000000000000000005\
    76616c7565\
    0100000000000000\
    010000000000000069\
    350000000000000001f54c198a6c5d46935ef63ba67774e999159ce707eac1f4f4fc49ce214d5bbf54\
    01090000000000000001010109000000000000000100000000000000\
    02000000000000006174\
    08000000000000000900000000000000\
    4e7df2c9";

#[test]
fn format_1_is_read_and_written_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let engine = MemoryEngine::default();
    apply(&engine, put("k", Some("i")), 9);
    let path = dir.path().join("checkpoint");
    engine.checkpoint(&path).unwrap();
    let file = path.join("contents");
    let written: String = std::fs::read(&file).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, FORMAT_1);

    let bytes: Vec<u8> = (0..FORMAT_1.len()).step_by(2).map(|at| u8::from_str_radix(&FORMAT_1[at..at + 2], 16).unwrap()).collect();
    std::fs::write(&file, bytes).unwrap();
    let copy = MemoryEngine::default();
    copy.replace(&path).unwrap();
    assert_eq!(*copy.contents.read(), *engine.contents.read());
}

//! `evaluate` by a table: what is stored, what is asked, what comes of it.

use super::*;
use crate::{IdempotencyKey, Key, Ttl, limits::IDEMPOTENCY_KEPT_SECONDS};

const REVISION: Revision = Revision(50);
const STAMP: Timestamp = Timestamp::from_micros(1_000_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(text: &str, ttl: Option<u64>, condition: Option<Condition>) -> Item {
    let ttl = ttl.map(|seconds| Ttl::from_seconds(seconds).unwrap());
    Item { key: key(text), mutation: Mutation::Put { value: Bytes::from_static(b"value"), ttl }, condition }
}

fn delete(text: &str, condition: Option<Condition>) -> Item {
    Item { key: key(text), mutation: Mutation::Delete, condition }
}

/// An entry of version 3 at revision 7, created and last written at 100 and 200 us.
fn stored(expires_at: Option<Timestamp>) -> Header {
    let (created_at, updated_at) = (Timestamp::from_micros(100), Timestamp::from_micros(200));
    Header { version: 3, revision: Revision(7), created_at, updated_at, expires_at, value_len: 9 }
}

fn applied(evaluation: &Evaluation<'_>) -> Applied {
    match &evaluation.outcome {
        Outcome::Applied(applied) => applied.clone(),
        other => panic!("expected the batch to be applied, found {other:?}"),
    }
}

#[test]
fn each_mutation_of_each_state_under_each_condition() {
    let live = Some(stored(None));
    let ending = Some(stored(Some(STAMP.next())));
    let ended = Some(stored(Some(STAMP)));
    let (absent, present) = (Some(Condition::Absent), Some(Condition::Present));
    let (same, other) = (Some(Condition::Revision(Revision(7))), Some(Condition::Revision(Revision(8))));
    use Kind::{Created, Deleted, Updated};
    // What is stored, the condition, and the kinds of a put and of a delete: `Err(true)` where the condition fails, `Err(false)` where
    // nothing changes.
    type Row = (&'static str, Option<Header>, Option<Condition>, Result<Kind, bool>, Result<Kind, bool>);
    let table: [Row; 20] = [
        ("nothing", None, None, Ok(Created), Err(false)),
        ("nothing", None, absent, Ok(Created), Err(false)),
        ("nothing", None, present, Err(true), Err(true)),
        ("nothing", None, same, Err(true), Err(true)),
        ("nothing", None, other, Err(true), Err(true)),
        ("a live entry", live, None, Ok(Updated), Ok(Deleted)),
        ("a live entry", live, absent, Err(true), Err(true)),
        ("a live entry", live, present, Ok(Updated), Ok(Deleted)),
        ("a live entry", live, same, Ok(Updated), Ok(Deleted)),
        ("a live entry", live, other, Err(true), Err(true)),
        ("an entry in its last microsecond", ending, None, Ok(Updated), Ok(Deleted)),
        ("an entry in its last microsecond", ending, absent, Err(true), Err(true)),
        ("an entry in its last microsecond", ending, present, Ok(Updated), Ok(Deleted)),
        ("an entry in its last microsecond", ending, same, Ok(Updated), Ok(Deleted)),
        ("an entry in its last microsecond", ending, other, Err(true), Err(true)),
        ("an expired entry", ended, None, Ok(Created), Err(false)),
        ("an expired entry", ended, absent, Ok(Created), Err(false)),
        ("an expired entry", ended, present, Err(true), Err(true)),
        ("an expired entry", ended, same, Err(true), Err(true)),
        ("an expired entry", ended, other, Err(true), Err(true)),
    ];
    for (name, current, condition, of_put, of_delete) in table {
        for (item, expected) in [(put("a", None, condition), of_put), (delete("a", condition), of_delete)] {
            let what = format!("{name}, {condition:?}, {:?}", item.mutation);
            let batch = WriteBatch::one(item, None);
            let evaluation = evaluate(&batch, &[current], None, REVISION, STAMP);
            match expected {
                Ok(kind) => {
                    assert_eq!(applied(&evaluation).items[0].kind, kind, "{what}");
                    assert_eq!(evaluation.changes.len(), 1, "{what}: one change");
                    assert_eq!(evaluation.changes[0].before, current, "{what}: what must go is what is stored, expired or not");
                }
                Err(true) => {
                    let current = current.filter(|header| header.is_live(STAMP));
                    assert_eq!(evaluation.outcome, Outcome::ConditionFailed(vec![FailedCondition { index: 0, current }]), "{what}");
                    assert!(evaluation.changes.is_empty() && evaluation.record.is_none(), "{what}: nothing to store");
                }
                Err(false) => {
                    assert_eq!(evaluation.outcome, Outcome::Unchanged, "{what}");
                    assert!(evaluation.changes.is_empty() && evaluation.record.is_none(), "{what}: nothing to store");
                }
            }
        }
    }
}

#[test]
fn headers_of_a_creation_an_update_and_a_new_life() {
    let put_ttl = WriteBatch::one(put("a", Some(10), None), None);
    let header = |current| applied(&evaluate(&put_ttl, &[current], None, REVISION, STAMP)).items[0].header.unwrap();
    let new = Header {
        version: 1,
        revision: REVISION,
        created_at: STAMP,
        updated_at: STAMP,
        expires_at: Some(Timestamp::from_micros(1_010_000_000)),
        value_len: 5,
    };
    assert_eq!(header(None), new);
    assert_eq!(header(Some(stored(Some(STAMP)))), new, "an expired entry leaves nothing to its key's new life");
    let updated = Header { version: 4, created_at: Timestamp::from_micros(100), ..new };
    assert_eq!(header(Some(stored(None))), updated);
    let plain = WriteBatch::one(put("a", None, None), None);
    let cleared = applied(&evaluate(&plain, &[Some(stored(Some(STAMP.next())))], None, REVISION, STAMP));
    assert_eq!(cleared.items[0].header.unwrap().expires_at, None, "a put without a time to live clears the expiry");
}

#[test]
fn a_batch_keeps_the_order_of_its_items_and_names_every_failed_one() {
    let items = vec![put("a", None, None), delete("b", None), delete("c", None), put("d", None, None)];
    let batch = WriteBatch::new(items, None).unwrap();
    let evaluation = evaluate(&batch, &[None, Some(stored(None)), None, Some(stored(None))], None, REVISION, STAMP);
    let kinds: Vec<_> = applied(&evaluation).items.iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [Kind::Created, Kind::Deleted, Kind::Missing, Kind::Updated]);
    let changed: Vec<_> = evaluation.changes.iter().map(|change| (change.item.key.as_str(), change.after.is_some())).collect();
    assert_eq!(changed, [("a", true), ("b", false), ("d", true)], "a delete of an absent key is no change");

    let present = Some(Condition::Present);
    let items = vec![put("a", None, present), put("b", None, present), put("c", None, Some(Condition::Absent))];
    let batch = WriteBatch::new(items, None).unwrap();
    let evaluation = evaluate(&batch, &[None, Some(stored(None)), Some(stored(None))], None, REVISION, STAMP);
    let failed = [(0, None), (2, Some(stored(None)))].map(|(index, current)| FailedCondition { index, current });
    assert_eq!(evaluation.outcome, Outcome::ConditionFailed(failed.to_vec()));
    assert!(evaluation.changes.is_empty());
}

#[test]
fn idempotency_comes_before_conditions_and_ends_with_its_record() {
    let once = || Some(IdempotencyKey::new("once").unwrap());
    let create = WriteBatch::one(put("a", Some(10), Some(Condition::Absent)), once());
    let first = evaluate(&create, &[None], None, REVISION, STAMP);
    let record = first.record.clone().expect("an applied batch with a key leaves a record");
    let answer = Applied { replayed: true, ..applied(&first) };

    let later = STAMP.plus_seconds(IDEMPOTENCY_KEPT_SECONDS);
    let just_before = Timestamp::from_micros(later.as_micros() - 1);
    for (current, stamp) in [(None, STAMP.next()), (Some(stored(None)), just_before)] {
        let repeat = evaluate(&create, &[current], Some(&record), Revision(60), stamp);
        assert_eq!(repeat.outcome, Outcome::Applied(answer.clone()), "a repeat over {current:?}");
        assert!(repeat.changes.is_empty() && repeat.record.is_none(), "a repeat changes nothing");
    }
    let other = WriteBatch::one(put("a", Some(11), Some(Condition::Absent)), once());
    assert_eq!(evaluate(&other, &[None], Some(&record), Revision(60), just_before).outcome, Outcome::IdempotencyMismatch);

    let anew = evaluate(&other, &[None], Some(&record), Revision(60), later);
    assert!(!applied(&anew).replayed, "an ended record does not count");
    assert_eq!(anew.record.map(|record| record.revision), Some(Revision(60)), "and gives way to a new one");
    assert_eq!(evaluate(&create, &[None], None, REVISION, STAMP).record.map(|record| record.hash), Some(record.hash));
}

#[test]
fn only_an_applied_batch_leaves_a_record() {
    let once = || Some(IdempotencyKey::new("once").unwrap());
    let failing = WriteBatch::one(put("a", None, Some(Condition::Present)), once());
    assert_eq!(evaluate(&failing, &[None], None, REVISION, STAMP).record, None);
    let idle = WriteBatch::one(delete("a", None), once());
    assert_eq!(evaluate(&idle, &[None], None, REVISION, STAMP).record, None);
    let plain = WriteBatch::one(put("a", None, None), None);
    assert_eq!(evaluate(&plain, &[None], None, REVISION, STAMP).record, None, "no key, no record");
}

#[test]
fn stamps_follow_the_proposal_but_never_the_clock_back() {
    let at = Timestamp::from_micros;
    assert_eq!(next_stamp(at(10), at(20)), at(20));
    assert_eq!(next_stamp(at(10), at(11)), at(11));
    assert_eq!(next_stamp(at(10), at(10)), at(11));
    assert_eq!(next_stamp(at(10), at(-5)), at(11));
    assert_eq!(next_stamp(at(i64::MAX), at(0)), at(i64::MAX), "the end of time is the end");
}

#[test]
fn the_hash_tells_requests_apart_that_differ_in_anything() {
    use crate::RequestHash;
    let requests = [
        vec![put("a", None, None)],
        vec![put("b", None, None)],
        vec![put("a", Some(1), None)],
        vec![put("a", Some(2), None)],
        vec![put("a", None, Some(Condition::Absent))],
        vec![put("a", None, Some(Condition::Present))],
        vec![put("a", None, Some(Condition::Revision(Revision(1))))],
        vec![put("a", None, Some(Condition::Revision(Revision(2))))],
        vec![delete("a", None)],
        vec![delete("a", None), delete("b", None)],
        vec![delete("b", None), delete("a", None)],
        vec![delete("ab", None)],
        vec![put("avalue", None, None)],
    ];
    for (at, one) in requests.iter().enumerate() {
        for (other_at, other) in requests.iter().enumerate() {
            assert_eq!(RequestHash::of(one) == RequestHash::of(other), at == other_at, "{one:?} and {other:?}");
        }
    }
}

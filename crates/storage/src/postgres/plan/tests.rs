//! What a plan writes, and what it leaves, without any database.

use kvstore_types::{Condition, Item, Mutation, Ttl};

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn key(text: &str) -> Key {
    Key::new(text).expect("a key")
}

fn put(name: &str) -> Item {
    Item { key: key(name), mutation: Mutation::Put { value: Bytes::from_static(b"v"), ttl: None }, condition: None }
}

fn delete(name: &str) -> Item {
    Item { key: key(name), mutation: Mutation::Delete, condition: None }
}

fn batch(items: Vec<Item>) -> WriteBatch {
    WriteBatch::new(items, None).expect("a batch")
}

fn stored(revision: u64, expires_at: Option<Timestamp>) -> Stored {
    let at = Timestamp::from_micros(5);
    let header = Header { version: 3, revision: Revision(revision), created_at: at, updated_at: at, expires_at, value_len: 1 };
    Stored { header, is_tombstone: false }
}

fn snapshot(rows: &[(&str, Stored)], members: u64) -> Snapshot {
    let rows = rows.iter().map(|(name, stored)| (key(name), *stored)).collect();
    Snapshot { now: NOW, rows, records: HashMap::new(), revisions: (101..=100 + members).map(Revision).collect(), latest_arrival: 0 }
}

fn written(plan: &Plan<'_>) -> Vec<(String, Option<u64>, u64, u64)> {
    let shown =
        |row: FinalRow<'_>| (row.key.as_str().to_owned(), row.value.map(|_| row.header.version), row.header.revision.0, row.prior.0);
    plan.rows().into_iter().map(shown).collect()
}

#[test]
fn many_writes_of_a_key_are_one_row() {
    let batches = [batch(vec![put("a")]), batch(vec![put("a")]), batch(vec![put("a")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[("a", stored(7, None))], 3));
    assert_eq!(written(&plan), [("a".to_owned(), Some(6), 103, 7)]);
    assert_eq!(plan.applied, Some(Revision(103)));
}

/// A delete of an absent key rests on its absence: were it not written, another node could create the key unseen.
#[test]
fn an_absent_key_that_a_batch_rests_on_is_written_as_a_tombstone() {
    let batches = [batch(vec![put("b"), delete("a")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[], 1));
    assert_eq!(written(&plan), [("a".to_owned(), None, 101, 0), ("b".to_owned(), Some(1), 101, 0)]);
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let absent = Item { condition: Some(Condition::Present), ..put("a") };
    let batches = [batch(vec![absent]), batch(vec![delete("b")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[], 2));
    assert!(plan.is_empty());
    assert!(matches!(&plan.outcomes[..], [Some(Outcome::ConditionFailed(_)), Some(Outcome::Unchanged)]), "{:?}", plan.outcomes);
}

/// It would rest on the key that the group changes as of the commit, and on the other as of the snapshot.
#[test]
fn what_rests_on_the_group_and_on_the_snapshot_is_left_for_the_next() {
    let fails = |name: &str| Item { condition: Some(Condition::Absent), ..put(name) };
    let batches = [batch(vec![put("a")]), batch(vec![fails("a"), fails("b")]), batch(vec![fails("a")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[("b", stored(7, None))], 3));
    assert!(matches!(&plan.outcomes[..], [Some(Outcome::Applied(_)), None, Some(Outcome::ConditionFailed(_))]), "{:?}", plan.outcomes);
    assert_eq!(written(&plan).len(), 1);
}

#[test]
fn a_refusal_that_rests_on_a_key_that_just_expired_writes_its_tombstone() {
    let just = Timestamp::from_micros(NOW.as_micros() - 1);
    let refused = Item { condition: Some(Condition::Present), ..put("a") };
    let batches = [batch(vec![refused])];
    let plan = Plan::new(batches.iter(), &snapshot(&[("a", stored(7, Some(just)))], 1));
    // It keeps its revision: nobody can tell it from a key that was reclaimed.
    assert_eq!(written(&plan), [("a".to_owned(), None, 7, 7)]);
    let long_ago = Timestamp::from_micros(NOW.as_micros() - 1_000_000 * 601);
    let plan = Plan::new(batches.iter(), &snapshot(&[("a", stored(7, Some(long_ago)))], 1));
    assert!(plan.is_empty());
}

#[test]
fn what_is_taken_for_live_sets_a_deadline() {
    let soon = NOW.plus_seconds(1);
    let batches = [batch(vec![put("a"), put("b")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[("a", stored(7, Some(soon.plus_seconds(1)))), ("b", stored(8, Some(soon)))], 1));
    assert_eq!(plan.deadline, Some(soon));
    // The expiry of what the group itself writes is no matter.
    let ttl = Ttl::from_seconds(1).ok();
    let fresh = Item { key: key("c"), mutation: Mutation::Put { value: Bytes::new(), ttl }, condition: None };
    let batches = [batch(vec![fresh])];
    assert_eq!(Plan::new(batches.iter(), &snapshot(&[], 1)).deadline, None);
}

#[test]
fn stamps_grow_per_key_and_do_not_move_others() {
    let mut ahead = stored(7, None);
    ahead.header.updated_at = NOW.plus_seconds(60);
    let batches = [batch(vec![put("ahead")]), batch(vec![put("other")])];
    let plan = Plan::new(batches.iter(), &snapshot(&[("ahead", ahead)], 2));
    let stamps: Vec<_> = plan.rows().iter().map(|row| row.header.updated_at).collect();
    assert_eq!(stamps, [NOW.plus_seconds(60).next(), NOW]);
}

//! Histories known good and known bad: the verifier must pass the first and name the fault of each of the second.

use std::time::{Duration, Instant};

use super::{Before, Contents, Fault, FaultKind, Reading, Seen, verify};
use crate::journal::{Answer, Change, Op, Write};
use crate::value;

const PUT: Change = Change::Put { length: 50, ttl: None };

/// A history in the making. Time is the number of the step.
struct Story {
    before: Before,
    ops: Vec<Op>,
    now: Contents,
    start: Instant,
    time: u64,
}

impl Story {
    fn new() -> Story {
        Story { before: Before::default(), ops: Vec::new(), now: Contents::new(), start: Instant::now(), time: 0 }
    }

    fn op(&mut self, id: u64, keys: &[&str], change: Change, answer: Option<Option<u64>>) -> &mut Op {
        self.time += 2;
        let answer = match answer {
            Some(revision) => Answer::Applied { revision, completed: self.time + 1, completed_at: self.start },
            None => Answer::Unknown,
        };
        let writes = keys.iter().map(|key| Write { key: (*key).to_owned(), change }).collect();
        let op = Op { id, writes, if_match: None, idempotency: None, invoked: self.time, invoked_at: self.start, answer };
        self.ops.push(op);
        self.ops.last_mut().unwrap()
    }

    fn put(&mut self, id: u64, key: &str, revision: u64) -> &mut Op {
        self.op(id, &[key], PUT, Some(Some(revision)))
    }

    fn delete(&mut self, id: u64, key: &str) {
        self.op(id, &[key], Change::Delete, Some(None));
    }

    fn sees(&mut self, key: &str, id: u64, item: usize, revision: u64) {
        self.now.insert(key.to_owned(), Seen { revision, value: value::value(id, item, 50), expires: false });
    }

    /// Makes what is seen the past, and starts anew.
    fn settle(&mut self) {
        self.before = self.before.after(&self.ops, &self.now);
        self.ops.clear();
    }

    fn faults(&self, later: Duration) -> Vec<Fault> {
        self.faults_read_between(later, later)
    }

    fn faults_read_between(&self, began: Duration, ended: Duration) -> Vec<Fault> {
        verify(&self.before, &self.ops, &self.now, Reading { began: self.start + began, ended: self.start + ended })
    }

    fn assert_good(&self) {
        assert_eq!(self.faults(Duration::ZERO), []);
    }

    fn assert_bad(&self, kind: FaultKind) {
        let faults = self.faults(Duration::ZERO);
        assert!(faults.iter().any(|fault| fault.kind == kind), "{kind:?} was not found, only {faults:?}");
    }
}

#[test]
fn an_acknowledged_write_that_is_there_is_good() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.put(2, "a", 11);
    story.sees("a", 2, 0, 11);
    story.assert_good();
}

#[test]
fn a_lost_acknowledgement_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.assert_bad(FaultKind::Lost);
    story.put(2, "a", 11);
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::Lost);
}

#[test]
fn a_lost_entry_from_before_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.sees("a", 1, 0, 10);
    story.settle();
    story.assert_good();
    story.now.clear();
    story.assert_bad(FaultKind::Lost);
}

#[test]
fn an_unknown_write_may_be_there_or_not() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.op(2, &["a"], PUT, None);
    story.sees("a", 1, 0, 10);
    story.assert_good();
    story.sees("a", 2, 0, 11);
    story.assert_good();
}

#[test]
fn an_unknown_write_that_shows_up_later_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.op(2, &["a"], PUT, None);
    story.sees("a", 1, 0, 10);
    story.settle();
    story.sees("a", 2, 0, 11);
    story.assert_bad(FaultKind::Resurrected);
}

#[test]
fn a_resurrected_delete_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.delete(2, "a");
    story.assert_good();
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::Resurrected);
}

#[test]
fn a_delete_of_an_entry_from_before_that_is_back_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.sees("a", 1, 0, 10);
    story.settle();
    story.delete(2, "a");
    story.assert_bad(FaultKind::Resurrected);
}

#[test]
fn a_put_that_ran_beside_a_delete_may_win_or_lose() {
    let mut story = Story::new();
    story.put(1, "a", 10).answer = Answer::Applied { revision: Some(10), completed: 9, completed_at: Instant::now() };
    story.delete(2, "a");
    story.assert_good();
    story.sees("a", 1, 0, 10);
    story.assert_good();
}

#[test]
fn a_delete_before_a_put_does_not_explain_its_loss() {
    let mut story = Story::new();
    story.delete(1, "a");
    story.put(2, "a", 10);
    story.assert_bad(FaultKind::Lost);
}

#[test]
fn a_half_batch_is_found() {
    let mut story = Story::new();
    story.op(1, &["a", "b"], PUT, None);
    story.assert_good();
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::HalfBatch);
    story.sees("b", 1, 1, 10);
    story.assert_good();
    story.sees("b", 1, 1, 11);
    story.assert_bad(FaultKind::Revision);
}

#[test]
fn half_of_an_acknowledged_batch_is_lost() {
    let mut story = Story::new();
    story.op(1, &["a", "b"], PUT, Some(Some(10)));
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::Lost);
}

#[test]
fn a_write_answered_as_not_applied_that_is_there_is_found() {
    let mut story = Story::new();
    story.op(1, &["a"], PUT, None).answer = Answer::NotApplied;
    story.assert_good();
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::NotAppliedIsThere);
}

#[test]
fn wrong_bytes_are_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.sees("a", 1, 0, 10);
    story.now.get_mut("a").unwrap().value = value::value(1, 0, 49);
    story.assert_bad(FaultKind::Corrupt);
    story.now.get_mut("a").unwrap().value = b"nobody's".as_slice().into();
    story.assert_bad(FaultKind::Corrupt);
}

#[test]
fn a_revision_that_falls_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.put(2, "a", 9);
    story.sees("a", 1, 0, 10);
    story.assert_bad(FaultKind::Revision);
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.delete(2, "a");
    story.settle();
    story.put(3, "a", 10);
    story.sees("a", 3, 0, 10);
    story.assert_bad(FaultKind::Revision);
}

#[test]
fn a_condition_met_twice_is_found() {
    let mut story = Story::new();
    story.put(1, "a", 10);
    story.put(2, "a", 11).if_match = Some(10);
    story.put(3, "a", 12).if_match = Some(10);
    story.sees("a", 3, 0, 12);
    story.assert_bad(FaultKind::Condition);
    story.ops[2].if_match = Some(11);
    story.assert_good();
}

#[test]
fn expiry_explains_absence_in_time_and_no_sooner() {
    let mut story = Story::new();
    story.op(1, &["a"], Change::Put { length: 50, ttl: Some(Duration::from_secs(1)) }, Some(Some(10)));
    assert!(!story.faults(Duration::ZERO).is_empty(), "gone before its time");
    assert_eq!(story.faults(Duration::from_secs(1)), []);
    story.sees("a", 1, 0, 10);
    assert_eq!(story.faults(Duration::from_secs(1)), []);
    let faults = story.faults(Duration::from_secs(4));
    assert!(faults.iter().any(|fault| fault.kind == FaultKind::Resurrected), "there after its time: {faults:?}");
}

/// On a busy machine reading takes long enough for keys to expire meanwhile: they were reported as lost.
#[test]
fn a_key_that_expires_while_the_store_is_read_is_not_lost() {
    let mut story = Story::new();
    story.put(1, "a", 1);
    story.op(2, &["a"], Change::Put { length: 50, ttl: Some(Duration::from_secs(1)) }, Some(Some(2)));
    let (before, at) = (Duration::from_millis(900), Duration::from_millis(1_100));
    assert_eq!(story.faults_read_between(before, at), []);
    let faults = story.faults_read_between(before, before);
    assert!(faults.iter().any(|fault| fault.kind == FaultKind::Lost), "it was read before it could expire: {faults:?}");
}

//! Histories that are known to be good, and histories that are known to be bad, each named after what went wrong.

use super::operation::{Answer, Call, Condition, Operation};
use super::{Fault, brute_force, check};

/// A history in the making. Times are in milliseconds.
#[derive(Default)]
struct Story(Vec<Operation>);

impl Story {
    fn op(mut self, times: (u64, u64), call: Call, answer: Answer) -> Story {
        let (invoked, returned) = (times.0 * 1_000_000, times.1 * 1_000_000);
        let client = u32::try_from(self.0.len()).unwrap();
        self.0.push(Operation { client, key: "k".into(), call, answer, invoked, returned });
        self
    }

    fn put(self, times: (u64, u64), value: u64, version: u64, revision: u64) -> Story {
        self.op(times, Call::Put { value, condition: None }, Answer::Stored { version, revision })
    }

    fn put_if(self, times: (u64, u64), value: u64, condition: Condition, answer: Answer) -> Story {
        self.op(times, Call::Put { value, condition: Some(condition) }, answer)
    }

    fn lost_put(self, at: u64, value: u64) -> Story {
        self.op((at, at), Call::Put { value, condition: None }, Answer::Unknown)
    }

    fn get(self, times: (u64, u64), value: u64, version: u64, revision: u64) -> Story {
        self.op(times, Call::Get, Answer::Found { value, version, revision })
    }

    fn get_absent(self, times: (u64, u64)) -> Story {
        self.op(times, Call::Get, Answer::Absent)
    }

    fn delete(self, times: (u64, u64)) -> Story {
        self.op(times, Call::Delete { condition: None }, Answer::Deleted)
    }

    fn lost_delete(self, at: u64) -> Story {
        self.op((at, at), Call::Delete { condition: None }, Answer::Unknown)
    }

    #[track_caller]
    fn good(self) {
        let faults = check(&self.0);
        assert!(faults.is_empty(), "a good history was refused:\n{}", faults[0]);
        assert!(brute_force::is_linearizable(&self.0), "it is not good");
    }

    /// It is refused, and the report names the operation at this place.
    #[track_caller]
    fn bad_at(self, place: usize) -> String {
        assert!(!brute_force::is_linearizable(&self.0), "it is not bad");
        let faults = check(&self.0);
        let [Fault::NotLinearizable(violation)] = faults.as_slice() else {
            panic!("a bad history was accepted: {faults:?}");
        };
        let offender = violation.offender.as_ref().expect("an offender");
        assert_eq!(offender.client as usize, place, "the report names another operation:\n{violation}");
        violation.to_string()
    }
}

fn story() -> Story {
    Story::default()
}

const REFUSED_AT_5: Answer = Answer::Refused { current: Some(5) };

#[test]
fn one_after_the_other_is_good() {
    story().put((0, 1), 1, 1, 5).get((2, 3), 1, 1, 5).put((4, 5), 2, 2, 6).get((6, 7), 2, 2, 6).delete((8, 9)).get_absent((10, 11)).good();
}

#[test]
fn concurrent_reads_may_see_either_side_of_a_write() {
    story().put((0, 1), 1, 1, 5).put((2, 10), 2, 2, 6).get((3, 4), 1, 1, 5).get((5, 6), 2, 2, 6).good();
}

#[test]
fn a_stale_read_is_bad() {
    story().put((0, 1), 1, 1, 5).put((2, 3), 2, 2, 6).get((4, 5), 1, 1, 5).bad_at(2);
}

#[test]
fn a_read_that_goes_back_behind_another_read_is_bad() {
    story().put((0, 1), 1, 1, 5).put((2, 10), 2, 2, 6).get((3, 4), 2, 2, 6).get((5, 6), 1, 1, 5).bad_at(3);
}

#[test]
fn a_lost_write_is_bad() {
    story().put((0, 1), 1, 1, 5).get_absent((2, 3)).bad_at(1);
    story().put((0, 1), 1, 1, 5).put((2, 3), 2, 2, 6).put((4, 5), 3, 2, 7).bad_at(2);
}

#[test]
fn a_resurrected_value_is_bad() {
    story().put((0, 1), 1, 1, 5).delete((2, 3)).get((4, 5), 1, 1, 5).bad_at(2);
    story().put((0, 1), 1, 1, 5).delete((2, 3)).get_absent((4, 5)).get((6, 7), 1, 1, 5).bad_at(3);
}

#[test]
fn a_delete_that_deleted_nothing_is_bad() {
    story().put((0, 1), 1, 1, 5).delete((2, 3)).delete((4, 5)).bad_at(2);
}

#[test]
fn a_read_from_the_future_is_bad() {
    story().get((0, 1), 1, 1, 5).put((2, 3), 1, 1, 5).bad_at(0);
    story().get((0, 1), 1, 1, 5).lost_put(2, 1).bad_at(0);
}

#[test]
fn a_value_that_nobody_wrote_is_bad() {
    story().put((0, 1), 1, 1, 5).get((2, 3), 9, 1, 5).bad_at(1);
}

#[test]
fn a_write_that_was_answered_as_not_applied_must_not_be_seen() {
    let put = Call::Put { value: 1, condition: None };
    story().op((0, 1), put, Answer::NotApplied).get_absent((2, 3)).good();
    story().op((0, 1), put, Answer::NotApplied).get((2, 3), 1, 1, 5).bad_at(1);
}

#[test]
fn an_unknown_write_may_take_effect_late_or_never() {
    story().lost_put(0, 1).get_absent((1, 2)).get_absent((3, 4)).good();
    story().lost_put(0, 1).get_absent((1, 2)).get((3, 4), 1, 1, 5).good();
    story().put((0, 1), 1, 1, 5).lost_delete(2).get((3, 4), 1, 1, 5).get_absent((5, 6)).good();
}

#[test]
fn an_unknown_write_that_was_seen_must_not_vanish() {
    story().lost_put(0, 1).get((1, 2), 1, 1, 5).get_absent((3, 4)).bad_at(2);
    story().put((0, 1), 1, 1, 5).lost_put(2, 2).get((3, 4), 2, 2, 6).get((5, 6), 1, 1, 5).bad_at(3);
    story().put((0, 1), 1, 1, 5).lost_delete(2).get_absent((3, 4)).get((5, 6), 1, 1, 5).bad_at(3);
}

#[test]
fn an_unknown_write_takes_effect_once_at_most() {
    story().put((0, 1), 1, 1, 5).lost_delete(2).get_absent((3, 4)).put((5, 6), 2, 1, 8).get_absent((7, 8)).bad_at(4);
    story().put((0, 1), 1, 1, 5).lost_put(2, 7).put((3, 4), 2, 3, 8).put((5, 6), 3, 5, 9).bad_at(3);
}

#[test]
fn an_unseen_unknown_write_explains_a_version() {
    story().put((0, 1), 1, 1, 5).lost_put(2, 7).put((3, 4), 2, 3, 8).good();
    story().put((0, 1), 1, 1, 5).put((3, 4), 2, 3, 8).lost_put(5, 7).bad_at(1);
}

#[test]
fn revisions_grow_also_across_a_delete() {
    story().put((0, 1), 1, 1, 5).delete((2, 3)).put((4, 5), 2, 1, 7).good();
    story().put((0, 1), 1, 1, 5).delete((2, 3)).put((4, 5), 2, 1, 5).bad_at(2);
    story().put((0, 1), 1, 1, 5).put((2, 3), 2, 2, 5).bad_at(1);
    // The write in between has no answer, and a revision of its own.
    story().put((0, 1), 1, 1, 5).lost_put(2, 7).put((3, 4), 2, 3, 6).bad_at(1 + 1);
}

#[test]
fn of_two_writes_on_the_same_condition_one_is_refused() {
    let (if_5, if_absent) = (Condition::Revision(5), Condition::Absent);
    let stored = |version, revision| Answer::Stored { version, revision };
    story().put((0, 1), 1, 1, 5).put_if((2, 5), 2, if_5, stored(2, 6)).put_if((3, 4), 3, if_5, Answer::Refused { current: Some(6) }).good();
    story().put((0, 1), 1, 1, 5).put_if((2, 5), 2, if_5, stored(2, 6)).put_if((3, 4), 3, if_5, stored(3, 7)).bad_at(2);
    story().put_if((0, 5), 1, if_absent, stored(1, 5)).put_if((0, 6), 2, if_absent, REFUSED_AT_5).good();
    story().put_if((0, 5), 1, if_absent, stored(1, 5)).put_if((0, 6), 2, if_absent, stored(1, 6)).bad_at(1);
}

#[test]
fn a_refusal_is_a_read() {
    let if_9 = Condition::Revision(9);
    story().put((0, 1), 1, 1, 5).put_if((2, 3), 2, if_9, REFUSED_AT_5).good();
    story().put((0, 1), 1, 1, 5).put((2, 3), 2, 2, 6).put_if((4, 5), 3, if_9, REFUSED_AT_5).bad_at(2);
    story().put((0, 1), 1, 1, 5).put_if((2, 3), 2, Condition::Revision(5), REFUSED_AT_5).bad_at(1);
    story().put((0, 1), 1, 1, 5).put_if((2, 3), 2, if_9, Answer::Refused { current: None }).bad_at(1);
}

#[test]
fn an_unknown_write_has_one_revision() {
    let if_9 = Condition::Revision(9);
    let refused = |current| Answer::Refused { current: Some(current) };
    story().lost_put(0, 1).put_if((1, 2), 2, if_9, refused(7)).put_if((3, 4), 3, if_9, refused(7)).good();
    story().lost_put(0, 1).put_if((1, 2), 2, if_9, refused(7)).put_if((3, 4), 3, if_9, refused(6)).bad_at(2);
    story().lost_put(0, 1).get((1, 2), 1, 1, 5).get((3, 4), 1, 1, 6).bad_at(2);
}

#[test]
fn keys_are_checked_alone() {
    let mut other = story().put((2, 3), 2, 1, 6).get_absent((4, 5)).0;
    other.iter_mut().for_each(|operation| operation.key = "other".into());
    let mut operations = story().put((0, 1), 1, 1, 5).get((6, 7), 1, 1, 5).0;
    operations.append(&mut other);
    let faults: Vec<String> = check(&operations).iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("other: "), "{faults:?}");
}

#[test]
fn the_report_shows_the_operations_around_the_offender() {
    let report = story().put((0, 1), 1, 1, 5).put((2, 3), 2, 2, 6).get((3, 9), 2, 2, 6).get((4, 5), 1, 1, 5).lost_put(4, 3).bad_at(3);
    let told = "\
k: no order of its 5 operations explains the answers (1 without one)
      [    0.000 ..     1.000] client  0: put value 1 -> stored as version 1, revision 5
      [    2.000 ..     3.000] client  1: put value 2 -> stored as version 2, revision 6
      [    3.000 ..     9.000] client  2: get -> value 2, version 2, revision 6
    then the key is value 2, version 2, revision 6
                 or a value that nobody read, version 3, a revision above 6
    > [    4.000 ..     5.000] client  3: get -> value 1, version 1, revision 5
    written by
      [    0.000 ..     1.000] client  0: put value 1 -> stored as version 1, revision 5
    at the same time
      [    4.000 ..         ?] client  4: put value 3 -> unknown";
    assert_eq!(report, told);
}

#[test]
fn a_long_history_is_checked_quickly() {
    let mut long = story();
    for n in 0..20_000_u64 {
        let at = n * 10;
        long = long.put((at, at + 12), n + 1, n + 1, n + 5).get((at + 1, at + 12), n + 1, n + 1, n + 5);
        if n % 100 == 0 {
            long = long.lost_put(at, 1_000_000 + n).lost_delete(at);
        }
    }
    assert!(check(&long.0).is_empty());
    // The last read shows a value that was replaced: every way of using what has no answer must be tried.
    let last = 20_000 * 10;
    long = long.get((last + 20, last + 21), 7, 7, 11);
    assert_eq!(check(&long.0).len(), 1);
}

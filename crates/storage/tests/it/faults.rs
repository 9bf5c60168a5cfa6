//! Proof that the suite can fail: stores with one deliberate fault each, and the cases that must catch it.
//!
//! Each fault wraps the specification, which has none. A fault that its cases let pass is a hole in the suite.

mod faulty;

use std::sync::Arc;

use kvstore_storage::conformance::{self, Verdict};

use self::faulty::{Fault, FaultyFixture};

/// Every fault, with the cases that must fail on it.
const FAULTS: &[(Fault, &[&str])] = &[
    (Fault::DropsEveryThirdPut, &["a_version_counts_the_updates_of_one_life", "reads_are_never_behind_an_acknowledged_write"]),
    (Fault::ReadsFromAnOldCopy, &["every_kind_of_read_sees_an_acknowledged_write", "reads_are_never_behind_an_acknowledged_write"]),
    (Fault::SplitsBatches, &["a_batch_is_applied_as_a_whole", "a_failed_condition_leaves_the_whole_batch_undone"]),
    (Fault::ShowsHalfABatch, &["readers_see_no_part_of_a_batch", "pages_show_no_part_of_a_batch"]),
    (Fault::ChecksConditionsBeforeOrdering, &["of_racing_creators_one_wins", "counting_by_revision_loses_no_update"]),
    (Fault::IgnoresConditions, &["each_condition_holds_when_it_should", "a_revision_is_a_safe_lock_where_a_version_is_not"]),
    (Fault::NamesOneFailedItem, &["every_failed_item_is_named"]),
    (Fault::UsesTheVersionAsRevision, &["a_revision_is_a_safe_lock_where_a_version_is_not", "revisions_are_never_shared_by_batches"]),
    (Fault::RenewsCreationTimes, &["updated_at_grows_while_the_clock_stands"]),
    (Fault::AppliesDeletesOfNothing, &["deleting_absent_keys_changes_nothing"]),
    (Fault::RepeatsTheCursor, &["pages_add_up_to_the_range", "paging_is_exact_under_writes"]),
    (Fault::SkipsAfterTheCursor, &["pages_add_up_to_the_range", "paging_is_exact_under_writes"]),
    (Fault::EndsAfterOnePage, &["a_page_ends_at_its_limit", "pages_add_up_to_the_range"]),
    (Fault::AlwaysHasANext, &["a_full_page_has_a_next_only_where_more_follows"]),
    (Fault::JoinsPages, &["a_page_ends_at_its_limit", "a_page_ends_at_its_bytes"]),
    (Fault::OrdersByUtf16, &["keys_are_ordered_by_their_bytes"]),
    (Fault::ExcludesTheEnd, &["start_and_end_are_inclusive", "start_end_and_prefix_restrict_together"]),
    (Fault::ScansKeyByKey, &["a_page_is_one_snapshot", "pages_show_no_part_of_a_batch"]),
    (Fault::ReadsManyOneByOne, &["reads_of_many_keys_are_one_snapshot", "readers_see_no_part_of_a_batch"]),
    (Fault::SortsReadsOfMany, &["reads_of_many_keys_keep_the_order_asked_for"]),
    (Fault::ForgetsTheLengthInHeaders, &["header_reads_agree_with_full_reads"]),
    (Fault::CutsLargeValues, &["values_come_back_byte_for_byte", "large_and_small_values_replace_each_other"]),
    (Fault::IgnoresTimesToLive, &["a_key_is_there_until_its_expiry_and_absent_from_then_on", "an_expired_key_is_absent_to_every_write"]),
    (Fault::KeepsAnEarlierExpiry, &["a_put_without_a_time_to_live_clears_the_expiry"]),
    (Fault::IgnoresIdempotencyKeys, &["a_repeat_gets_the_first_answer", "of_racing_repeats_one_is_applied"]),
    (Fault::RemembersFailures, &["only_applied_outcomes_are_remembered"]),
    (Fault::RemembersForEver, &["records_end_after_a_day", "a_replay_does_not_prolong_its_record"]),
    (Fault::CallsRefusalsUnknown, &["shutdown_refuses_writes_as_not_applied"]),
    (Fault::LosesEverythingAtReopening, &["acknowledged_writes_survive_a_reopening", "records_survive_a_reopening"]),
    (
        Fault::RestoresAsIfWrittenNow,
        &[
            "restored_entries_are_as_they_were",
            "a_restore_stops_where_something_else_was_written",
            "what_is_written_after_a_restore_comes_after_it",
        ],
    ),
    (Fault::LosesEverythingInACrash, &["acknowledged_writes_survive_a_crash"]),
];

#[test]
fn every_deliberate_fault_is_caught_by_the_cases_named_for_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    for (fault, cases) in FAULTS {
        let factory = || FaultyFixture::of(*fault) as Arc<dyn conformance::Fixture>;
        let report = runtime.block_on(conformance::run_named(&factory, cases)).expect("the cases named for the fault");
        for ruling in report.rulings {
            let caught = matches!(&ruling.verdict, Verdict::Failed(why) if !why.contains("no end after"));
            assert!(caught, "{} does not catch {fault:?}: {:?}", ruling.name, ruling.verdict);
        }
    }
}

#[test]
fn the_wrapper_without_a_fault_passes_the_same_cases() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    let mut names: Vec<_> = FAULTS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    let factory = || FaultyFixture::of(Fault::None) as Arc<dyn conformance::Fixture>;
    let report = runtime.block_on(conformance::run_named(&factory, &names)).expect("the cases of all faults");
    assert_eq!(report.failures(), Vec::<String>::new(), "cases that fail on a store without a fault");
}

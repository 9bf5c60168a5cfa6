//! A model of the fenced cache's protocol, checked through all its interleavings within its bounds: two nodes, one key, two writes,
//! some reads, and any faults at any moment. The model follows `cache/fencing.rs`, `guard.rs`, `keeper.rs` and the scripts step by
//! step; a change there is a change here.
//!
//! Each deliberate fault leaves out one thing that the protocol does. That the checker finds a stale read then shows that this
//! thing is needed, and that the checker looks.

mod protocol;
mod state;

use std::{io::Write as _, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use self::protocol::Fenced;

/// What the protocol leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    FillsWithoutAToken,
    SetsNoMark,
    WaitsForNoLease,
    ChecksTheLeaseBefore,
    StampsTheEpochOfTheFill,
    AsksForNoInstance,
    OpensWithoutAgreement,
    AgreesWithBareWrites,
}

/// Each with the bounds within which it is found: reads, faults.
const FLAWS: &[(Flaw, u8, u8)] = &[
    (Flaw::FillsWithoutAToken, 2, 0),
    (Flaw::SetsNoMark, 2, 0),
    (Flaw::WaitsForNoLease, 2, 1),
    (Flaw::ChecksTheLeaseBefore, 2, 1),
    (Flaw::StampsTheEpochOfTheFill, 2, 2),
    (Flaw::AsksForNoInstance, 2, 1),
    (Flaw::OpensWithoutAgreement, 2, 2),
    (Flaw::AgreesWithBareWrites, 2, 2),
];

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_interleaving_of_two_nodes_and_two_faults_gives_a_stale_read() {
    let begun = Instant::now();
    let model = Fenced { flaw: Flaw::None, reads: 2, faults: 2 };
    let checked = model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let report = format!(
        "the fenced cache: {} states, {} of them different, depth {}, all of them in {:.1?}\n",
        checked.state_count(),
        checked.unique_state_count(),
        checked.max_depth(),
        begun.elapsed()
    );
    std::io::stderr().write_all(report.as_bytes()).expect("a place to report to");
    assert!(checked.is_done(), "the checker went through all states");
    checked.assert_properties();
}

#[test]
fn every_flaw_of_the_protocol_gives_a_stale_read() {
    for (flaw, reads, faults) in FLAWS {
        let model = Fenced { flaw: *flaw, reads: *reads, faults: *faults };
        let checked = model.checker().threads(threads()).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let path = checked.discovery("no read is older than what was told before it began");
        let path = path.unwrap_or_else(|| panic!("{flaw:?} was not found in {} states", checked.unique_state_count()));
        let steps: Vec<_> = path.into_actions();
        let report = format!("{flaw:?}: {} states, then {steps:?}\n", checked.unique_state_count());
        std::io::stderr().write_all(report.as_bytes()).expect("a place to report to");
    }
}

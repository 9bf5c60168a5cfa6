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
    CountsAnEndedLease,
    StampsTheEpochOfTheFill,
    AsksForNoInstance,
    OpensWithoutAgreement,
    AgreesWithBareWrites,
    AgreesAnew,
}

/// Each with the bounds within which it is found: writes, reads, faults.
const FLAWS: &[(Flaw, usize, u8, u8)] = &[
    (Flaw::FillsWithoutAToken, 1, 2, 0),
    (Flaw::SetsNoMark, 1, 2, 0),
    (Flaw::WaitsForNoLease, 1, 2, 1),
    (Flaw::CountsAnEndedLease, 1, 2, 1),
    (Flaw::StampsTheEpochOfTheFill, 1, 2, 1),
    (Flaw::AsksForNoInstance, 1, 2, 1),
    (Flaw::OpensWithoutAgreement, 1, 2, 2),
    (Flaw::AgreesWithBareWrites, 1, 2, 1),
    (Flaw::AgreesAnew, 1, 2, 2),
];

/// What a run came to.
fn check(model: Fenced) -> (impl Checker<Fenced>, String) {
    let begun = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = format!("{model:?}");
    let checked = model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let (all, unique, depth) = (checked.state_count(), checked.unique_state_count(), checked.max_depth());
    let report = format!("{name}: {all} states, {unique} of them different, depth {depth}, in {:.1?}\n", begun.elapsed());
    (checked, report)
}

fn tell(report: &str) {
    std::io::stderr().write_all(report.as_bytes()).expect("a place to report to");
}

#[test]
fn no_interleaving_of_two_nodes_gives_a_stale_read() {
    for (writes, reads, faults) in [(2, 2, 1), (1, 2, 2)] {
        let (checked, report) = check(Fenced { flaw: Flaw::None, writes, reads, faults });
        tell(&report);
        assert!(checked.is_done(), "the checker went through all states");
        checked.assert_properties();
    }
}

#[test]
fn every_flaw_of_the_protocol_gives_a_stale_read() {
    for (flaw, writes, reads, faults) in FLAWS {
        let (checked, report) = check(Fenced { flaw: *flaw, writes: *writes, reads: *reads, faults: *faults });
        let path = checked.discovery("no read is older than what was told before it began");
        let path = path.unwrap_or_else(|| panic!("{flaw:?} was not found: {report}"));
        tell(&format!("{report}  {:?}\n", path.into_actions()));
    }
}

//! The order of one key's answered puts: revisions grow in real time, none is given twice, and conditions were met.

use super::key::History;
use super::{Fault, FaultKind};

pub(super) fn check(key: &History<'_>, faults: &mut Vec<Fault>) {
    let mut puts: Vec<Put> = key
        .puts()
        .filter_map(|(request, revision)| {
            let op = request.op;
            request.completed().map(|completed| Put { op: op.id, revision, if_match: op.if_match, invoked: op.invoked, completed })
        })
        .collect();
    puts.sort_by_key(|put| put.revision);
    check_grows(key, &puts, faults);
    check_conditions(key, &puts, faults);
}

struct Put {
    op: u64,
    revision: u64,
    if_match: Option<u64>,
    invoked: u64,
    completed: u64,
}

/// `puts` stand in the order of their revisions: none may have been answered before one with a smaller revision began.
fn check_grows(key: &History<'_>, puts: &[Put], faults: &mut Vec<Fault>) {
    let highest = key.before.highest.get(key.name).copied().unwrap_or_default();
    if let Some(put) = puts.first().filter(|put| put.revision <= highest) {
        faults
            .push(key.fault(FaultKind::Revision, format!("operation {} was answered revision {}, after {highest}", put.op, put.revision)));
    }
    let mut earliest_end = u64::MAX;
    for put in puts.iter().rev() {
        if earliest_end < put.invoked {
            let detail = format!("operation {} has revision {}, less than that of one answered before it began", put.op, put.revision);
            faults.push(key.fault(FaultKind::Revision, detail));
        }
        earliest_end = earliest_end.min(put.completed);
    }
    for pair in puts.windows(2) {
        if let [first, second] = pair
            && first.revision == second.revision
        {
            faults.push(
                key.fault(FaultKind::Revision, format!("operations {} and {} share revision {}", first.op, second.op, first.revision)),
            );
        }
    }
}

/// Between the revision that a put asked for and its own, there can be no other.
fn check_conditions(key: &History<'_>, puts: &[Put], faults: &mut Vec<Fault>) {
    let mut previous = None;
    for put in puts {
        if let (Some(expected), Some(between)) = (put.if_match, previous)
            && between > expected
        {
            let detail = format!("operation {} asked for revision {expected}, and was applied after {between}", put.op);
            faults.push(key.fault(FaultKind::Condition, detail));
        }
        previous = Some(put.revision);
    }
}

//! The definition of linearizability, tried in every way: slow, and nothing to get wrong. The search is compared with it.

use super::operation::{Answer, Operation};
use super::register::Register;

/// Whether some order of one key's operations explains every answer.
pub(super) fn is_linearizable(operations: &[Operation]) -> bool {
    let relevant: Vec<&Operation> = operations.iter().filter(|operation| operation.answer != Answer::NotApplied).collect();
    extends(Register::EMPTY, &relevant)
}

fn extends(register: Register, missing: &[&Operation]) -> bool {
    if missing.iter().all(|operation| operation.end().is_none()) {
        return true;
    }
    (0..missing.len()).any(|at| {
        let operation = missing[at];
        let too_early = missing.iter().any(|other| other.end().is_some_and(|end| end < operation.invoked));
        let mut rest = missing.to_vec();
        rest.remove(at);
        !too_early && register.after(operation.call, operation.answer).is_some_and(|register| extends(register, &rest))
    })
}

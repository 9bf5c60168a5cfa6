//! `Place`: how far a search has come: which operations are in the order so far, and what the key holds then.

use super::past::{Past, Settled};
use super::register::Register;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// All settled operations before this one are in the order.
    base: u32,
    /// Those after it that are in the order too, ascending.
    ahead: Vec<u32>,
    /// How many of each kind of open operations are in the order.
    pub(super) used: Vec<u16>,
    pub(super) register: Register,
}

impl Place {
    pub(super) fn start(past: &Past) -> Place {
        Place { base: 0, ahead: Vec::new(), used: vec![0; past.alike.len()], register: Register::EMPTY }
    }

    /// Whether every settled operation is in the order.
    pub(super) fn is_end(&self, past: &Past) -> bool {
        self.base as usize == past.settled.len()
    }

    /// The settled operations that may come next: nothing that is still missing was over before they began. With them, the
    /// earliest end of a missing one.
    pub(super) fn next<'a>(&self, past: &'a Past) -> (Vec<(u32, &'a Settled)>, u64) {
        let mut next = Vec::new();
        let mut end = u64::MAX;
        let missing = (self.base..).zip(past.settled.iter().skip(self.base as usize));
        for (index, settled) in missing.filter(|(index, _)| self.ahead.binary_search(index).is_err()) {
            if settled.invoked > end {
                break;
            }
            end = end.min(settled.returned);
            next.push((index, settled));
        }
        (next, end)
    }

    /// Puts a settled operation into the order.
    pub(super) fn take(&mut self, index: u32, register: Register) {
        self.register = register;
        if let Err(at) = self.ahead.binary_search(&index) {
            self.ahead.insert(at, index);
        }
        let passed = self.ahead.iter().zip(self.base..).take_while(|(ahead, base)| *ahead == base).count();
        self.ahead.drain(..passed);
        self.base += u32::try_from(passed).unwrap_or(u32::MAX);
    }
}

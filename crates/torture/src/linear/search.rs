//! The search for an order that explains every answer, depth first. What it has seen, it does not look at again.

use std::collections::HashSet;

use super::past::{Open, Past, Settled};
use super::place::Place;
use super::register::Register;

pub(super) enum Found {
    Order,
    None(Stuck),
    GaveUp,
}

/// Where the search came furthest.
#[derive(Debug)]
pub(super) struct Stuck {
    /// The operation that no order holds by the time it was over, by its place in the list of operations.
    pub(super) origin: Option<usize>,
    /// What the key held there, in the orders that came so far, each once.
    pub(super) registers: Vec<Register>,
    /// The end of one of these orders, by places in the list of operations.
    pub(super) order: Vec<usize>,
}

/// Registers that are remembered of the furthest places.
const REGISTERS_MAX: usize = 4;

/// Operations that are told of an order's end.
const ORDER_MAX: usize = 6;

/// A step of an order: the step before it, and the operation's place in the list.
struct Step {
    before: usize,
    origin: usize,
}

struct Search<'a> {
    past: &'a Past,
    steps: Vec<Step>,
    seen: HashSet<Place>,
    /// Places to look at, each with its last step.
    waiting: Vec<(Place, usize)>,
    /// The latest time up to which everything that was over is in an order, and the last steps of such orders.
    furthest: u64,
    ends: Vec<(Register, usize)>,
}

/// Looks for an order, through `places_max` places.
pub(super) fn search(past: &Past, places_max: usize) -> Found {
    let mut search = Search { past, steps: Vec::new(), seen: HashSet::new(), waiting: Vec::new(), furthest: 0, ends: Vec::new() };
    search.steps.push(Step { before: 0, origin: usize::MAX });
    search.waiting.push((Place::start(past), 0));
    while let Some((place, step)) = search.waiting.pop() {
        if search.seen.len() >= places_max {
            return Found::GaveUp;
        }
        if search.look(place, step) {
            return Found::Order;
        }
    }
    Found::None(search.stuck())
}

impl<'a> Search<'a> {
    /// Goes on from a place. Returns whether it is the end.
    fn look(&mut self, mut place: Place, mut step: usize) -> bool {
        let (next, end) = self.settle(&mut place, &mut step);
        if place.is_end(self.past) {
            return true;
        }
        if !self.seen.insert(place.clone()) {
            return false;
        }
        self.note(end, place.register, step);
        self.try_open(&place, step, end);
        self.try_settled(&place, step, next);
        false
    }

    /// Takes everything that fits and changes nothing: it is nowhere better than here. Returns what may come next.
    fn settle(&mut self, place: &mut Place, step: &mut usize) -> (Vec<(u32, &'a Settled)>, u64) {
        loop {
            let (next, end) = place.next(self.past);
            let register = place.register;
            let fits = |settled: &Settled| register.after(settled.call, settled.answer) == Some(register);
            let mut taken = false;
            for (index, settled) in next.iter().filter(|(_, settled)| fits(settled)) {
                place.take(*index, register);
                *step = self.step(*step, settled.origin);
                taken = true;
            }
            if !taken {
                return (next, end);
            }
        }
    }

    /// Operations without an answer come last: most of them had no effect.
    fn try_open(&mut self, place: &Place, step: usize, end: u64) {
        let past = self.past;
        for (kind, alike) in past.alike.iter().enumerate() {
            let used = place.used.get(kind).copied().unwrap_or(u16::MAX);
            let Some(Open { origin, .. }) = alike.open.get(usize::from(used)).filter(|open| open.invoked <= end) else {
                continue;
            };
            if let Some(register) = place.register.after_unanswered(alike.call) {
                let mut place = place.clone();
                place.register = register;
                if let Some(used) = place.used.get_mut(kind) {
                    *used += 1;
                }
                let step = self.step(step, *origin);
                self.waiting.push((place, step));
            }
        }
    }

    /// What was over first is tried first.
    fn try_settled(&mut self, place: &Place, step: usize, mut next: Vec<(u32, &'a Settled)>) {
        // Revisions grow, so the put with the least must come before the others.
        let least = next.iter().filter_map(|(_, settled)| settled.stored()).min();
        next.retain(|(_, settled)| settled.stored().is_none_or(|revision| Some(revision) == least));
        next.sort_by_key(|(_, settled)| std::cmp::Reverse(settled.returned));
        for (index, settled) in next {
            if let Some(register) = place.register.after(settled.call, settled.answer) {
                let mut place = place.clone();
                place.take(index, register);
                let step = self.step(step, settled.origin);
                self.waiting.push((place, step));
            }
        }
    }

    fn step(&mut self, before: usize, origin: usize) -> usize {
        self.steps.push(Step { before, origin });
        self.steps.len() - 1
    }

    fn note(&mut self, end: u64, register: Register, step: usize) {
        if end > self.furthest {
            self.furthest = end;
            self.ends.clear();
        }
        let new = self.ends.iter().all(|(known, _)| *known != register);
        if end == self.furthest && new && self.ends.len() < REGISTERS_MAX {
            self.ends.push((register, step));
        }
    }

    fn stuck(&self) -> Stuck {
        let settled = self.past.settled.iter().find(|settled| settled.returned == self.furthest);
        let mut order = Vec::new();
        let mut at = self.ends.first().map_or(0, |(_, step)| *step);
        while let Some(step) = self.steps.get(at).filter(|_| at != 0 && order.len() < ORDER_MAX) {
            order.push(step.origin);
            at = step.before;
        }
        order.reverse();
        Stuck { origin: settled.map(|settled| settled.origin), registers: self.ends.iter().map(|(register, _)| *register).collect(), order }
    }
}

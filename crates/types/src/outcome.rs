//! `Outcome`: what became of a batch that was evaluated. What was never evaluated, or may have been, is an error of the store.

use crate::{Header, Revision, Timestamp};

/// What a batch did to one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The key was absent and is there now.
    Created,
    /// The key was there and has a new value.
    Updated,
    /// The key was there and is absent now.
    Deleted,
    /// A delete of an absent key: nothing changed.
    Missing,
}

impl Kind {
    /// The kind's stored form.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
            Self::Missing => 4,
        }
    }

    /// The kind from its stored form.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Created),
            2 => Some(Self::Updated),
            3 => Some(Self::Deleted),
            4 => Some(Self::Missing),
            _ => None,
        }
    }
}

/// What happened to one item's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemOutcome {
    /// What happened.
    pub kind: Kind,
    /// The entry's header after the write; `None` where the key is absent now.
    pub header: Option<Header>,
}

/// A batch that took effect as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The batch's revision.
    pub revision: Revision,
    /// The batch's store time.
    pub stamp: Timestamp,
    /// An outcome for each item, in their order.
    pub items: Vec<ItemOutcome>,
    /// The batch had been applied before under the same idempotency key; this is that answer again.
    pub replayed: bool,
}

/// A condition that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCondition {
    /// The position of the item in the batch.
    pub index: usize,
    /// The entry as it is, if the key is there.
    pub current: Option<Header>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every item took effect.
    Applied(Applied),
    /// It holds only deletes of absent keys: nothing changed, no revision was used.
    Unchanged,
    /// At least one condition did not hold: nothing changed.
    ConditionFailed(Vec<FailedCondition>),
    /// The idempotency key was used before with other mutations: nothing changed.
    IdempotencyMismatch,
}

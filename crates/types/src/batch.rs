//! `WriteBatch`: the one form in which every write travels. A put or a delete is a batch of one.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    IdempotencyKey, Key, RequestHash, Revision,
    limits::{BATCH_ITEMS_MAX, TTL_SECONDS_MAX},
};

/// What must hold of a key for the batch to be applied. Decided where the write is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The key is there with exactly this revision (`If-Match`).
    Revision(Revision),
    /// The key is there, whatever its revision (`If-Match: *`).
    Present,
    /// The key is absent (`If-None-Match: *`).
    Absent,
}

/// A time to live in whole seconds, counted from the stamp of the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(u64);

/// The number is not a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ttl is a whole number of seconds from 1 to {TTL_SECONDS_MAX}")]
pub struct TtlError;

impl Ttl {
    /// Checks a number of seconds.
    ///
    /// # Errors
    /// It is 0 or above ten years.
    pub fn from_seconds(seconds: u64) -> Result<Self, TtlError> {
        if (1..=TTL_SECONDS_MAX).contains(&seconds) { Ok(Self(seconds)) } else { Err(TtlError) }
    }

    /// The seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }
}

/// What to do to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Store a value; without `ttl`, an earlier expiry is cleared.
    Put {
        /// The value.
        value: Bytes,
        /// When it expires.
        ttl: Option<Ttl>,
    },
    /// Remove the key. Of an absent key it changes nothing.
    Delete,
}

/// One mutation of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The key it is about.
    pub key: Key,
    /// What to do.
    pub mutation: Mutation,
    /// What must hold for it.
    pub condition: Option<Condition>,
}

/// Mutations that are applied together or not at all. Non-empty, and each key occurs once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteBatch {
    items: Vec<Item>,
    idempotency: Option<(IdempotencyKey, RequestHash)>,
}

/// Why items do not make a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No items.
    #[error("the batch has no items; it takes 1 to {BATCH_ITEMS_MAX}")]
    Empty,
    /// Too many items.
    #[error("the batch has {items} items; the limit is {BATCH_ITEMS_MAX}")]
    TooLong {
        /// How many it has.
        items: usize,
    },
    /// Keys that occur more than once: (position, position of the first occurrence).
    #[error("the batch names a key twice")]
    DuplicateKeys(Vec<(usize, usize)>),
}

impl WriteBatch {
    /// Checks items and makes them a batch.
    ///
    /// # Errors
    /// See [`BatchError`].
    pub fn new(items: Vec<Item>, idempotency: Option<IdempotencyKey>) -> Result<Self, BatchError> {
        if items.is_empty() {
            return Err(BatchError::Empty);
        }
        if items.len() > BATCH_ITEMS_MAX {
            return Err(BatchError::TooLong { items: items.len() });
        }
        if items.len() > 1 {
            let mut first = HashMap::with_capacity(items.len());
            let duplicates: Vec<_> = items
                .iter()
                .enumerate()
                .filter_map(|(at, item)| match first.entry(&item.key) {
                    std::collections::hash_map::Entry::Occupied(seen) => Some((at, *seen.get())),
                    std::collections::hash_map::Entry::Vacant(slot) => {
                        slot.insert(at);
                        None
                    }
                })
                .collect();
            if !duplicates.is_empty() {
                return Err(BatchError::DuplicateKeys(duplicates));
            }
        }
        Ok(Self::checked(items, idempotency))
    }

    /// A batch of one: no rule of a batch can be broken.
    #[must_use]
    pub fn one(item: Item, idempotency: Option<IdempotencyKey>) -> Self {
        Self::checked(vec![item], idempotency)
    }

    fn checked(items: Vec<Item>, idempotency: Option<IdempotencyKey>) -> Self {
        let idempotency = idempotency.map(|key| (key, RequestHash::of(&items)));
        Self { items, idempotency }
    }

    /// The items, in the order in which they were given.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The idempotency key with the hash of the mutations, if the caller sent one.
    #[must_use]
    pub const fn idempotency(&self) -> Option<&(IdempotencyKey, RequestHash)> {
        self.idempotency.as_ref()
    }

    /// Whether every item is a delete. Such a batch frees space, so a full disk does not refuse it.
    #[must_use]
    pub fn only_deletes(&self) -> bool {
        self.items.iter().all(|item| item.mutation == Mutation::Delete)
    }

    /// Bytes of its keys and values, with a fixed sum per item for what surrounds them.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.items
            .iter()
            .map(|item| {
                let value = match &item.mutation {
                    Mutation::Put { value, .. } => value.len(),
                    Mutation::Delete => 0,
                };
                item.key.as_bytes().len() + value + 64
            })
            .sum()
    }
}

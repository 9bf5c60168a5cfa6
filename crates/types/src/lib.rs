//! The data model of kvstore: what a key, an entry, a write and its outcome are, and the one function that decides a write.
//!
//! This crate does no I/O, reads no clock and knows no backend. Values of its types are valid once built: what was checked in
//! a constructor is not checked again further in.

pub mod backup;
mod batch;
mod encoding;
mod entry;
mod evaluate;
mod idempotency;
mod key;
pub mod limits;
mod outcome;
mod range;
mod restore;
mod time;

pub use batch::{BatchError, Condition, Item, Mutation, Ttl, TtlError, WriteBatch};
pub use encoding::DecodeError;
pub use entry::{Consistency, Entry, Header, Projection, Revision};
pub use evaluate::{Change, Evaluation, RULES, evaluate, next_stamp};
pub use idempotency::{IdempotencyKey, IdempotencyKeyError, IdempotencyRecord, RecordedItem, RequestHash};
pub use key::{Key, KeyError};
pub use outcome::{Applied, FailedCondition, ItemOutcome, Kind, Outcome};
pub use range::{KeyRange, Page, RangeError, Scan};
pub use restore::{MetadataError, RESTORED_NUMBER_MAX, RestoreBatch, RestoreEvaluation, RestoreItem, RestoreOutcome, evaluate_restore};
pub use time::Timestamp;

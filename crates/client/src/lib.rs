//! The Rust client of kvstore: the outgoing side of the wire contract, for the command line, tests and tools.
//!
//! It knows HTTP and the data model's types, and nothing of how the server is built. It reads no environment and no files.
//! A write is never repeated by itself, unless it carries an idempotency key; every error tells what became of the write.

mod address;
mod backup;
mod batch;
mod client;
mod delete;
mod encoded;
mod entry;
mod error;
mod get;
mod health;
mod import_line;
mod pages;
mod put;
mod raw_pages;
mod read_many;
mod restore;
mod send;

pub use address::AddressError;
pub use backup::BackupStream;
pub use batch::{BatchAnswer, BatchItem};
pub use client::Client;
pub use delete::DeleteOptions;
pub use encoded::EncodedItems;
pub use entry::{Entry, RawEntry};
pub use error::{ClientError, Fault, Problem, WriteOutcome};
pub use health::{Health, Readiness};
pub use import_line::{ImportLine, ImportLineError, Lines};
pub use pages::{PageQuery, Pages};
pub use put::{PutAnswer, PutOptions};
pub use raw_pages::{PageEntry, PageValue, RawEntries, RawPage, RawValues};
pub use restore::RestoreAnswer;

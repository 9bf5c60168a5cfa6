//! The API over HTTP: a real server on a loopback port, the store in memory, and a client that writes raw HTTP.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly, in its helpers too")]

mod backup;
mod bad_input;
mod batches;
mod conditions;
mod documents;
mod failures;
mod hardening;
mod pages;
mod ranges;
mod reading_many;
mod restores;
mod serving;
mod support;
mod values;

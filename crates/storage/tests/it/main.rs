//! The tests of the data tier's public face, in one binary: the conformance suite on every backend, the proof that the suite can
//! fail, and random histories on a backend and on the specification side by side.

mod cache;
mod check;
mod cold_reads;
mod conformance;
mod damage;
mod faults;
mod fence_model;
mod fixtures;
mod postgres;
mod postgres_failures;
mod postgres_late;
mod postgres_races;
mod postgres_requests;
mod property;

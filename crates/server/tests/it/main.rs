//! The binary as a user meets it, and the rules of the tree that no compiler checks.

mod cli;
mod debian;
mod export;
mod import;
mod import_faults;
mod import_foreign;
mod lifecycle;
mod overload;
mod running;
mod settings;
mod telemetry;
mod terminal;
mod tidy;
mod transfers;
mod verbs;

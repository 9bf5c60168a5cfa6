//! The binary as a user meets it, and the rules of the tree that no compiler checks.

mod backup;
mod bench;
mod browser;
mod check;
mod chromium;
mod cli;
mod config;
mod debian;
mod doctor;
mod export;
mod import;
mod import_faults;
mod import_foreign;
mod lifecycle;
mod operations;
mod overload;
mod proxied;
mod readme;
mod restore;
mod running;
mod settings;
mod telemetry;
mod terminal;
mod tidy;
mod transfers;
mod verbs;

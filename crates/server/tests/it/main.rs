//! The binary as a user meets it, and the rules of the tree that no compiler checks.

mod browser;
mod chromium;
mod cli;
mod debian;
mod import;
mod lifecycle;
mod overload;
mod running;
mod settings;
mod telemetry;
mod terminal;
mod tidy;

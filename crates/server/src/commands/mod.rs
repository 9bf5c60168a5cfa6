//! The command line: what the user typed, and one file per verb. It holds no logic of a store; verbs other than `serve` are calls
//! of the client.

mod batch;
mod completions;
mod compression;
mod conditions;
mod connect;
mod delete;
mod export;
mod get;
mod health;
mod import;
mod list;
mod man;
mod outage;
mod output;
mod progress;
mod put;
mod serve;
mod version;

use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// A persistent key-value store behind a REST API
#[derive(Debug, Parser)]
#[command(name = "kvstore", version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<serve::Serve>),
    Get(get::Get),
    Put(put::Put),
    Delete(delete::Delete),
    List(list::List),
    Batch(batch::Batch),
    Import(import::Import),
    Export(export::Export),
    Health(health::Health),
    Version(version::Version),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Does what was typed.
///
/// # Errors
/// What went wrong, in words for the user.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    match cli.verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Get(verb) => connect::block_on(verb.run()),
        Verb::Put(verb) => connect::block_on(verb.run()),
        Verb::Delete(verb) => connect::block_on(verb.run()),
        Verb::Batch(verb) => connect::block_on(verb.run()),
        Verb::Version(verb) => verb.run(),
        Verb::Completions(verb) => verb.run(),
        Verb::Man(verb) => verb.run(),
        Verb::List(verb) => connect::block_on(verb.run()),
        Verb::Import(verb) => connect::block_on(verb.run()),
        Verb::Export(verb) => connect::block_on(verb.run()),
        Verb::Health(verb) => connect::block_on(verb.run()),
    }
}

//! The command line: what the user typed, and one file per verb. It holds no logic of a store: verbs are calls of the client,
//! and some of the data tier, on a directory that no server uses.

mod backup;
mod bar;
mod batch;
mod bench;
mod check;
mod completions;
mod compression;
mod conditions;
mod config;
mod connect;
mod delete;
mod doctor;
mod export;
mod files;
mod frame;
mod get;
mod health;
mod import;
mod list;
mod man;
mod migrate;
mod outage;
mod output;
mod progress;
mod put;
mod restore;
mod serve;
mod state_file;
mod version;

use clap::{ArgMatches, Command, CommandFactory, Parser, Subcommand};

pub(crate) use self::output::{escape_json, harmless};
use crate::{
    exit::{self, Exit},
    settings,
};

/// A persistent key-value store behind a REST API
#[derive(Debug, Parser)]
#[command(name = "kvstore", version, max_term_width = 120, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<serve::Serve>),
    #[command(after_help = exit::KEY_HELP)]
    Get(get::Get),
    #[command(after_help = exit::CLIENT_HELP)]
    Put(put::Put),
    #[command(after_help = exit::KEY_HELP)]
    Delete(delete::Delete),
    #[command(after_help = exit::CLIENT_HELP)]
    List(list::List),
    #[command(after_help = exit::CLIENT_HELP)]
    Batch(batch::Batch),
    Bench(bench::Bench),
    #[command(after_help = exit::TRANSFER_HELP)]
    Import(import::Import),
    #[command(after_help = exit::TRANSFER_HELP)]
    Export(export::Export),
    #[command(after_help = exit::HEALTH_HELP)]
    Health(health::Health),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Check(check::Check),
    #[command(after_help = exit::SETTINGS_HELP)]
    Config(Box<config::Config>),
    Doctor(Box<doctor::Doctor>),
    #[command(after_help = exit::SETTINGS_HELP)]
    Migrate(Box<migrate::Migrate>),
    #[command(after_help = exit::LOCAL_HELP)]
    Version(version::Version),
    #[command(after_help = exit::LOCAL_HELP)]
    Completions(completions::Completions),
    #[command(after_help = exit::LOCAL_HELP)]
    Man(man::Man),
}

/// Whether the answer was asked for as JSON: an error is then told as JSON too.
pub(crate) fn wants_json(matches: &ArgMatches) -> bool {
    let Some((_, verb)) = matches.subcommand() else { return false };
    let form = verb.try_get_raw("output").ok().flatten().and_then(|mut forms| forms.next());
    form.is_some_and(|form| form == "json") || verb.try_get_one::<bool>("json").is_ok_and(|json| json == Some(&true))
}

/// The command line that is taken here and now. A KVSTORE_URL that is empty is none: that is how a variable is taken back in many
/// places.
pub(crate) fn command() -> Command {
    let command = Cli::command();
    if !settings::is_emptied("KVSTORE_URL") {
        return command;
    }
    command.mut_subcommands(|verb| verb.mut_args(|argument| if argument.get_id() == "url" { argument.env(None) } else { argument }))
}

/// Does what was typed. `matches` knows how each value was given.
///
/// # Errors
/// What went wrong, in words for the user.
pub(crate) fn run(cli: Cli, matches: &ArgMatches) -> anyhow::Result<Exit> {
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
        Verb::Bench(verb) => connect::block_on_many(verb.run()),
        Verb::Backup(verb) => connect::block_on(verb.run()),
        Verb::Restore(verb) => verb.run(),
        Verb::Doctor(verb) => connect::block_on(verb.run()),
        Verb::Check(verb) => verb.run(),
        Verb::Migrate(verb) => verb.run(),
        Verb::Config(verb) => verb.run(matches.subcommand_matches("config")),
    }
}

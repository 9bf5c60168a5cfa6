//! `kvstore config`: the settings that `serve` would use, and where each came from.

use std::io::{self, Write};

use clap::{ArgMatches, Args, ValueEnum};
use serde_json::json;

use super::output;
use crate::{
    exit::Exit,
    settings::{self, Explained, Given, Settings},
};

/// What stands for a setting that has no value.
const NONE: &str = "-";

/// Show each setting with its value and where it came from
///
/// Takes what `kvstore serve` takes, and refuses what it refuses. Secrets are not shown.
#[derive(Debug, Args)]
pub(super) struct Config {
    /// The form [default: table on a terminal, plain otherwise]
    #[arg(long, short, value_name = "FORM")]
    output: Option<ConfigForm>,

    #[command(flatten)]
    given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConfigForm {
    /// Columns
    Table,
    /// A line per setting: name, tab, value, tab, source
    Plain,
    /// One JSON document
    Json,
}

impl Config {
    /// `matches` are those of this verb: they know where each value came from.
    pub(super) fn run(self, matches: Option<&ArgMatches>) -> anyhow::Result<Exit> {
        for name in settings::check_environment()? {
            writeln!(io::stderr(), "warning: {name} is not a setting and is ignored; `kvstore serve --help` lists the settings")?;
        }
        let settings = Settings::resolve(&self.given)?;
        let explained = settings::explain(&self.given, &settings, matches)?;
        match self.output.unwrap_or(if output::to_terminal() { ConfigForm::Table } else { ConfigForm::Plain }) {
            ConfigForm::Table => print_table(&explained)?,
            ConfigForm::Plain => {
                let lines = explained.iter().map(|setting| row(setting).join("\t") + "\n");
                output::print(lines.collect::<String>().as_bytes())?;
            }
            ConfigForm::Json => {
                let settings: Vec<_> = explained.iter().map(as_json).collect();
                output::print_document(&json!({ "settings": settings }))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn as_json(setting: &Explained) -> serde_json::Value {
    let (kind, name) = setting.origin.parts();
    json!({ "name": setting.name, "value": setting.value, "origin": kind, "origin_name": name })
}

fn row(setting: &Explained) -> [String; 3] {
    let value = setting.value.as_deref().unwrap_or(NONE);
    [setting.name.clone(), output::escape(value.as_bytes()), output::escape(setting.origin.to_string().as_bytes())]
}

fn print_table(explained: &[Explained]) -> io::Result<()> {
    let mut table = output::table(&["SETTING", "VALUE", "FROM"]);
    table.add_rows(explained.iter().map(row));
    writeln!(io::stdout(), "{table}")
}

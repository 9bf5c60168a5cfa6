//! `kvstore get`: the bytes of a value, or its entry as JSON.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use kvstore_types::Key;

use super::{
    connect::{Server, explain, parse_key},
    files::cant_write,
    output,
};
use crate::exit::{Exit, Fatal};

/// Read a value
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The key
    #[arg(value_parser = parse_key)]
    key: Key,

    /// The form [default: the value's bytes; on a terminal, with control characters escaped]
    #[arg(long, short, value_name = "FORM")]
    output: Option<EntryForm>,

    /// The same as `-o json`, as scripts of earlier versions say it
    #[arg(long, hide = true, conflicts_with = "output")]
    json: bool,

    /// Write the value to a file
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["output", "json"])]
    file: Option<PathBuf>,

    #[command(flatten)]
    server: Server,
}

/// What of an entry is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EntryForm {
    /// The value's bytes as they are, on a terminal too
    Raw,
    /// The whole entry as JSON
    Json,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        if self.json || self.output == Some(EntryForm::Json) {
            let entry = client.get(&self.key).await.map_err(explain)?.ok_or_else(|| absent(&self.key))?;
            output::print_document(&entry)?;
            return Ok(Exit::Ok);
        }
        let entry = client.get_raw(&self.key).await.map_err(explain)?.ok_or_else(|| absent(&self.key))?;
        if let Some(file) = &self.file {
            std::fs::write(file, &entry.value).with_context(|| cant_write(file))?;
        } else if output::to_terminal() && self.output.is_none() {
            let mut text = output::escape_lines(&entry.value);
            if !text.ends_with('\n') {
                text.push('\n');
            }
            output::print(text.as_bytes())?;
        } else {
            output::print(&entry.value)?;
        }
        Ok(Exit::Ok)
    }
}

/// The end of a verb whose key is not there.
pub(super) fn absent(key: &Key) -> Fatal {
    Fatal::new(Exit::Absent, format!("there is no key {key:?}; `kvstore list` shows what there is"))
}

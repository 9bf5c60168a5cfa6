//! `kvstore put`: store a value from the command line, a file or stdin.

use std::{
    io::{IsTerminal, Read, Write},
    path::PathBuf,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use kvstore_client::{Entry, PutOptions};
use kvstore_types::{Key, Ttl, limits};

use super::{
    conditions::PutConditions,
    connect::{Server, explain_write, parse_key},
    files::cant_read,
    output::{self, Answer},
};
use crate::exit::Exit;

/// Store a value
#[derive(Debug, Args)]
pub(super) struct Put {
    /// The key
    #[arg(value_parser = parse_key)]
    key: Key,

    /// The value; `-`, or no value and a pipe that is not empty, reads it from stdin
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    value: Option<String>,

    /// Read the value from a file
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    conditions: PutConditions,

    /// Let it expire after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_ttl)]
    ttl: Option<Ttl>,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    server: Server,
}

impl Put {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        let value = self.value()?;
        let (condition, idempotency) = (self.conditions.condition(), self.conditions.idempotency());
        let options = PutOptions { ttl: self.ttl, condition, idempotency };
        let answer = client.put(&self.key, value, &options).await.map_err(explain_write)?;
        if self.answer.is_json() {
            let entry = Entry { value: None, ..answer.entry };
            output::print_line(&entry)?;
            return Ok(Exit::Ok);
        }
        let done = if answer.created { "created" } else { "updated" };
        writeln!(std::io::stdout(), "{done} {:?} version {} revision {}", self.key, answer.entry.version, answer.entry.revision)?;
        Ok(Exit::Ok)
    }

    fn value(&self) -> anyhow::Result<Bytes> {
        match (&self.value, &self.file) {
            (_, Some(file)) => {
                let reader = std::fs::File::open(file).with_context(|| cant_read(file))?;
                read_to_end(reader).with_context(|| cant_read(file))
            }
            (Some(text), None) if text != "-" => Ok(text.clone().into()),
            (value, None) => {
                ensure!(
                    value.is_some() || !std::io::stdin().is_terminal(),
                    "no value: give it after the key, with --file, or through a pipe (`kvstore put KEY -` reads from the keyboard)"
                );
                let bytes = read_to_end(std::io::stdin().lock()).context("can't read stdin")?;
                // A value that was forgotten looks like this too, in cron and in a unit.
                ensure!(
                    value.is_some() || !bytes.is_empty(),
                    "no value: none was given, and stdin is empty; to store an empty value, say so: `kvstore put KEY ''`, or `-` for stdin"
                );
                Ok(bytes)
            }
        }
    }
}

fn read_to_end(reader: impl Read) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    reader.take(limits::CLIENT_ANSWER_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() <= limits::CLIENT_ANSWER_BYTES_MAX,
        "it is larger than {} bytes, more than any server takes",
        limits::CLIENT_ANSWER_BYTES_MAX
    );
    Ok(bytes.into())
}

fn parse_ttl(text: &str) -> Result<Ttl, String> {
    let seconds = text.parse().map_err(|_| format!("ttl is a whole number of seconds from 1 to {}", limits::TTL_SECONDS_MAX))?;
    Ttl::from_seconds(seconds).map_err(|error| error.to_string())
}

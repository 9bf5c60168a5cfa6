//! `kvstore health`: what the node says of itself.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{
    connect::{Server, explain},
    output,
};
use crate::exit::Exit;

/// Ask a node how it is; exits with 1 where it says it is unhealthy
#[derive(Debug, Args)]
pub(super) struct Health {
    /// The form [default: text on a terminal, json otherwise]
    #[arg(long, short, value_name = "FORM")]
    output: Option<HealthForm>,

    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HealthForm {
    /// A line for each thing that the node says
    Text,
    /// One JSON document
    Json,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let health = self.server.client()?.health().await.map_err(explain)?;
        match self.output.unwrap_or(if output::to_terminal() { HealthForm::Text } else { HealthForm::Json }) {
            HealthForm::Text => writeln!(io::stdout(), "{}", lines(&health.document))?,
            HealthForm::Json => output::print_document(&health.document)?,
        }
        Ok(if health.healthy { Exit::Ok } else { Exit::Absent })
    }
}

/// The document as lines for a person: each value with the names that lead to it.
fn lines(document: &Value) -> String {
    let mut lines = Vec::new();
    collect(document, "", &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

fn collect(value: &Value, name: &str, lines: &mut Vec<(String, String)>) {
    let named = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(part, value)| collect(value, &named(&output::escape(part.as_bytes())), lines)),
        Value::Array(elements) => elements.iter().enumerate().for_each(|(at, value)| collect(value, &named(&at.to_string()), lines)),
        Value::String(text) => lines.push((name.to_owned(), output::escape(text.as_bytes()))),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}

//! `kvstore delete`: remove a key.

use std::io::Write;

use clap::Args;
use kvstore_client::DeleteOptions;
use kvstore_types::Key;

use super::{
    conditions::Conditions,
    connect::{Server, explain_write, parse_key},
    get::absent,
    output::{self, Answer},
};
use crate::exit::Exit;

/// Delete a key
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The key
    #[arg(value_parser = parse_key)]
    key: Key,

    #[command(flatten)]
    conditions: Conditions,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    server: Server,
}

impl Delete {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        let options = DeleteOptions { condition: self.conditions.condition(), idempotency: self.conditions.idempotency() };
        if !client.delete(&self.key, &options).await.map_err(explain_write)? {
            return Err(absent(&self.key).into());
        }
        if self.answer.is_json() {
            output::print_line(&serde_json::json!({"key": self.key.as_str(), "deleted": true}))?;
            return Ok(Exit::Ok);
        }
        writeln!(std::io::stdout(), "deleted {:?}", self.key)?;
        Ok(Exit::Ok)
    }
}

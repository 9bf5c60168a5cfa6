//! `kvstore delete`: remove a key.

use std::io::Write;

use clap::Args;
use kvstore_client::DeleteOptions;
use kvstore_types::{Condition, Key, Revision};

use super::{
    connect::{Server, explain_write, parse_key},
    get::absent,
};
use crate::exit::Exit;

/// Delete a key
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The key
    #[arg(value_parser = parse_key)]
    key: Key,

    /// Only if the key has this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,

    #[command(flatten)]
    server: Server,
}

impl Delete {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        let condition = self.if_match.map(|revision| Condition::Revision(Revision(revision)));
        let options = DeleteOptions { condition, idempotency: None };
        if !client.delete(&self.key, &options).await.map_err(explain_write)? {
            return Err(absent(&self.key).into());
        }
        writeln!(std::io::stdout(), "deleted {:?}", self.key)?;
        Ok(Exit::Ok)
    }
}

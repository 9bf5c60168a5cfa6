//! `kvstore health`: what the node says of itself.

use clap::Args;

use super::{
    connect::{Server, explain},
    output,
};
use crate::exit::Exit;

/// Ask a node how it is; exits with 1 where it says it is unhealthy
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    server: Server,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let health = self.server.client()?.health().await.map_err(explain)?;
        let mut text = serde_json::to_vec_pretty(&health.document)?;
        text.push(b'\n');
        output::print(&text)?;
        Ok(if health.healthy { Exit::Ok } else { Exit::Absent })
    }
}

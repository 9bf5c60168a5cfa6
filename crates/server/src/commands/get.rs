//! `kvstore get`: the bytes of a value, or its entry as JSON.

use clap::Args;
use kvstore_types::Key;

use super::{
    connect::{Server, explain, parse_key},
    output,
};
use crate::exit::{Exit, Fatal};

/// Read a value
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The key
    #[arg(value_parser = parse_key)]
    key: Key,

    /// Print the whole entry as JSON, not the value's bytes
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Server,
}

impl Get {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        if self.json {
            let entry = client.get(&self.key).await.map_err(explain)?.ok_or_else(|| absent(&self.key))?;
            let mut text = serde_json::to_vec_pretty(&entry)?;
            text.push(b'\n');
            output::print(&text)?;
            return Ok(Exit::Ok);
        }
        let entry = client.get_raw(&self.key).await.map_err(explain)?.ok_or_else(|| absent(&self.key))?;
        if output::to_terminal() {
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

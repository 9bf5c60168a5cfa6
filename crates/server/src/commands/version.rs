//! `kvstore version`: what this binary is, and which formats it reads and writes.

use std::io::{self, Write};

use clap::Args;
use kvstore_storage::DATA_FORMAT;

use super::output::Answer;
use crate::exit::Exit;

/// The commit, where whoever built this said it: nothing asks git, so that a build does not depend on where it is made.
const COMMIT: Option<&str> = option_env!("KVSTORE_COMMIT");

/// Tell the version, and the formats that it reads and writes
#[derive(Debug, Args)]
pub(super) struct Version {
    #[command(flatten)]
    answer: Answer,
}

impl Version {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let version = env!("CARGO_PKG_VERSION");
        let commit = COMMIT.filter(|commit| !commit.is_empty());
        if self.answer.is_json() {
            let formats = serde_json::json!({"data_directory": DATA_FORMAT, "api": "v1"});
            let document = serde_json::json!({"version": version, "commit": commit, "formats": formats});
            writeln!(io::stdout(), "{document}")?;
            return Ok(Exit::Ok);
        }
        writeln!(io::stdout(), "kvstore {version}")?;
        writeln!(io::stdout(), "commit {}", commit.unwrap_or("not told at build (KVSTORE_COMMIT)"))?;
        writeln!(io::stdout(), "data directory format {DATA_FORMAT}, API v1")?;
        Ok(Exit::Ok)
    }
}

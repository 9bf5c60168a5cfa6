//! `kvstore man`: manual pages, one for each command.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::Cli;
use crate::exit::Exit;

/// Write the manual pages into a directory
///
/// For example: kvstore man /usr/local/share/man/man1
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The directory; it is made if it is not there
    dir: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let written = std::fs::create_dir_all(&self.dir).and_then(|()| clap_mangen::generate_to(Cli::command(), &self.dir));
        written.with_context(|| format!("can't write to {}; name a directory that can be written", self.dir.display()))?;
        writeln!(io::stdout(), "manual pages are in {}; read them with `man -l {0}/kvstore.1`", self.dir.display())?;
        Ok(Exit::Ok)
    }
}

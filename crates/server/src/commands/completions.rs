//! `kvstore completions`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};
use crate::exit::Exit;

/// Print the completions for a shell
///
/// For example: kvstore completions bash > /etc/bash_completion.d/kvstore
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> anyhow::Result<Exit> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kvstore", &mut text);
        output::print(&text)?;
        Ok(Exit::Ok)
    }
}

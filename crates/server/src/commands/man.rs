//! `kvstore man`: manual pages, one for each command.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::{
    Man as Page,
    roff::{Roff, bold, roman},
};

use super::Cli;
use crate::exit::Exit;

/// What begins the list of exit codes in a help.
const EXIT_CODES: &str = "Exit codes: ";
/// What begins an example in a help.
const EXAMPLE: &str = "For example: ";

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
        let written = fs::create_dir_all(&self.dir).and_then(|()| write_all(&self.dir));
        written.with_context(|| format!("can't write to {}; name a directory that can be written", self.dir.display()))?;
        writeln!(io::stdout(), "manual pages are in {}; read them with `man -l {0}/kvstore.1`", self.dir.display())?;
        Ok(Exit::Ok)
    }
}

fn write_all(dir: &Path) -> io::Result<()> {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    write(&all, dir)?;
    all.get_subcommands().try_for_each(|verb| write(verb, dir))
}

fn write(command: &Command, dir: &Path) -> io::Result<()> {
    let page = Page::new(command.clone()).source(concat!("kvstore ", env!("CARGO_PKG_VERSION"))).manual("kvstore");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    page.render_options_section(&mut text)?;
    let mut more = Roff::new();
    environment(command, &mut more);
    from_the_help(command, &mut more);
    more.to_writer(&mut text)?;
    fs::write(dir.join(page.get_filename()), text)
}

/// The variables that stand in for flags.
fn environment(command: &Command, roff: &mut Roff) {
    let variables = command.get_arguments().filter_map(|argument| Some((argument.get_env()?, argument)));
    for (at, (name, argument)) in variables.enumerate() {
        if at == 0 {
            roff.control("SH", ["ENVIRONMENT"]);
        }
        roff.control("TP", []);
        roff.text([bold(name.to_string_lossy())]);
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let flag = argument.get_long().map(|flag| format!("; --{flag} goes before it")).unwrap_or_default();
        roff.text([roman(format!("{help}{flag}"))]);
    }
}

/// What the help says below the options, each part under the heading at which readers of manual pages look for it.
fn from_the_help(command: &Command, roff: &mut Roff) {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (codes, notes): (Vec<_>, Vec<_>) = after.lines().partition(|line| line.starts_with(EXIT_CODES));
    for line in codes {
        roff.control("SH", ["EXIT STATUS"]);
        let meanings = line.trim_start_matches(EXIT_CODES).trim_end_matches('.').split("; ");
        for (code, meaning) in meanings.filter_map(|meaning| meaning.split_once(' ')) {
            roff.control("TP", []);
            roff.text([bold(code)]);
            roff.text([roman(meaning)]);
        }
    }
    if !notes.is_empty() {
        roff.control("SH", ["NOTES"]);
        roff.text([roman(notes.join("\n"))]);
    }
    let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    for example in about.lines().filter_map(|line| line.strip_prefix(EXAMPLE)) {
        roff.control("SH", ["EXAMPLES"]);
        roff.text([bold(example)]);
    }
}

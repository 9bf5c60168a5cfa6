//! `kvstore import`: entries from a file or stdin, in batches, with memory for a few of them.
//!
//! A thread reads the input and makes batches (`batcher.rs`) while others are being sent (`pump.rs`); what is certainly stored is kept
//! in a small file (`state.rs`), so that an import that broke off can go on.

mod batcher;
mod dry_run;
mod input;
mod lines;
mod pump;
mod send;
mod state;

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use clap::Args;
use kvstore_client::Lines;
use kvstore_storage::{Clock, SystemClock};
use kvstore_types::Timestamp;
use tokio::sync::mpsc;

use self::{
    batcher::{Batcher, OnFault, Totals},
    input::Input,
    pump::{Ending, Pump},
    state::{State, StateFile},
};
use super::{
    connect::{Server, explain},
    outage::{Outage, Patience},
    progress::{Amount, Progress, Shown},
};
use crate::exit::Exit;

/// Store entries from lines of JSON, as `export` writes them
///
/// Each line is an object with "key" and "value", and may have "encoding": "base64", and "ttl" in seconds or "expires_at". Of two
/// lines with the same key, the later one wins. Files named *.gz and *.zst are decompressed; so is stdin, if it is compressed.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; `-` reads from stdin
    file: PathBuf,

    /// Restore version, revision and times as `export --with-metadata` wrote them, into an empty store
    #[arg(long)]
    with_metadata: bool,

    /// Go on where an import of this input broke off, from its state file
    #[arg(long)]
    resume: bool,

    /// Keep the state in this file [default: the input's name with .import-state; none for stdin]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// Check every line, and store nothing
    #[arg(long, conflicts_with_all = ["resume", "state"])]
    dry_run: bool,

    /// Pass over lines that can't be stored; they are shown and counted
    #[arg(long)]
    skip_invalid: bool,

    /// How progress is shown on stderr
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Shown,

    #[command(flatten)]
    patience: Patience,

    #[command(flatten)]
    server: Server,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let input = Input::open(&self.file)?;
        let now = SystemClock::default().now();
        if self.dry_run {
            let (to, from) = mpsc::channel(2);
            let batcher = Batcher::new(to, OnFault::Skip, !self.with_metadata, reading(&input.read));
            start_reading(input, self.lines(now), batcher)?;
            return dry_run::run(from, self.progress).await;
        }
        let client = self.server.client()?;
        // A server that is not there is said so before the work begins.
        client.health().await.map_err(explain)?;
        let file = self.state_file();
        let (state, resumed) = self.begin(client.url(), file.as_ref(), now)?;
        let mut input = input;
        state.find_place(&mut input)?;
        let lines = self.lines(Timestamp::from_micros(state.started_at_micros));
        let on_fault = if self.skip_invalid { OnFault::Skip } else { OnFault::Stop };
        let before = Amount { entries: state.totals().entries, bytes: input.read.load(Ordering::Relaxed) };
        let progress = Progress::start(self.progress, input.bytes, before);
        if resumed {
            progress.teller().say(&format!("going on after line {}", state.read().lines));
        }
        let (to, from) = mpsc::channel(2);
        let mut batcher = Batcher::new(to, on_fault, !self.with_metadata, reading(&input.read));
        batcher.resume(state.offset(), state.read());
        let outage = Outage::new(self.patience, progress.teller());
        let mut pump = Pump::new(client, outage, on_fault, state, file.clone(), progress);
        start_reading(input, lines, batcher)?;
        let ending = pump.run(from).await;
        self.conclude(ending, &pump.totals(), file.as_ref())
    }

    const fn lines(&self, now: Timestamp) -> Lines {
        if self.with_metadata { Lines::Entries } else { Lines::Puts(now) }
    }

    fn state_file(&self) -> Option<StateFile> {
        match &self.state {
            Some(path) => Some(StateFile::at(path.clone())),
            None if self.file.as_os_str() == "-" => None,
            None => Some(StateFile::beside(&self.file)),
        }
    }

    /// The state to begin with, and whether it is one that an earlier import left.
    fn begin(&self, server: &str, file: Option<&StateFile>, now: Timestamp) -> anyhow::Result<(State, bool)> {
        let fresh = State::new(server, self.with_metadata, now.as_micros())?;
        if !self.resume {
            return Ok((fresh, false));
        }
        let file =
            file.context("an import from stdin keeps no state by itself; give --state FILE from the start, then --resume goes on")?;
        match file.load()? {
            None => Ok((fresh, false)),
            Some(state) => {
                state.check(server, self.with_metadata)?;
                Ok((state, true))
            }
        }
    }

    fn conclude(&self, ending: anyhow::Result<Ending>, reached: &Totals, file: Option<&StateFile>) -> anyhow::Result<Exit> {
        let stored = reached.entries;
        let again = match file {
            Some(_) if self.state.is_none() => format!("go on with `kvstore import --resume {}`", self.file.display()),
            Some(_) => "go on with the same command and --resume".into(),
            None => "importing again is safe".into(),
        };
        match ending.with_context(|| format!("the import stopped; {stored} entries are stored; {again}"))? {
            Ending::Done(totals) => {
                if let Some(file) = file {
                    file.remove();
                }
                writeln!(io::stdout(), "{}", summary(&totals))?;
                Ok(Exit::Ok)
            }
            Ending::Interrupted(totals) => {
                writeln!(io::stderr(), "interrupted; {} entries are stored; {again}", totals.entries)?;
                Ok(Exit::Killed)
            }
        }
    }
}

/// What was done, in a line.
fn summary(totals: &Totals) -> String {
    let mut text = format!("{} entries stored", totals.entries);
    if totals.skipped > 0 {
        text.push_str(&format!(", {} lines skipped", totals.skipped));
    }
    if totals.expired > 0 {
        text.push_str(&format!(", {} had expired", totals.expired));
    }
    text
}

fn reading(read: &Arc<AtomicU64>) -> Box<dyn Fn() -> u64 + Send> {
    let read = Arc::clone(read);
    Box::new(move || read.load(Ordering::Relaxed))
}

/// Reads the input on a thread of its own. It is not waited for: it may hang on a pipe that gives nothing.
fn start_reading(mut input: Input, lines: Lines, mut batcher: Batcher) -> anyhow::Result<()> {
    let read = move || {
        let result = lines::read(&mut input, lines, &mut batcher);
        batcher.end(result);
    };
    std::thread::Builder::new().name("reader".into()).spawn(read).context("a thread can't be started")?;
    Ok(())
}

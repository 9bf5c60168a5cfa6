//! `kvstore import`: entries from a file or stdin, in batches, with memory for a few of them.
//!
//! A thread reads the input and makes batches (`batcher.rs`) while others are being sent (`pump.rs`); what is certainly stored is kept
//! in a small file (`state.rs`), so that an import that broke off can go on.

mod batcher;
mod dry_run;
mod foreign;
mod input;
mod item;
mod lines;
mod pump;
mod redis;
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

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use kvstore_client::Lines;
use kvstore_storage::{Clock, SystemClock};
use tokio::sync::mpsc;

use self::{
    batcher::{Batcher, OnFault, Totals},
    foreign::Format,
    input::Input,
    pump::{Ending, Pump},
    state::State,
};
use super::{
    connect::{Server, check},
    outage::{Outage, Patience},
    output::{self, Answer},
    progress::{Amount, Items, Progress, Shown, Total},
    state_file::StateFile,
};
use crate::{
    exit::{Exit, Fatal},
    told::Told,
};

/// Store entries from lines of JSON, as `export` writes them
///
/// Each line is an object with "key" and "value", and may have "encoding": "base64", and "ttl" in seconds or "expires_at". Of two
/// lines with the same key, the later one wins. What is compressed with gzip or zstd is decompressed, by its name or its first bytes.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; `-` reads from stdin
    #[arg(required_unless_present = "from_redis")]
    file: Option<PathBuf>,

    /// How the file is written
    #[arg(long, value_name = "FORMAT", default_value = "ndjson")]
    format: Format,

    /// Take the strings of a Redis, with their times to live, instead of a file
    #[arg(long, value_name = "URL", conflicts_with_all = ["file", "format", "with_metadata"])]
    from_redis: Option<String>,

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
    answer: Answer,

    #[command(flatten)]
    patience: Patience,

    #[command(flatten)]
    server: Server,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        ensure!(
            self.is_resumable() || !(self.resume || self.state.is_some() || self.with_metadata),
            "what another store exported is imported from its beginning, and has no metadata of ours: leave out --resume, --state and --with-metadata; importing again is safe"
        );
        let mut source = self.source()?;
        let (read, total) = (source.read(), source.total());
        let (to, from) = mpsc::channel(2);
        if self.dry_run {
            let batcher = Batcher::new(to, OnFault::Skip, !self.with_metadata, reading(&read));
            source.start(self.with_metadata, batcher)?;
            return dry_run::run(from, self.progress, total, &self.answer).await;
        }
        let client = self.server.client()?;
        check(&client).await?;
        let mut file = self.state_file(matches!(total, Total::Bytes(_)));
        let (state, resumed) = self.begin(client.url(), file.as_ref())?;
        if let Source::Input(input, _) = &mut source {
            state.find_place(input)?;
        }
        let on_fault = if self.skip_invalid { OnFault::Skip } else { OnFault::Stop };
        let before = Amount { entries: state.totals().entries, bytes: read.load(Ordering::Relaxed) };
        let progress = Progress::start(self.progress, Items::Entries, total, before);
        if resumed {
            progress.teller().say(&format!("going on after line {}", state.read().lines));
        } else if self.resume {
            progress.teller().say("no import of this input broke off: beginning at its start");
        } else if file.as_ref().is_some_and(|file| matches!(State::load(file), Ok(Some(_)))) {
            progress.teller().say("an import of this input broke off earlier; this one begins at its start (--resume would have gone on)");
        }
        if let Some(beside) = file.as_ref().filter(|_| self.state.is_none())
            && let Err(error) = state.save(beside)
        {
            progress.teller().say(&format!("{error:#}; until then an import that breaks off begins again"));
            file = None;
        }
        let mut batcher = Batcher::new(to, on_fault, !self.with_metadata, reading(&read));
        batcher.resume(state.offset(), state.read());
        let outage = Outage::new(self.patience, progress.teller());
        let mut pump = Pump::new(client, outage, on_fault, state, file.clone(), progress);
        source.start(self.with_metadata, batcher)?;
        let ending = pump.run(from).await;
        if let Some(file) = file.take_if(|_| !resumed && pump.has_sent_nothing()) {
            file.remove();
        }
        self.conclude(ending, &pump.totals(), file.as_ref())
    }

    /// Whether an import of this input can go on where it broke off.
    fn is_resumable(&self) -> bool {
        self.from_redis.is_none() && self.format == Format::Ndjson
    }

    /// Where the state is kept. Beside a file, but not beside a pipe: what it gave is gone.
    fn state_file(&self, is_file: bool) -> Option<StateFile> {
        match (&self.state, &self.file) {
            (Some(path), _) => Some(StateFile::at(path.clone())),
            (None, Some(file)) if self.is_resumable() && is_file => Some(state::beside(file)),
            _ => None,
        }
    }

    fn source(&self) -> anyhow::Result<Source> {
        match (&self.from_redis, &self.file) {
            (Some(url), _) => {
                // Its connection blocks, which is not done on a thread that runs async code.
                let url = url.clone();
                let connecting = std::thread::spawn(move || redis::Source::connect(&url));
                let redis = connecting.join().map_err(|_| anyhow!("the thread that connects panicked"))??;
                Ok(Source::Redis(Box::new(redis)))
            }
            (None, Some(file)) => Ok(Source::Input(Input::open(file)?, self.format)),
            (None, None) => Err(anyhow!("name a file, `-` for stdin, or --from-redis URL")),
        }
    }

    /// The state to begin with, and whether it is one that an earlier import left.
    fn begin(&self, server: &str, file: Option<&StateFile>) -> anyhow::Result<(State, bool)> {
        let fresh = State::new(server, self.with_metadata)?;
        if !self.resume {
            return Ok((fresh, false));
        }
        let file =
            file.context("an import from stdin keeps no state by itself; give --state FILE from the start, then --resume goes on")?;
        match State::load(file)? {
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
            Some(_) => "go on with the same command with --resume",
            None => "importing again is safe",
        };
        let stopped = |error| Told::again(&error, format!("{error:#}; the import stopped, {} stored; {again}", are(stored)));
        match ending.map_err(stopped)? {
            Ending::Done(totals) => {
                if let Some(file) = file {
                    file.remove();
                }
                if self.answer.is_json() {
                    let Totals { lines, entries, skipped, expired } = totals;
                    let document = serde_json::json!({"lines": lines, "entries": entries, "skipped": skipped, "expired": expired});
                    output::print_line(&document)?;
                } else {
                    writeln!(io::stdout(), "{}", summary(&totals))?;
                }
                Ok(Exit::Ok)
            }
            Ending::Interrupted(totals) => {
                let said = format!("interrupted; {} stored; {again}", are(totals.entries));
                if self.answer.is_json() {
                    return Err(Fatal::new(Exit::Killed, said).into());
                }
                writeln!(io::stderr(), "{said}")?;
                Ok(Exit::Killed)
            }
        }
    }
}

/// So many entries are.
fn are(entries: u64) -> String {
    output::counted(entries, "entry is", "entries are")
}

/// What was done, in a line.
fn summary(totals: &Totals) -> String {
    let mut text = format!("{} stored", output::entries(totals.entries));
    if totals.skipped > 0 {
        text.push_str(&format!(", {} skipped", totals.skipped));
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

/// Where entries come from.
enum Source {
    Input(Input, Format),
    Redis(Box<redis::Source>),
}

impl Source {
    /// How much there is, where that is known.
    fn total(&self) -> Total {
        match self {
            Self::Input(input, _) => input.bytes.map_or(Total::Unknown, Total::Bytes),
            Self::Redis(redis) => redis.keys.map_or(Total::Unknown, |about| Total::Keys { about, seen: Arc::clone(&redis.seen) }),
        }
    }

    fn read(&self) -> Arc<AtomicU64> {
        match self {
            Self::Input(input, _) => Arc::clone(&input.read),
            Self::Redis(redis) => Arc::clone(&redis.read),
        }
    }

    /// Reads on a thread of its own. It is not waited for: it may hang on a pipe that gives nothing.
    fn start(mut self, with_metadata: bool, batcher: Batcher) -> anyhow::Result<()> {
        let is_lines = matches!(self, Self::Input(_, Format::Ndjson));
        let mut batcher = if is_lines { batcher } else { batcher.of_items() };
        let clock = SystemClock::default();
        let lines = move || if with_metadata { Lines::Entries } else { Lines::Puts(clock.now()) };
        let read = move || {
            let result = match &mut self {
                Self::Input(input, Format::Ndjson) => lines::read(input, &lines, &mut batcher),
                Self::Input(input, Format::Etcd) => foreign::read_etcd(input.reader(), &mut batcher),
                Self::Input(input, Format::Consul) => foreign::read_consul(input.reader(), &mut batcher),
                Self::Redis(redis) => redis.read(&mut batcher),
            };
            batcher.end(result);
        };
        std::thread::Builder::new().name("reader".into()).spawn(read).context("a thread can't be started")?;
        Ok(())
    }
}

//! `kvstore export`: a range of keys as lines of JSON, page by page, with memory for two pages.
//!
//! While one page is written (`sink.rs`, on a thread of its own) the next one is on its way. A file comes into a part beside it
//! (`part.rs`) with a note of how far it is (`state.rs`), so that an export that broke off can go on.

mod part;
mod sink;
mod state;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use kvstore_client::{PageQuery, Pages, RawPage};
use kvstore_types::{
    Key,
    limits::{EXPORT_PAGE_BYTES, PAGE_ENTRIES_MAX},
};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

use self::{
    part::{Begin, Part},
    sink::{Form, Sink, Target},
    state::{Plan, Reached},
};
use super::{
    compression::Compression,
    connect::{Server, check, explain, parse_key},
    outage::{Outage, Patience},
    output,
    progress::{Items, Progress, Shown, Total},
};
use crate::{
    exit::{Exit, is_closed_pipe},
    shutdown::Signals,
    told::Told,
};

/// Entries of the first page, from which the size of the others is told.
const FIRST_PAGE_ENTRIES: usize = 500;
const TICK: Duration = Duration::from_millis(500);
/// Between two notes of how far the part is.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Write keys and values as lines of JSON, as `import` takes them
///
/// Each line is an object with "key" and "value", with "encoding": "base64" where the value is not text, and "expires_at" where it
/// expires. Each page of the range is one snapshot, and no key that is there throughout is left out; the whole is no single snapshot.
/// Files named *.gz and *.zst are compressed. A file is made under its name with .part, and gets the name once it is whole.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file; stdout without it, or with `-`
    file: Option<PathBuf>,

    /// Only keys that begin with this
    #[arg(long, short, value_name = "TEXT")]
    prefix: Option<String>,

    /// Only this key and those after it
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    start: Option<Key>,

    /// Only this key and those before it
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    end: Option<Key>,

    /// Keep version, revision and times too; `import --with-metadata` restores them into an empty store
    #[arg(long)]
    with_metadata: bool,

    /// Go on with an export to this file that broke off
    #[arg(long, conflicts_with = "force")]
    resume: bool,

    /// Replace the file if it is there, or begin again with one that broke off; the old file stays until the new one is whole
    #[arg(long)]
    force: bool,

    /// Read everything, and write nothing
    #[arg(long, conflicts_with_all = ["resume", "force"])]
    dry_run: bool,

    /// How progress is shown on stderr
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Shown,

    #[command(flatten)]
    patience: Patience,

    #[command(flatten)]
    server: Server,
}

impl Export {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        check(&client).await?;
        let Place { target, part, reached } = self.place(client.url())?;
        let after = reached.after()?;
        if let Some(after) = &after {
            writeln!(io::stderr(), "going on after the key {after:?}")?;
        } else if self.resume {
            writeln!(io::stderr(), "no export to this file broke off: beginning at its start")?;
        }
        let form = if self.with_metadata { Form::Entries } else { Form::Values };
        let progress = Progress::start(self.shown(), Items::Entries, Total::Unknown, reached.amount());
        let reached = Arc::new(Mutex::new(reached));
        let sink = Sink::new(target, self.compression(), form, Arc::clone(&reached));
        let pages = client.pages(&PageQuery {
            start: self.start.clone(),
            end: self.end.clone(),
            after,
            prefix: self.prefix.clone(),
            page_entries_max: Some(FIRST_PAGE_ENTRIES),
            ..PageQuery::default()
        });
        let outage = Outage::new(self.patience, progress.teller());
        let part = part.map(Arc::new);
        let watch = Watch { progress, reached, part: part.clone(), keeping: None, kept_at: Instant::now() };
        let mut transfer = Transfer { pages, outage, watch };
        let ended = transfer.run(sink).await;
        let reached = transfer.watch.end().await;
        self.conclude(ended, &reached, part.as_deref())
    }

    fn conclude(&self, ended: anyhow::Result<bool>, reached: &Reached, part: Option<&Part>) -> anyhow::Result<Exit> {
        let broke_off = || stopped(reached, part);
        let interrupted = ended
            .map_err(|error| if is_closed_pipe(&error) { error } else { Told::again(&error, format!("{error:#}; {}", broke_off())) })?;
        if interrupted {
            writeln!(io::stderr(), "interrupted; {}", broke_off())?;
            return Ok(Exit::Killed);
        }
        part.map_or(Ok(()), Part::become_whole)?;
        let done = if self.dry_run { "would be exported" } else { "exported" };
        self.say(&format!("{} {done}", output::entries(reached.entries)))?;
        Ok(Exit::Ok)
    }

    /// The summary goes where the entries do not.
    fn say(&self, text: &str) -> io::Result<()> {
        if self.to_stdout() && !self.dry_run { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") }
    }

    /// A bar would be drawn between the entries where they are shown themselves.
    fn shown(&self) -> Shown {
        let shows_entries = self.to_stdout() && !self.dry_run && output::to_terminal();
        if self.progress == Shown::Auto && shows_entries { Shown::None } else { self.progress }
    }

    fn to_stdout(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.as_os_str() == "-")
    }

    fn compression(&self) -> Compression {
        self.file.as_deref().map_or(Compression::None, Compression::of_path)
    }

    /// Where to write, and how far that is already.
    fn place(&self, server: &str) -> anyhow::Result<Place> {
        let whole = |target| Ok(Place { target, part: None, reached: Reached::default() });
        let file = match &self.file {
            _ if self.dry_run => return whole(Target::Nothing),
            Some(file) if !self.to_stdout() => file,
            _ => {
                ensure!(!self.resume, "--resume goes on with a file; name it");
                return whole(Target::Stdout(io::stdout()));
            }
        };
        if is_device(file) {
            // It takes what it is given, and is there before.
            ensure!(!self.resume, "{} is no file that could be gone on with; leave out --resume", file.display());
            let opened = OpenOptions::new().write(true).open(file);
            return whole(Target::File(opened.with_context(|| format!("can't write {}", file.display()))?));
        }
        let begin = match (self.resume, self.force) {
            (true, _) => Begin::Resume,
            (_, true) => Begin::Replace,
            _ => Begin::New,
        };
        let key = |key: &Option<Key>| key.as_ref().map(|key| key.as_str().to_owned());
        let plan = Plan {
            server: server.to_owned(),
            prefix: self.prefix.clone(),
            start: key(&self.start),
            end: key(&self.end),
            with_metadata: self.with_metadata,
            compression: self.compression().as_str().to_owned(),
        };
        let (part, target, reached) = Part::begin(file, begin, plan)?;
        Ok(Place { target: Target::File(target), part: Some(part), reached })
    }
}

/// Where an export goes.
struct Place {
    target: Target,
    part: Option<Part>,
    reached: Reached,
}

fn is_device(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// How far an export came that broke off, and what can be done. What is of no use is removed.
fn stopped(reached: &Reached, part: Option<&Part>) -> String {
    let entries = output::entries(reached.entries);
    let Some(part) = part else { return format!("the export stopped after {entries}; start it again") };
    let reached = part.break_off(reached);
    if reached.entries == 0 {
        part.remove();
        return "the export stopped before its first entry was written; start it again".into();
    }
    format!(
        "the export stopped after {}, which are in {}; go on with the same command and --resume (in place of --force, if that is there)",
        output::entries(reached.entries),
        part.path().display()
    )
}

struct Transfer {
    pages: Pages,
    outage: Outage,
    watch: Watch,
}

impl Transfer {
    /// Moves every page. `true` if a signal ended it; what was written then is whole. Nothing is being written any more when it ends.
    async fn run(&mut self, sink: Sink) -> anyhow::Result<bool> {
        let mut signals = Signals::register().context("signals can't be caught")?;
        let mut ticks = tokio::time::interval(TICK);
        let mut writing = spawn_blocking(move || Ok(sink));
        let mut limit = FIRST_PAGE_ENTRIES;
        let mut interrupted = false;
        loop {
            let page = {
                let next = next_page(&mut self.pages, &self.outage);
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        page = &mut next => break page,
                        _ = signals.next() => {
                            interrupted = true;
                            break Ok(None);
                        }
                        _ = ticks.tick() => if let Err(error) = self.watch.tick().await { break Err(error) },
                    }
                }
            };
            let sink: Sink = writing.await.context("the thread that writes ended")??;
            let Some(page) = page? else {
                spawn_blocking(move || sink.finish()).await.context("the thread that writes ended")??;
                return Ok(interrupted);
            };
            limit = (limit.saturating_mul(EXPORT_PAGE_BYTES) / page.bytes().max(1)).clamp(1, PAGE_ENTRIES_MAX);
            self.pages.limit(limit);
            writing = spawn_blocking(move || sink.write(&page));
        }
    }
}

/// Shows how far an export is, and keeps a note of it.
struct Watch {
    progress: Progress,
    reached: Arc<Mutex<Reached>>,
    part: Option<Arc<Part>>,
    /// A note on its way to the disk, which is not waited for.
    keeping: Option<JoinHandle<anyhow::Result<()>>>,
    kept_at: Instant,
}

impl Watch {
    async fn tick(&mut self) -> anyhow::Result<()> {
        let reached = self.reached.lock().clone();
        self.progress.at(reached.amount());
        let Some(part) = self.part.clone().filter(|_| self.kept_at.elapsed() >= KEEP_EVERY) else { return Ok(()) };
        if self.keeping.as_ref().is_some_and(|keeping| !keeping.is_finished()) {
            return Ok(());
        }
        self.settle().await?;
        self.kept_at = Instant::now();
        self.keeping = Some(spawn_blocking(move || part.keep(&reached)));
        Ok(())
    }

    /// Waits until no note is on its way.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let Some(keeping) = self.keeping.take() else { return Ok(()) };
        keeping.await.context("the thread that keeps the state ended")?
    }

    /// Gives how far it came.
    async fn end(&mut self) -> Reached {
        // A note that failed is made again.
        let _ = self.settle().await;
        let reached: Reached = self.reached.lock().clone();
        self.progress.end(reached.amount());
        reached
    }
}

/// The next page, waited for while the server is away.
async fn next_page(pages: &mut Pages, outage: &Outage) -> anyhow::Result<Option<RawPage>> {
    let mut attempt = 1;
    loop {
        match pages.next_raw().await {
            Ok(page) => {
                outage.is_over();
                return Ok(page);
            }
            Err(error) => match outage.wait(&error, attempt) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(explain(error)),
            },
        }
        attempt += 1;
    }
}

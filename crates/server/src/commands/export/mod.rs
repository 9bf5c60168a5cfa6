//! `kvstore export`: a range of keys as lines of JSON, page by page, with memory for two pages.
//!
//! While one page is written (`sink.rs`, on a thread of its own) the next one is on its way. A file that broke off can be gone on with
//! (`resume.rs`).

mod resume;
mod sink;

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use kvstore_client::{PageQuery, Pages, RawPage};
use kvstore_types::{
    Key,
    limits::{EXPORT_PAGE_BYTES, PAGE_ENTRIES_MAX},
};

use self::sink::{Form, Sink, Target, Written};
use super::{
    compression::Compression,
    connect::{Server, check, explain, parse_key},
    outage::{Outage, Patience},
    output,
    progress::{Amount, Progress, Shown, Total},
};
use crate::{
    exit::{Exit, is_closed_pipe},
    shutdown::Signals,
};

/// Entries of the first page, from which the size of the others is told.
const FIRST_PAGE_ENTRIES: usize = 500;
const TICK: Duration = Duration::from_millis(500);

/// Write keys and values as lines of JSON, as `import` takes them
///
/// Each line is an object with "key" and "value", with "encoding": "base64" where the value is not text, and "expires_at" where it
/// expires. Each page of the range is one snapshot, and no key that is there throughout is left out; the whole is no single snapshot.
/// Files named *.gz and *.zst are compressed.
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

    /// Go on with a file that broke off, after its last whole line
    #[arg(long, conflicts_with = "force")]
    resume: bool,

    /// Replace the file if it is there
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
        let (target, after) = self.target()?;
        if let Some(after) = &after {
            writeln!(io::stderr(), "going on after the key {after:?}")?;
        }
        let form = if self.with_metadata { Form::Entries } else { Form::Values };
        let sink = Sink::start(target, self.compression(), form)?;
        let pages = client.pages(&PageQuery {
            start: self.start.clone(),
            end: self.end.clone(),
            after,
            prefix: self.prefix.clone(),
            page_entries_max: Some(FIRST_PAGE_ENTRIES),
            ..PageQuery::default()
        });
        let progress = Progress::start(self.progress, Total::Unknown, Amount::default());
        let outage = Outage::new(self.patience, progress.teller());
        let written = sink.written();
        let mut transfer = Transfer { pages, outage, progress, written };
        let ended = transfer.run(sink).await;
        let reached = transfer.written.amount();
        transfer.progress.end(reached);
        let entries = reached.entries;
        let interrupted =
            ended.map_err(|error| if is_closed_pipe(&error) { error } else { anyhow!("{error:#}; {}", self.stopped(entries)) })?;
        if interrupted {
            writeln!(io::stderr(), "interrupted; {}", self.stopped(entries))?;
            return Ok(Exit::Killed);
        }
        let done = if self.dry_run { "would be exported" } else { "exported" };
        self.say(&format!("{} {done}", output::entries(entries)))?;
        Ok(Exit::Ok)
    }

    /// The summary goes where the entries do not.
    fn say(&self, text: &str) -> io::Result<()> {
        if self.to_stdout() && !self.dry_run { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") }
    }

    fn stopped(&self, entries: u64) -> String {
        match &self.file {
            Some(file) if self.compression() == Compression::None && !self.to_stdout() => {
                format!(
                    "the export stopped after {}; go on with the same command and --resume, which goes on with {}",
                    output::entries(entries),
                    file.display()
                )
            }
            _ => format!("the export stopped after {}; start it again", output::entries(entries)),
        }
    }

    fn to_stdout(&self) -> bool {
        self.file.as_ref().is_none_or(|file| file.as_os_str() == "-")
    }

    fn compression(&self) -> Compression {
        self.file.as_deref().map_or(Compression::None, Compression::of_path)
    }

    /// Where to write, and the key after which to go on.
    fn target(&self) -> anyhow::Result<(Target, Option<Key>)> {
        let file = match &self.file {
            _ if self.dry_run => return Ok((Target::Nothing, None)),
            Some(file) if !self.to_stdout() => file,
            _ => {
                ensure!(!self.resume, "--resume goes on with a file; name it");
                return Ok((Target::Stdout(io::stdout()), None));
            }
        };
        let named = || format!("can't write {}", file.display());
        if self.resume {
            ensure!(
                self.compression() == Compression::None,
                "{} is compressed, so nobody can tell which of its lines are whole; start again with --force, or export to a plain file",
                file.display()
            );
            if file.exists() {
                let (file, last) = resume::reopen(file, self.with_metadata)?;
                return Ok((Target::File(file), last));
            }
        }
        let opened = if self.force { File::create(file) } else { OpenOptions::new().write(true).create_new(true).open(file) };
        match opened {
            // A device takes what it is given, and is there before.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_device(file) => {
                Ok((Target::File(OpenOptions::new().write(true).open(file).with_context(named)?), None))
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                anyhow::bail!("{} is there already; go on with it with --resume, replace it with --force, or name another", file.display())
            }
            opened => Ok((Target::File(opened.with_context(named)?), None)),
        }
    }
}

fn is_device(file: &std::path::Path) -> bool {
    file.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

struct Transfer {
    pages: Pages,
    outage: Outage,
    progress: Progress,
    written: Arc<Written>,
}

impl Transfer {
    /// Moves every page. `true` if a signal ended it; what was written then is whole.
    async fn run(&mut self, sink: Sink) -> anyhow::Result<bool> {
        let mut signals = Signals::register().context("signals can't be caught")?;
        let mut ticks = tokio::time::interval(TICK);
        let mut writing = tokio::task::spawn_blocking(move || Ok(sink));
        let mut limit = FIRST_PAGE_ENTRIES;
        let mut interrupted = false;
        loop {
            let page = {
                let next = next_page(&mut self.pages, &self.outage);
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        page = &mut next => break page?,
                        _ = signals.next() => {
                            interrupted = true;
                            break None;
                        }
                        _ = ticks.tick() => self.progress.at(self.written.amount()),
                    }
                }
            };
            let sink = writing.await.context("the thread that writes ended")??;
            let Some(page) = page else {
                tokio::task::spawn_blocking(move || sink.finish()).await.context("the thread that writes ended")??;
                return Ok(interrupted);
            };
            limit = (limit.saturating_mul(EXPORT_PAGE_BYTES) / page.bytes().max(1)).clamp(1, PAGE_ENTRIES_MAX);
            self.pages.limit(limit);
            writing = tokio::task::spawn_blocking(move || sink.write(&page));
        }
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

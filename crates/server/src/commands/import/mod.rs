//! `kvstore import`: NDJSON in batches, with memory for one batch.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::PathBuf,
};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kvstore_client::{BatchItem, Client, ClientError, WriteOutcome};
use kvstore_types::{IdempotencyKey, Key, limits};

use super::connect::{Server, explain};
use crate::exit::Exit;

/// Items of a batch.
const BATCH_ITEMS: usize = 1_000;
/// Bytes of the lines of a batch: far below what a server takes, so that base64 and escapes fit too.
const BATCH_LINE_BYTES: usize = 4 << 20;

/// Store entries from lines of JSON, as `list -o json` prints them
///
/// Each line is an object with "key" and "value", and may have "encoding": "base64" and "ttl" in seconds. Of two lines with the
/// same key, the later one wins. Importing the same lines again is safe.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file; `-` reads from stdin
    file: PathBuf,

    #[command(flatten)]
    server: Server,
}

impl Import {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        let (reader, bytes) = self.open()?;
        let progress = progress(bytes);
        let mut importer = Importer { client, name: random_name()?, batch: Batch::default(), batches: 0, stored: 0, progress };
        let result = importer.all(reader).await;
        importer.progress.finish_and_clear();
        let stored = importer.stored;
        result.with_context(|| format!("the import stopped; {stored} entries are stored"))?;
        writeln!(io::stdout(), "{stored} entries stored")?;
        Ok(Exit::Ok)
    }

    fn open(&self) -> anyhow::Result<(Box<dyn BufRead>, Option<u64>)> {
        if self.file.as_os_str() == "-" {
            return Ok((Box::new(io::stdin().lock()), None));
        }
        let opened = File::open(&self.file).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.with_context(|| format!("can't read {}", self.file.display()))?;
        ensure!(!metadata.is_dir(), "{} is a directory; name a file of JSON lines", self.file.display());
        Ok((Box::new(BufReader::with_capacity(1 << 20, file)), metadata.is_file().then_some(metadata.len())))
    }
}

struct Importer {
    client: Client,
    /// What the idempotency keys of this import begin with.
    name: String,
    batch: Batch,
    batches: u64,
    stored: usize,
    progress: ProgressBar,
}

#[derive(Default)]
struct Batch {
    items: Vec<BatchItem>,
    keys: HashSet<Key>,
    line_bytes: usize,
    first_line: u64,
}

impl Importer {
    async fn all(&mut self, mut reader: Box<dyn BufRead>) -> anyhow::Result<()> {
        let mut line = Vec::new();
        let mut number = 0_u64;
        loop {
            number += 1;
            let parsed = match next_line(&mut *reader, &mut line) {
                Ok(0) => break,
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => BatchItem::from_json_line(line.trim_ascii()).map_err(anyhow::Error::from),
                Err(error) => Err(error),
            };
            match parsed {
                Ok(item) => self.take(item, line.len(), number).await?,
                Err(error) => {
                    // All before the bad line is stored, so that the rest can be imported from there.
                    self.flush().await?;
                    return Err(anyhow!(
                        "line {number}: {error:#}; all lines before it are stored: mend it, and import the rest or all again"
                    ));
                }
            }
            self.progress.inc(line.len() as u64);
        }
        self.flush().await
    }

    async fn take(&mut self, item: BatchItem, line_bytes: usize, number: u64) -> anyhow::Result<()> {
        let batch = &self.batch;
        // A batch holds a key once; a later line with the same key belongs to the next one.
        let full = batch.items.len() >= BATCH_ITEMS || batch.line_bytes + line_bytes > BATCH_LINE_BYTES || batch.keys.contains(&item.key);
        if full {
            self.flush().await?;
        }
        if self.batch.items.is_empty() {
            self.batch.first_line = number;
        }
        self.batch.keys.insert(item.key.clone());
        self.batch.items.push(item);
        self.batch.line_bytes += line_bytes;
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.items.is_empty() {
            return Ok(());
        }
        self.batches += 1;
        // With a key of its own, a batch whose answer was lost can be sent again.
        let idempotency = IdempotencyKey::new(&format!("{}-{}", self.name, self.batches))?;
        let sent = self.client.batch(&batch.items, Some(&idempotency)).await;
        let answer = sent.map_err(|error| explain_batch(error, &batch))?;
        self.stored += answer.count;
        self.progress.set_message(format!("{} entries", self.stored));
        Ok(())
    }
}

fn explain_batch(error: ClientError, batch: &Batch) -> anyhow::Error {
    let (first, count) = (batch.first_line, batch.items.len());
    let became = match error.outcome() {
        WriteOutcome::NotApplied => "it was not stored",
        WriteOutcome::Unknown => "whether it was stored is not known",
    };
    anyhow!("the batch of {count} items from line {first} on failed, {became}: {:#}; importing again is safe", explain(error))
}

/// Reads a line into `line`, up to the largest that a server could take. 0 at the end.
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> anyhow::Result<usize> {
    line.clear();
    let limit = limits::BODY_BYTES_MAX_DEFAULT;
    let read = reader.take(limit as u64 + 1).read_until(b'\n', line)?;
    ensure!(read <= limit, "it is longer than {limit} bytes, more than a server takes");
    Ok(read)
}

/// A name that no other import has.
fn random_name() -> anyhow::Result<String> {
    let random = getrandom::u64().map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
    Ok(format!("import-{random:016x}"))
}

fn progress(bytes: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match bytes {
        Some(bytes) => ProgressBar::new(bytes),
        None => ProgressBar::no_length(),
    };
    let form = match bytes {
        Some(_) => "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {msg}  {eta} left",
        None => "{spinner} {bytes}  {bytes_per_sec}  {msg}",
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // The form is a constant: should it not parse, the plain bar is shown.
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}

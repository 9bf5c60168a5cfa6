//! The sink of an export: makes lines of the entries of a page and writes them, on a thread that may wait for the disk.

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use kvstore_client::RawPage;

use super::super::{
    compression::{Compression, Writer},
    connect::explain,
    output::{escape_json, to_terminal},
    progress::Amount,
};

/// What a line holds of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What another store needs to have the same value under the same key.
    Values,
    /// All of it.
    Entries,
}

/// Where the lines go.
pub(super) enum Target {
    File(File),
    Stdout(io::Stdout),
    Nothing,
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::Nothing => Ok(bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
            Self::Nothing => Ok(()),
        }
    }
}

/// How much was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Written {
    pub(super) fn amount(&self) -> Amount {
        Amount { entries: self.entries.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// Lines are written when there are so many bytes of them.
const LINES_BYTES: usize = 256 << 10;

/// Writes pages.
pub(super) struct Sink {
    writer: Writer<Target>,
    form: Form,
    /// The lines go to a terminal, which nothing stored may steer.
    is_shown: bool,
    written: Arc<Written>,
    /// Lines that are not written yet.
    lines: Vec<u8>,
}

impl Sink {
    pub(super) fn start(target: Target, compression: Compression, form: Form) -> io::Result<Self> {
        let is_shown = matches!(target, Target::Stdout(_)) && to_terminal();
        Ok(Self { writer: compression.writer(target)?, form, is_shown, written: Arc::default(), lines: Vec::new() })
    }

    pub(super) fn written(&self) -> Arc<Written> {
        Arc::clone(&self.written)
    }

    /// Writes a page's entries.
    pub(super) fn write(mut self, page: &RawPage) -> anyhow::Result<Self> {
        let entries = match self.form {
            Form::Entries => {
                let entries = page.entries().map_err(explain)?;
                for entry in entries.iter() {
                    self.lines.extend_from_slice(entry.json().as_bytes());
                    self.end_line()?;
                }
                entries.len()
            }
            Form::Values => {
                let values = page.values().map_err(explain)?;
                for value in values.iter() {
                    value.write(&mut self.lines);
                    self.end_line()?;
                }
                values.len()
            }
        };
        self.write_lines()?;
        self.written.entries.fetch_add(entries as u64, Ordering::Relaxed);
        Ok(self)
    }

    fn end_line(&mut self) -> anyhow::Result<()> {
        self.lines.push(b'\n');
        if self.lines.len() >= LINES_BYTES { self.write_lines() } else { Ok(()) }
    }

    fn write_lines(&mut self) -> anyhow::Result<()> {
        if self.is_shown {
            let shown = escape_json(&String::from_utf8_lossy(&self.lines));
            self.writer.write_all(shown.as_bytes()).context(CANT_WRITE)?;
        } else {
            self.writer.write_all(&self.lines).context(CANT_WRITE)?;
        }
        self.written.bytes.fetch_add(self.lines.len() as u64, Ordering::Relaxed);
        self.lines.clear();
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.writer.finish().context(CANT_WRITE)? {
            Target::File(file) => match file.sync_all() {
                // A device or a pipe has nothing to bring anywhere.
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error).context(CANT_WRITE),
                _ => Ok(()),
            },
            mut other => other.flush().context(CANT_WRITE),
        }
    }
}

const CANT_WRITE: &str = "the entries can't be written; make room, or export to another place";

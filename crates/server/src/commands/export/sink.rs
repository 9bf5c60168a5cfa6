//! The sink of an export: makes lines of the entries of a page and writes them, on a thread that may wait for the disk.
//!
//! It writes in pieces that are whole: each ends with a line, and with a gzip member or a zstd frame where the file is compressed. What
//! counts as written is whole pieces, so that a file can be cut behind the last one and gone on with.

use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
};

use anyhow::Context;
use kvstore_client::{ClientError, PageEntry, PageValue, RawPage};
use kvstore_types::Key;
use parking_lot::Mutex;

use super::{
    super::{
        compression::Compression,
        connect::explain,
        output::{escape_json, to_terminal},
    },
    state::Reached,
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

impl Target {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.write_all(bytes),
            Self::Stdout(stdout) => stdout.write_all(bytes),
            Self::Nothing => Ok(()),
        }
    }
}

/// Lines are written when there are so many bytes of them.
const PIECE_BYTES: usize = 256 << 10;
/// Where they are compressed, more of them make smaller files.
const PACKED_PIECE_BYTES: usize = 1 << 20;

/// Writes pages.
pub(super) struct Sink {
    target: Target,
    compression: Compression,
    form: Form,
    reached: Arc<Mutex<Reached>>,
    /// The lines go to a terminal, which nothing stored may steer.
    is_shown: bool,
    /// Lines that are not written yet, and how many they are.
    lines: Vec<u8>,
    count: u64,
}

impl Sink {
    /// `reached` is how far the target is already, and is brought on with each piece.
    pub(super) fn new(target: Target, compression: Compression, form: Form, reached: Arc<Mutex<Reached>>) -> Self {
        let is_shown = matches!(target, Target::Stdout(_)) && to_terminal();
        Self { target, compression, form, is_shown, reached, lines: Vec::new(), count: 0 }
    }

    /// Writes a page's entries.
    pub(super) fn write(mut self, page: &RawPage) -> anyhow::Result<Self> {
        match self.form {
            Form::Entries => {
                let entries = page.entries().map_err(explain)?;
                let write = |entry: &PageEntry<'_>, lines: &mut Vec<u8>| lines.extend_from_slice(entry.json().as_bytes());
                self.take(entries.iter(), write, PageEntry::key)?;
            }
            Form::Values => {
                let values = page.values().map_err(explain)?;
                self.take(values.iter(), PageValue::write, PageValue::key)?;
            }
        }
        Ok(self)
    }

    fn take<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        write: impl Fn(&T, &mut Vec<u8>),
        key: impl Fn(&T) -> Result<Key, ClientError>,
    ) -> anyhow::Result<()> {
        let piece_bytes = if self.compression == Compression::None { PIECE_BYTES } else { PACKED_PIECE_BYTES };
        let mut last = None;
        for item in items {
            write(&item, &mut self.lines);
            self.lines.push(b'\n');
            self.count += 1;
            last = if self.lines.len() < piece_bytes {
                Some(item)
            } else {
                self.write_piece(&key(&item).map_err(explain)?)?;
                None
            };
        }
        last.map_or(Ok(()), |item| self.write_piece(&key(&item).map_err(explain)?))
    }

    /// Writes the lines that there are. The last one has this key.
    fn write_piece(&mut self, last_key: &Key) -> anyhow::Result<()> {
        let written = match self.compression {
            Compression::None if self.is_shown => {
                let shown = escape_json(&String::from_utf8_lossy(&self.lines));
                self.target.write_all(shown.as_bytes()).map(|()| self.lines.len())
            }
            Compression::None => self.target.write_all(&self.lines).map(|()| self.lines.len()),
            packs => packs.pack(&self.lines).and_then(|packed| self.target.write_all(&packed).map(|()| packed.len())),
        };
        let file_bytes = written.context(CANT_WRITE)? as u64;
        let mut reached = self.reached.lock();
        reached.entries += self.count;
        reached.bytes += self.lines.len() as u64;
        reached.file_bytes += file_bytes;
        reached.last_key = Some(last_key.as_str().to_owned());
        self.lines.clear();
        self.count = 0;
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if self.reached.lock().file_bytes == 0 && self.compression != Compression::None {
            // An empty file would be no compressed file.
            let empty = self.compression.pack(b"").and_then(|packed| self.target.write_all(&packed).map(|()| packed.len()));
            self.reached.lock().file_bytes = empty.context(CANT_WRITE)? as u64;
        }
        match self.target {
            Target::File(file) => match file.sync_all() {
                // A device or a pipe has nothing to bring anywhere.
                Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error).context(CANT_WRITE),
                _ => Ok(()),
            },
            Target::Stdout(mut stdout) => stdout.flush().context(CANT_WRITE),
            Target::Nothing => Ok(()),
        }
    }
}

const CANT_WRITE: &str = "the entries can't be written; make room, or export to another place";

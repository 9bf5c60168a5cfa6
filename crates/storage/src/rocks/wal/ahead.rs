//! Keeps zeros ahead of the log's end, so that a sync has data to write and nothing else.
//!
//! When a file grows, or a block of it is written for the first time, the file system notes that (in a journal, where it has one), and
//! a sync of the log must wait for the note too: for half again as long on ext4, and for much longer while tables are written and
//! deleted beside it. Over zeros that are on disk already, a sync is the write of its bytes. PostgreSQL does the same with its segments
//! (`wal_init_zero`).
//!
//! Zeros are only ever appended to the file, by the thread that is about to write to the log: no byte of a record can be overwritten.
//! RocksDB keeps its own offset in the file, and cuts what is left of the zeros when it closes it, shortly before it deletes the file or
//! at the end; after a crash, the check of the log takes zeros at the end for what they are.
//!
//! Nothing depends on the zeros: where they can't be written, syncs take as long as they would without.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

use super::{super::changes::Changes, block::BLOCK, log_files, record::HEADER};
use crate::file_system::overwrites_in_place;

/// Written at once: few enough that the sync which has to write them too takes a millisecond or so.
const ZEROS: u64 = 1 << 20;
/// A larger group of writes waits for the disk's rate, not for its answers: its bytes are not written twice.
const GROUP_BYTES_MAX: u64 = 64 << 10;
/// After so many bytes the directory is looked at again: RocksDB may have begun a new file.
const LOOK_EVERY: u64 = 256 << 10;

const BLOCK_BYTES: u64 = BLOCK as u64;
const HEADER_BYTES: u64 = HEADER as u64;

static ZERO_BLOCK: [u8; BLOCK] = [0; BLOCK];

/// Fills the newest log file of one database ahead of its writes.
pub(crate) struct Ahead {
    db_dir: PathBuf,
    /// `None` on file systems where it would make nothing faster.
    pub(super) state: Option<Mutex<State>>,
}

impl Ahead {
    pub(crate) fn new(db_dir: &Path) -> Self {
        if overwrites_in_place(db_dir) { Self::in_place(db_dir) } else { Self { db_dir: db_dir.to_owned(), state: None } }
    }

    /// Whatever the file system.
    pub(super) fn in_place(db_dir: &Path) -> Self {
        Self { db_dir: db_dir.to_owned(), state: Some(Mutex::default()) }
    }

    /// Makes room for a batch of `bytes` that is about to be written to the log and synced. Nobody else may write to the log until
    /// that is done.
    pub(crate) fn make_room(&self, bytes: usize) {
        let Some(state) = &self.state else { return };
        if let Err(error) = state.lock().make_room(&self.db_dir, bytes as u64) {
            // If the disk is full, or broken, the write itself will tell.
            tracing::debug!(%error, "no zeros could be written ahead of the log's end");
        }
    }
}

#[derive(Default)]
pub(super) struct State {
    /// The newest file. It is not held open: whoever closes a deleted file last has to wait while its space is freed.
    pub(super) file: Option<PathBuf>,
    /// Its length.
    pub(super) length: u64,
    /// Where RocksDB writes its next record. Where this is wrong, a group takes longer, or zeros are written too early.
    pub(super) at: u64,
    /// How many bytes may be written until the directory is looked at again.
    unseen: u64,
    changes: Changes,
}

impl State {
    fn make_room(&mut self, db_dir: &Path, bytes: u64) -> io::Result<()> {
        let mut framed = framed(self.at, bytes);
        if bytes <= GROUP_BYTES_MAX && (self.at + framed > self.length || framed > self.unseen) {
            self.look(db_dir)?;
            framed = self::framed(self.at, bytes);
            if self.at + framed > self.length {
                self.fill()?;
            }
        }
        self.at += framed;
        self.unseen = self.unseen.saturating_sub(framed);
        Ok(())
    }

    /// Finds the newest file. Where it is longer than what was filled, or was not known, it ends with its last record.
    fn look(&mut self, db_dir: &Path) -> io::Result<()> {
        self.find(db_dir)?;
        let length = self.file.as_ref().map_or(Ok(0), |path| fs::metadata(path).map(|file| file.len()))?;
        if length != self.length {
            (self.length, self.at) = (length, length);
        }
        self.unseen = LOOK_EVERY;
        Ok(())
    }

    fn find(&mut self, db_dir: &Path) -> io::Result<()> {
        let Some(newest) = self.changes.read(db_dir, || Ok(log_files(db_dir).map_err(io::Error::other)?.pop()))? else { return Ok(()) };
        if newest != self.file {
            let changes = std::mem::take(&mut self.changes);
            *self = Self { file: newest, changes, ..Self::default() };
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let file = OpenOptions::new().write(true).open(path)?;
        let end = (self.length + ZEROS).next_multiple_of(BLOCK_BYTES);
        while self.length < end {
            let left = usize::try_from(end - self.length).map_or(BLOCK, |left| left.min(BLOCK));
            let written = file.write_at(ZERO_BLOCK.get(..left).unwrap_or(&ZERO_BLOCK), self.length)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.length += written as u64;
        }
        Ok(())
    }
}

/// What a batch of `bytes` takes in the log from `at` on: its fragments' headers, and what is left over at the ends of blocks.
fn framed(at: u64, bytes: u64) -> u64 {
    let (mut end, mut left) = (at, bytes);
    loop {
        let room = BLOCK_BYTES - end % BLOCK_BYTES;
        if room < HEADER_BYTES {
            end += room;
            continue;
        }
        let fragment = left.min(room - HEADER_BYTES);
        end += HEADER_BYTES + fragment;
        left -= fragment;
        if left == 0 {
            return end - at;
        }
    }
}

//! Reads a log file in its 32 KiB blocks, a mebibyte at a time, so that memory stays bounded whatever the file's size.
//! It knows nothing of records.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The block size of the format. A record's fragments never cross a block's end.
pub(super) const BLOCK: usize = 32 * 1024;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;

const READ: usize = 32 * BLOCK;

/// The blocks of one file, in order.
pub(super) struct Blocks<'a> {
    file: &'a File,
    length: u64,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    start: u64,
    /// Position in the buffer of the next block.
    next: usize,
}

/// One block. It is shorter than [`BLOCK`] only at the end of the file.
pub(super) struct Block<'a> {
    /// File offset of its first byte.
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// The blocks from the one that holds `offset` on.
    pub(super) fn from(file: &'a File, offset: u64) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Blocks { file, length, buffer: Vec::new(), start: offset - offset % BLOCK as u64, next: 0 })
    }

    /// The file's length when it was opened.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The next block, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Block<'_>>> {
        if self.next >= self.buffer.len() {
            self.fill()?;
        }
        let offset = self.start + self.next as u64;
        let end = self.buffer.len().min(self.next + BLOCK);
        let Some(bytes) = self.buffer.get(self.next..end).filter(|bytes| !bytes.is_empty()) else {
            return Ok(None);
        };
        self.next = end;
        Ok(Some(Block { offset, bytes }))
    }

    fn fill(&mut self) -> io::Result<()> {
        self.start += self.buffer.len() as u64;
        self.next = 0;
        let left = self.length.saturating_sub(self.start);
        self.buffer.resize(usize::try_from(left).map_or(READ, |left| left.min(READ)), 0);
        self.file.read_exact_at(&mut self.buffer, self.start)
    }
}

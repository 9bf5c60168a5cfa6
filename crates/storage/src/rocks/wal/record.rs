//! One physical record (a fragment) of a log block: header, kind, checksum. It knows nothing of files or of what came before.

use std::fmt;

use super::block::BLOCK;

/// Checksum (4 bytes), length (2), type (1).
pub(super) const HEADER: usize = 7;

/// Sequence number (8 bytes) and count (4): the least that a logical record holds.
pub(super) const BATCH_HEADER: usize = 12;

/// The part that a fragment plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    First,
    Middle,
    Last,
    /// The file's compression: after it, contents are not readable here.
    Compression,
    /// About the log itself (timestamp sizes, the log before this one), or of a later version that says it may be ignored.
    Note,
}

/// A fragment whose checksum is right.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    /// Position in the block just after it.
    pub(super) end: usize,
}

/// What stands at one position of a block.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Fragment(Fragment<'a>),
    /// No header fits: the rest of the block is filler, or the file ends here.
    End,
    Bad(Bad),
}

/// What is wrong with the bytes at one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// The file ends inside the fragment, or between two fragments of one record.
    Torn,
    /// The header is all zeros.
    Zeros,
    /// The length reaches past the block.
    Length(usize),
    /// The type is not one that this database writes.
    Type(u8),
    Checksum,
}

impl Bad {
    /// True for what an interrupted write leaves.
    pub(super) fn is_torn(self) -> bool {
        self == Bad::Torn
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Torn => write!(f, "the file ends inside a record"),
            Bad::Zeros => write!(f, "zeros where a record should start"),
            Bad::Length(length) => write!(f, "a record of {length} bytes does not fit its block"),
            Bad::Type(kind) => write!(f, "record type {kind} is not one that is written here"),
            Bad::Checksum => write!(f, "the checksum of a record is wrong"),
        }
    }
}

/// The header's fields, as they stand, right or wrong.
pub(super) struct Header {
    pub(super) checksum: u32,
    pub(super) length: usize,
    pub(super) kind: u8,
}

impl Header {
    pub(super) fn read(block: &[u8], at: usize) -> Option<Header> {
        let bytes: [u8; HEADER] = block.get(at..at + HEADER)?.try_into().ok()?;
        let [a, b, c, d, low, high, kind] = bytes;
        Some(Header { checksum: u32::from_le_bytes([a, b, c, d]), length: usize::from(u16::from_le_bytes([low, high])), kind })
    }

    pub(super) fn is_zero(&self) -> bool {
        self.checksum == 0 && self.length == 0 && self.kind == 0
    }
}

/// Reads what stands at `at`. A `block` shorter than [`BLOCK`] is the last of its file.
pub(super) fn read(block: &[u8], at: usize) -> Step<'_> {
    let Some(header) = Header::read(block, at) else {
        // A file may end after a whole block's filler, but not in the middle of one: there RocksDB sees half a header.
        return if block.len() == BLOCK || at == block.len() { Step::End } else { Step::Bad(Bad::Torn) };
    };
    if header.is_zero() {
        return Step::Bad(Bad::Zeros);
    }
    let Some(kind) = kind(header.kind) else {
        return Step::Bad(Bad::Type(header.kind));
    };
    let start = at + HEADER;
    let end = start + header.length;
    if end > BLOCK {
        return Step::Bad(Bad::Length(header.length));
    }
    // The checksum covers the type byte and the payload.
    let (Some(covered), Some(payload)) = (block.get(start - 1..end), block.get(start..end)) else {
        return Step::Bad(Bad::Torn);
    };
    if crc32c::crc32c(covered) != unmask(header.checksum) {
        return Step::Bad(Bad::Checksum);
    }
    Step::Fragment(Fragment { kind, payload, end })
}

/// The recyclable types (5 to 8, 11 and 131) are left out: logs are not recycled here, and RocksDB's own reader loops for ever
/// over one of them in a log that did not start so.
fn kind(kind: u8) -> Option<Kind> {
    match kind {
        1 => Some(Kind::Full),
        2 => Some(Kind::First),
        3 => Some(Kind::Middle),
        4 => Some(Kind::Last),
        9 => Some(Kind::Compression),
        10 | 130 | 132.. => Some(Kind::Note),
        _ => None,
    }
}

/// RocksDB stores checksums rotated and offset, so that a checksum of data that holds checksums stays strong.
fn unmask(masked: u32) -> u32 {
    masked.wrapping_sub(0xa282_ead8).rotate_left(15)
}

/// The sequence number and count at the head of a write batch.
pub(super) fn batch_header(payload: &[u8]) -> Option<(u64, u64)> {
    let (sequence, rest) = payload.split_first_chunk::<8>()?;
    let count = rest.first_chunk::<4>()?;
    Some((u64::from_le_bytes(*sequence), u64::from(u32::from_le_bytes(*count))))
}

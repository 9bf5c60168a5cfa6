//! Walks one log file from its start to its first fault: puts fragments together to logical records, and checks that sequence
//! numbers follow one another. What a fault means is decided elsewhere.

use std::fs::File;
use std::io;

use super::block::{BLOCK, Block, Blocks, SECTOR};
use super::record::{self, BATCH_HEADER, Bad, Fragment, HEADER, Header, Kind, Step};

/// The result of one walk.
pub(super) struct Scan {
    /// Whole logical records before the fault.
    pub(super) records: u64,
    /// The file's length in bytes.
    pub(super) length: u64,
    /// The sequence number of the first record.
    pub(super) first_sequence: Option<u64>,
    /// The sequence number that the next record must have, once one record was read.
    pub(super) next_sequence: Option<u64>,
    pub(super) found: Found,
}

impl Scan {
    /// How many bytes of the file stand before the fault.
    pub(super) fn kept(&self) -> u64 {
        match &self.found {
            Found::Fault(fault) => fault.record,
            Found::Whole | Found::Misplaced { .. } => self.length,
        }
    }
}

/// How a walk ended.
pub(super) enum Found {
    /// At the end of the file, with every record whole.
    Whole,
    /// At bytes that are no fragment.
    Fault(Fault),
    /// At a fragment with a good checksum in a place where it cannot be: something before it is missing.
    Misplaced { offset: u64, reason: String },
}

/// Bytes that are no fragment.
pub(super) struct Fault {
    /// Start of the logical record that is lost with them.
    pub(super) record: u64,
    /// Where they are.
    pub(super) at: u64,
    pub(super) bad: Bad,
    /// Where the fragment ends, if its header is to be believed.
    pub(super) claims_until: u64,
    /// True if the lost record may go on in the next block: then fragments found there may be its own.
    pub(super) may_continue: bool,
}

/// Reads `file` to its end or first fault.
pub(super) fn scan(file: &File) -> io::Result<Scan> {
    let mut blocks = Blocks::from(file, 0)?;
    let mut walk = Walk { records: 0, first_sequence: None, next_sequence: None, readable: true, chain: None };
    let length = blocks.length();
    let mut found = None;
    while found.is_none()
        && let Some(block) = blocks.next()?
    {
        found = walk.block(&block);
    }
    let found = found.unwrap_or_else(|| walk.end(length));
    let Walk { records, first_sequence, next_sequence, .. } = walk;
    Ok(Scan { records, length, first_sequence, next_sequence, found })
}

struct Walk {
    records: u64,
    first_sequence: Option<u64>,
    next_sequence: Option<u64>,
    /// False once the file says that its contents are compressed.
    readable: bool,
    chain: Option<Chain>,
}

/// A logical record of which the last fragment was not seen yet.
struct Chain {
    start: u64,
    /// The first bytes of its contents: enough for the batch header.
    head: Vec<u8>,
}

impl Walk {
    fn block(&mut self, block: &Block<'_>) -> Option<Found> {
        let mut at = 0;
        loop {
            let offset = block.offset + at as u64;
            match record::read(block.bytes, at) {
                Step::End => return None,
                Step::Bad(bad) => {
                    let record = self.chain.as_ref().map_or(offset, |chain| chain.start);
                    let claimed = Header::read(block.bytes, at).map_or(0, |header| HEADER + header.length);
                    let claims_until = offset + claimed as u64;
                    let may_continue = self.may_continue(block.bytes, at);
                    return Some(Found::Fault(Fault { record, at: offset, bad, claims_until, may_continue }));
                }
                Step::Fragment(fragment) => {
                    at = fragment.end;
                    if let Err(reason) = self.fragment(&fragment, offset) {
                        let offset = self.chain.as_ref().map_or(offset, |chain| chain.start);
                        return Some(Found::Misplaced { offset, reason });
                    }
                }
            }
        }
    }

    fn end(&self, length: u64) -> Found {
        match &self.chain {
            Some(chain) => {
                Found::Fault(Fault { record: chain.start, at: length, bad: Bad::Torn, claims_until: length, may_continue: false })
            }
            None => Found::Whole,
        }
    }

    fn fragment(&mut self, fragment: &Fragment<'_>, offset: u64) -> Result<(), String> {
        match (fragment.kind, self.chain.as_mut()) {
            (Kind::Full, None) => self.logical(fragment.payload),
            (Kind::First, None) => {
                self.chain = Some(Chain { start: offset, head: head(fragment.payload, BATCH_HEADER) });
                Ok(())
            }
            (Kind::Middle, Some(chain)) => {
                chain.extend(fragment.payload);
                Ok(())
            }
            (Kind::Last, Some(chain)) => {
                chain.extend(fragment.payload);
                let head = std::mem::take(&mut chain.head);
                self.logical(&head)?;
                self.chain = None;
                Ok(())
            }
            (Kind::Compression, None) => {
                self.readable = false;
                Ok(())
            }
            (Kind::Note, None) => Ok(()),
            (Kind::Middle | Kind::Last, None) => Err("a fragment whose first part is missing".to_owned()),
            (_, Some(_)) => Err(format!("a record whose last part is missing, before a valid one at offset {offset}")),
        }
    }

    /// Takes one whole record, of which `contents` holds at least the head.
    fn logical(&mut self, contents: &[u8]) -> Result<(), String> {
        if self.readable {
            let (sequence, count) = record::batch_header(contents).ok_or("a record too short for a write batch")?;
            if let Some(expected) = self.next_sequence.filter(|expected| *expected != sequence) {
                return Err(format!("sequence number {sequence} where {expected} should follow"));
            }
            self.first_sequence.get_or_insert(sequence);
            self.next_sequence = Some(sequence.saturating_add(count));
        }
        self.records += 1;
        Ok(())
    }

    /// Whether the header at `at`, as far as it was written, can be of a fragment that fills its block and has a successor.
    fn may_continue(&self, block: &[u8], at: usize) -> bool {
        let open = if self.chain.is_some() { 3 } else { 2 };
        // The sectors of a header that lies on two of them may not both have been written. No type is zero.
        let on_two_sectors = at / SECTOR != (at + HEADER - 1) / SECTOR;
        Header::read(block, at)
            .is_some_and(|header| header.kind == 0 || (header.kind == open && (on_two_sectors || at + HEADER + header.length == BLOCK)))
    }
}

impl Chain {
    fn extend(&mut self, payload: &[u8]) {
        let wanted = BATCH_HEADER.saturating_sub(self.head.len());
        self.head.extend(head(payload, wanted));
    }
}

fn head(payload: &[u8], length: usize) -> Vec<u8> {
    payload.iter().copied().take(length).collect()
}

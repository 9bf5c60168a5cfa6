//! Looks past a fault for any record that is still valid. One is enough to refuse the file: cutting would lose it.
//!
//! The length in a damaged header cannot be trusted, so the search tries every byte, and takes a match only where the checksum is
//! right and the fragment could stand there. Values may themselves hold log records (a backup stored as a value), so a match in the
//! middle of a block must also carry a sequence number that can follow what was read.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;

use super::block::{BLOCK, Block, Blocks, SECTOR};
use super::record::{self, Fragment, Kind, Step};
use super::scan::Fault;

/// What stands after a fault.
pub(super) struct After {
    /// Offset of the first valid record.
    pub(super) valid_at: Option<u64>,
    /// Just after the last byte that is not zero. Zeros after it are room that was not used.
    pub(super) written_until: u64,
    /// True if a sector of the damaged record is zeros, as of one that was not written yet. A value may hold such zeros itself.
    pub(super) is_unfinished: bool,
}

/// Searches `file` from `fault` to its end.
pub(super) fn look(file: &File, fault: &Fault, next_sequence: Option<u64>) -> io::Result<After> {
    let mut search = Search { fault_record: fault.record, next_sequence, may_continue: fault.may_continue };
    let mut blocks = Blocks::from(file, fault.at)?;
    let mut written_until = fault.at;
    let mut first_empty = None;
    while let Some(block) = blocks.next()? {
        let skipped = usize::try_from(fault.at.saturating_sub(block.offset)).unwrap_or(BLOCK);
        if let Some(last) = block.bytes.iter().rposition(|byte| *byte != 0).filter(|last| *last >= skipped) {
            written_until = block.offset + last as u64 + 1;
        }
        first_empty = first_empty.or_else(|| Some(block.offset + empty_sector(block.bytes, skipped)? as u64));
        let valid = if block.offset > fault.at {
            search.block(&block, 0, Place::Expected)
        } else {
            search.block(&block, skipped + 1, Place::Guessed)
        };
        if valid.is_some() {
            return Ok(After { valid_at: valid, written_until, is_unfinished: false });
        }
    }
    let is_unfinished = first_empty.is_some_and(|at| at < written_until.max(fault.claims_until));
    Ok(After { valid_at: None, written_until, is_unfinished })
}

/// The first sector that holds zeros only, of which what is before `from` does not count.
fn empty_sector(block: &[u8], from: usize) -> Option<usize> {
    let starts = (from - from % SECTOR..block.len()).step_by(SECTOR).map(|start| start.max(from));
    starts.into_iter().find(|start| {
        let end = (start - start % SECTOR + SECTOR).min(block.len());
        block.get(*start..end).is_some_and(|sector| !sector.is_empty() && sector.iter().all(|byte| *byte == 0))
    })
}

/// How a position was come by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A block's start, or the end of a valid fragment: a header must stand here.
    Expected,
    /// Any byte.
    Guessed,
}

struct Search {
    fault_record: u64,
    next_sequence: Option<u64>,
    /// True while fragments at a block's start may belong to the damaged record.
    may_continue: bool,
}

impl Search {
    fn block(&mut self, block: &Block<'_>, from: usize, mut place: Place) -> Option<u64> {
        let mut at = from;
        while at < block.bytes.len() {
            let offset = block.offset + at as u64;
            let Step::Fragment(fragment) = record::read(block.bytes, at) else {
                at += 1;
                place = Place::Guessed;
                continue;
            };
            if place == Place::Expected && self.is_own(&fragment, at) {
                at = fragment.end;
            } else if place == Place::Expected || self.is_credible(&fragment, offset) {
                return Some(offset);
            } else {
                at += 1;
            }
        }
        None
    }

    /// Whether the fragment is a later part of the damaged record itself, as an interrupted write can leave it.
    fn is_own(&mut self, fragment: &Fragment<'_>, at: usize) -> bool {
        let own = self.may_continue && at == 0 && matches!(fragment.kind, Kind::Middle | Kind::Last);
        self.may_continue &= fragment.kind == Kind::Middle;
        own
    }

    fn is_credible(&self, fragment: &Fragment<'_>, offset: u64) -> bool {
        let sequence = record::batch_header(fragment.payload).map(|(sequence, _)| sequence);
        match fragment.kind {
            Kind::Full => sequence.is_some_and(|sequence| self.follows(sequence, offset)),
            Kind::First => fragment.end == BLOCK && sequence.is_none_or(|sequence| self.follows(sequence, offset)),
            // Parts of a record go on at a block's start only, and notes are not written in the middle of a log.
            Kind::Middle | Kind::Last | Kind::Compression | Kind::Note => false,
        }
    }

    /// Each sequence number between is a write that takes more than one byte of the log.
    fn follows(&self, sequence: u64, offset: u64) -> bool {
        self.next_sequence.is_none_or(|next| window(next, offset - self.fault_record).contains(&sequence))
    }
}

fn window(next: u64, bytes: u64) -> RangeInclusive<u64> {
    next..=next.saturating_add(bytes)
}

//! The check of RocksDB's live write-ahead logs, made before the database is opened.
//!
//! RocksDB's recovery modes either skip damage silently or refuse an ordinary torn write. This module reads the log files itself:
//! damage with any valid record after it is refused, naming file and offset; damage with nothing valid after it is copied aside
//! and cut off. It owns the format of the log (`db/log_format.h` of RocksDB: 32 KiB blocks of checksummed fragments) and knows
//! nothing of what the records hold beyond the twelve bytes that head a write batch. RocksDB must not have the files open.
//!
//! Zeros at the end of a file are room that was made ahead of the writes ([`Ahead`]) and not used: they are taken off without a word,
//! as long as the next file goes on where the last record before them ends. (Where that one has no whole record, RocksDB's note of the
//! earlier file's synced length is what tells.)
//!
//! Damage to the very last record looks like a torn write, and is treated as one: no log of this format can tell them apart. Nor can
//! it tell that last records were turned to zeros from the first byte to the last.

mod after;
mod ahead;
mod block;
mod cut;
mod inspect;
mod record;
mod scan;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use ahead::Ahead;
pub(crate) use inspect::{End, Inspected, inspect};
use record::Bad;
use scan::{Found, Scan};

/// What the log files held.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Whole records kept, over all files.
    pub(crate) records: u64,
    /// Bytes kept, over all files.
    pub(crate) bytes: u64,
    /// The tail that was cut off, if one was.
    pub(crate) cut: Option<Cut>,
}

/// A tail that was copied aside and cut off.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The log file.
    pub(crate) file: PathBuf,
    /// Its length now: the start of the damaged record.
    pub(crate) offset: u64,
    /// How many bytes were cut, without zeros at the end.
    pub(crate) bytes: u64,
    /// Where they are kept, if `kept`.
    pub(crate) set_aside: PathBuf,
    /// False if the disk had no room for a copy of a torn tail.
    pub(crate) kept: bool,
    /// True for what an interrupted write leaves: the file ends inside the record, or some of its sectors are zeros still.
    pub(crate) torn: bool,
}

/// Why the log files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    /// Damage that is followed by valid data: opening would lose records from the middle.
    #[error("the log file {} is damaged at offset {offset}: {reason}", file.display())]
    Damaged {
        /// The log file.
        file: PathBuf,
        /// Where the damage is.
        offset: u64,
        /// What is wrong, and what follows.
        reason: String,
    },
    /// The operating system refused.
    #[error("the log file {} cannot be checked: {source}", file.display())]
    Io {
        /// The file or directory at hand.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Checks every log file of the database in `db_dir`, oldest first, and cuts a damaged tail off, keeping it in `set_aside_dir`.
///
/// An absent directory and empty files are fine.
///
/// # Errors
/// [`WalError::Damaged`] where valid data follows the damage; then no file was changed. [`WalError::Io`] where a file could not be
/// read, copied or cut.
pub(crate) fn check(db_dir: &Path, set_aside_dir: &Path) -> Result<Checked, WalError> {
    let Logs { records, bytes, tail, unused, .. } = read(db_dir)?;
    let cut = tail.map(|(path, damage)| cut::cut(db_dir, set_aside_dir, path, &damage)).transpose()?;
    for Unused { file, from } in unused {
        cut::shorten(db_dir, &file, from).map_err(|source| WalError::Io { file, source })?;
    }
    Ok(Checked { records, bytes, cut })
}

/// What the log files of a database hold, and the damage at their end, if there is any. No file is changed.
#[derive(Default)]
struct Logs {
    records: u64,
    bytes: u64,
    tail: Option<(PathBuf, Tail)>,
    unused: Vec<Unused>,
    /// Where the last file that holds anything ends in zeros.
    open_end: Option<(PathBuf, u64)>,
    /// The sequence number that the next record must have, once one record was read.
    next_sequence: Option<u64>,
}

/// Zeros at the end of a file, for records that were never written.
struct Unused {
    file: PathBuf,
    from: u64,
}

/// Reads every log file, oldest first, and refuses damage that is followed by valid data.
fn read(db_dir: &Path) -> Result<Logs, WalError> {
    let mut logs = Logs::default();
    for path in log_files(db_dir)? {
        let io = |source| WalError::Io { file: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        let scan = scan::scan(&file).map_err(io)?;
        logs.refuse_gap(&scan, &path)?;
        logs.records += scan.records;
        logs.bytes += scan.kept();
        logs.next_sequence = scan.next_sequence.or(logs.next_sequence);
        let ending = judge(&path, &file, &scan)?;
        if scan.length > 0 {
            logs.open_end = if let Ending::Unused(from) = ending { Some((path.clone(), from)) } else { None };
        }
        match ending {
            Ending::Whole => {}
            Ending::Unused(from) => logs.unused.push(Unused { file: path, from }),
            Ending::Damaged(tail) => logs.tail = Some((path, tail)),
        }
    }
    Ok(logs)
}

impl Logs {
    /// Every group of writes is synced before the next log file gets data, so damage in a file that has a successor is never a torn
    /// write, and zeros are unused only where the successor goes on from what is before them.
    fn refuse_gap(&self, later: &Scan, path: &Path) -> Result<(), WalError> {
        let damaged = |file: &Path, offset, reason| Err(WalError::Damaged { file: file.to_path_buf(), offset, reason });
        if let Some((file, damage)) = &self.tail
            && later.length > 0
        {
            return damaged(file, damage.at, format!("{}, and the later log file {} holds data", damage.reason, path.display()));
        }
        if let (Some((file, from)), Some(found)) = (&self.open_end, later.first_sequence)
            && (*from == 0 || self.next_sequence != Some(found))
        {
            let after = self.next_sequence.map_or("no record".to_owned(), |next| format!("sequence number {}", next - 1));
            let reason =
                format!("{} after {after}, and the later log file {} goes on with sequence number {found}", Bad::Zeros, path.display());
            return damaged(file, *from, reason);
        }
        Ok(())
    }
}

/// How one file ends, where nothing valid follows.
enum Ending {
    Whole,
    /// With zeros from there on.
    Unused(u64),
    Damaged(Tail),
}

/// Damage at the end of one file, with nothing valid after it in that file.
struct Tail {
    record: u64,
    at: u64,
    /// Just after the last byte that is not zero.
    end: u64,
    reason: String,
    torn: bool,
    /// False where damage to a record that was acknowledged could look the same.
    surely_torn: bool,
}

/// How one file ends, or the refusal.
fn judge(path: &Path, file: &File, scan: &Scan) -> Result<Ending, WalError> {
    let damaged = |offset, reason| WalError::Damaged { file: path.to_path_buf(), offset, reason };
    match &scan.found {
        Found::Whole => Ok(Ending::Whole),
        Found::Misplaced { offset, reason } => Err(damaged(*offset, reason.clone())),
        Found::Fault(fault) => {
            let after = after::look(file, fault, scan.next_sequence).map_err(|source| WalError::Io { file: path.to_path_buf(), source })?;
            if let Some(offset) = after.valid_at {
                return Err(damaged(fault.at, format!("{}, and a valid record follows at offset {offset}", fault.bad)));
            }
            let only_zeros = after.written_until == fault.at && fault.at < scan.length;
            if only_zeros && fault.at == fault.record {
                return Ok(Ending::Unused(fault.at));
            }
            let surely_torn = fault.bad.is_torn() || only_zeros;
            let torn = surely_torn || after.is_unfinished;
            let reason = fault.bad.to_string();
            Ok(Ending::Damaged(Tail { record: fault.record, at: fault.at, end: after.written_until, reason, torn, surely_torn }))
        }
    }
}

/// The log files by number, oldest first.
fn log_files(db_dir: &Path) -> Result<Vec<PathBuf>, WalError> {
    let io = |source| WalError::Io { file: db_dir.to_path_buf(), source };
    let entries = match std::fs::read_dir(db_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if let Some(number) = log_number(&path) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn log_number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".log")?;
    if stem.bytes().all(|byte| byte.is_ascii_digit()) { stem.parse().ok() } else { None }
}

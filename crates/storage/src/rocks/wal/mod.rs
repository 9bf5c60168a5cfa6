//! The check of RocksDB's live write-ahead logs, made before the database is opened.
//!
//! RocksDB's recovery modes either skip damage silently or refuse an ordinary torn write. This module reads the log files itself:
//! damage with any valid record after it is refused, naming file and offset; damage with nothing valid after it is copied aside
//! and cut off. It owns the format of the log (`db/log_format.h` of RocksDB: 32 KiB blocks of checksummed fragments) and knows
//! nothing of what the records hold beyond the twelve bytes that head a write batch. RocksDB must not have the files open.
//!
//! Damage to the very last record looks like a torn write, and is treated as one: no log of this format can tell them apart.

mod after;
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

pub(crate) use inspect::{End, inspect};
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
    /// How many bytes were cut.
    pub(crate) bytes: u64,
    /// Where they are kept, if `kept`.
    pub(crate) set_aside: PathBuf,
    /// False if the disk had no room for a copy of a torn tail.
    pub(crate) kept: bool,
    /// True for what an interrupted write leaves: the file ends inside the record, or in zeros only.
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
    let Logs { records, bytes, tail } = read(db_dir)?;
    let cut = tail.map(|(path, damage)| cut::cut(db_dir, set_aside_dir, path, &damage)).transpose()?;
    Ok(Checked { records, bytes, cut })
}

/// What the log files of a database hold, and the damage at their end, if there is any. No file is changed.
struct Logs {
    records: u64,
    bytes: u64,
    tail: Option<(PathBuf, Tail)>,
}

/// Reads every log file, oldest first, and refuses damage that is followed by valid data.
fn read(db_dir: &Path) -> Result<Logs, WalError> {
    let mut logs = Logs { records: 0, bytes: 0, tail: None };
    for path in log_files(db_dir)? {
        let io = |source| WalError::Io { file: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        let scan = scan::scan(&file).map_err(io)?;
        if scan.length > 0 {
            refuse_what_follows(logs.tail.as_ref(), &path)?;
        }
        logs.records += scan.records;
        logs.bytes += scan.kept();
        if let Some(damage) = judge(&path, &file, &scan)? {
            logs.tail = Some((path, damage));
        }
    }
    Ok(logs)
}

/// Damage at the end of one file, with nothing valid after it in that file.
struct Tail {
    record: u64,
    at: u64,
    length: u64,
    reason: String,
    torn: bool,
}

/// The tail to cut from one file, or the refusal.
fn judge(path: &Path, file: &File, scan: &Scan) -> Result<Option<Tail>, WalError> {
    let damaged = |offset, reason| WalError::Damaged { file: path.to_path_buf(), offset, reason };
    match &scan.found {
        Found::Whole => Ok(None),
        Found::Misplaced { offset, reason } => Err(damaged(*offset, reason.clone())),
        Found::Fault(fault) => {
            let after = after::look(file, fault, scan.next_sequence).map_err(|source| WalError::Io { file: path.to_path_buf(), source })?;
            if let Some(offset) = after.valid_at {
                return Err(damaged(fault.at, format!("{}, and a valid record follows at offset {offset}", fault.bad)));
            }
            let torn = fault.bad.is_torn() || after.only_zeros;
            Ok(Some(Tail { record: fault.record, at: fault.at, length: scan.length, reason: fault.bad.to_string(), torn }))
        }
    }
}

/// Every group of writes is synced before the next log file gets data, so damage in a file that has a successor is never a torn write.
fn refuse_what_follows(tail: Option<&(PathBuf, Tail)>, later: &Path) -> Result<(), WalError> {
    match tail {
        None => Ok(()),
        Some((file, damage)) => Err(WalError::Damaged {
            file: file.clone(),
            offset: damage.at,
            reason: format!("{}, and the later log file {} holds data", damage.reason, later.display()),
        }),
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

//! The check of the log without the cut: for databases that must stay as they are. `check` is for those that are about to be opened
//! for writing.

use std::{fs::File, path::Path, path::PathBuf};

use super::{Tail, WalError, judge, log_files, refuse_what_follows, scan};

/// Damage at the end of the log with nothing valid after it: what `check` would cut off.
#[derive(Debug)]
pub(crate) struct End {
    /// The log file.
    pub(crate) file: PathBuf,
    /// Where the damaged record starts.
    pub(crate) offset: u64,
    /// How many bytes of the file are from there on.
    pub(crate) bytes: u64,
    /// True for what an interrupted write leaves.
    pub(crate) torn: bool,
    /// What is wrong.
    pub(crate) reason: String,
}

/// Checks every log file of the database as [`check`](super::check) does, and changes none.
///
/// # Errors
/// As for `check`.
pub(crate) fn inspect(db_dir: &Path) -> Result<Option<End>, WalError> {
    let mut tail = None;
    for path in log_files(db_dir)? {
        let io = |source| WalError::Io { file: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        let scan = scan::scan(&file).map_err(io)?;
        if scan.length > 0 {
            refuse_what_follows(tail.as_ref(), &path)?;
        }
        if let Some(damage) = judge(&path, &file, &scan)? {
            tail = Some((path, damage));
        }
    }
    Ok(tail.map(|(file, Tail { record, length, reason, torn, .. })| End { file, offset: record, bytes: length - record, torn, reason }))
}

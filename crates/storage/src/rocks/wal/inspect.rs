//! The check of the log without the cut: for databases that must stay as they are. `check` is for those that are about to be opened
//! for writing.

use std::path::{Path, PathBuf};

use super::{Tail, WalError};

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
    let tail = super::read(db_dir)?.tail;
    Ok(tail.map(|(file, Tail { record, length, reason, torn, .. })| End { file, offset: record, bytes: length - record, torn, reason }))
}

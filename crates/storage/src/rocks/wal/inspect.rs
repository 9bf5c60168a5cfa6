//! The check of the log without the cut: for databases that must stay as they are. `check` is for those that are about to be opened
//! for writing.

use std::path::{Path, PathBuf};

use super::{Logs, Tail, WalError};

/// Damage at the end of the log with nothing valid after it: what `check` would cut off.
#[derive(Debug)]
pub(crate) struct End {
    /// The log file.
    pub(crate) file: PathBuf,
    /// Where the damaged record starts.
    pub(crate) offset: u64,
    /// How many bytes of the file are from there on, without zeros at the end.
    pub(crate) bytes: u64,
    /// True for what an interrupted write leaves.
    pub(crate) torn: bool,
    /// What is wrong.
    pub(crate) reason: String,
}

/// What `check` would change.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) end: Option<End>,
    /// Some file ends in zeros for records that were never written.
    pub(crate) has_unused: bool,
}

/// Checks every log file of the database as [`check`](super::check) does, and changes none.
///
/// # Errors
/// As for `check`.
pub(crate) fn inspect(db_dir: &Path) -> Result<Inspected, WalError> {
    let Logs { tail, unused, .. } = super::read(db_dir)?;
    let end = tail.map(|(file, Tail { record, end, reason, torn, .. })| End { file, offset: record, bytes: end - record, torn, reason });
    Ok(Inspected { end, has_unused: !unused.is_empty() })
}

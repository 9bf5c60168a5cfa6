//! What a check of stored data finds, and how it tells: the form that reports have, whatever engine wrote the data.

use crate::Position;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a part of the store, or a file.
    pub place: String,
    /// Which record, as it is stored. It may hold any bytes.
    pub key: Option<Vec<u8>>,
    /// What is wrong.
    pub what: String,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckProgress {
    /// Records read.
    pub items: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Records in all, about.
    pub items_expected: u64,
}

/// Who is told while a check runs. It can take long, so nothing waits for its end.
pub trait CheckObserver {
    /// Something is not as it must be.
    fn finding(&mut self, finding: Finding);
    /// Something that is worth knowing and no damage.
    fn note(&mut self, note: String);
    /// How far it is; called often.
    fn progress(&mut self, progress: CheckProgress);
}

/// What a check has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// How many findings there were.
    pub findings: u64,
    /// Records read.
    pub items: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The position of the contents, where it could be read.
    pub position: Option<Position>,
}

//! The form of a backup: which entries it has and in which order, its list of files, and its checksums. Whoever sends, receives,
//! restores or checks one reads this; none of them may know another form.
//!
//! ```text
//! kvstore-backup.json   first: what it is of, and the list of files
//! db/<name>             each file, in the order of the list
//! kvstore-backup.b3     last: the BLAKE3 of all entries before it, as `b3sum --check` takes it
//! ```
//!
//! It travels as a tar archive and lies in a directory under the same names. A stream that broke off has no last entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Revision, Timestamp, limits::BACKUP_FILES_MAX};

/// The name of the first entry.
pub const MANIFEST: &str = "kvstore-backup.json";
/// The name of the last entry.
pub const SUMS: &str = "kvstore-backup.b3";
/// The folder of the files between.
pub const FOLDER: &str = "db";
/// The newest format that this version writes and reads.
pub const FORMAT: u32 = 1;
const KIND: &str = "kvstore-backup";

/// The first entry: what the backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    kind: String,
    format: u32,
    /// The version of kvstore that wrote it.
    pub kvstore: String,
    /// The identity of the store that it was taken from.
    pub identity: String,
    /// Every write up to this revision is in the backup; it may hold some that came while it was begun.
    revision: u64,
    /// Store time at that revision, in microseconds since 1970.
    stamp_micros: i64,
    /// The files, in the order in which they are sent.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name within the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// Why something is not a backup that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupFormatError {
    /// It is something else.
    #[error("it is not a kvstore backup: {0}")]
    NotABackup(String),
    /// It was written by a newer version.
    #[error("it has format {found}; this version reads up to {FORMAT}: use a newer kvstore")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is a backup, and what it says of itself can't be.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

impl Manifest {
    /// The list of a backup of this store.
    #[must_use]
    pub fn new(kvstore: &str, identity: &str, revision: Revision, stamp: Timestamp, files: Vec<BackupFile>) -> Self {
        Self {
            kind: KIND.into(),
            format: FORMAT,
            kvstore: kvstore.into(),
            identity: identity.into(),
            revision: revision.0,
            stamp_micros: stamp.as_micros(),
            files,
        }
    }

    /// Every write up to this revision is in the backup.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// Store time at that revision.
    #[must_use]
    pub const fn stamp(&self) -> Timestamp {
        Timestamp::from_micros(self.stamp_micros)
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// The entry's contents.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Texts and numbers always have a JSON form.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Reads the entry, and checks that its names can only be those of files in the folder.
    ///
    /// # Errors
    /// It is something else, of a newer format, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupFormatError> {
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            format: u32,
        }
        let other = |reason: String| BackupFormatError::NotABackup(reason);
        let head: Head = serde_json::from_slice(bytes).map_err(|error| other(format!("{MANIFEST} can't be read ({error})")))?;
        if head.kind != KIND {
            return Err(other(format!("{MANIFEST} says that it is {:?}", head.kind)));
        }
        if head.format > FORMAT {
            return Err(BackupFormatError::Newer { found: head.format });
        }
        let damaged = |reason: String| BackupFormatError::Damaged(format!("{MANIFEST}: {reason}"));
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if manifest.files.len() > BACKUP_FILES_MAX {
            return Err(damaged(format!("it lists {} files; the limit is {BACKUP_FILES_MAX}", manifest.files.len())));
        }
        if !is_plain(&manifest.identity) {
            return Err(damaged(format!("{:?} is not the identity of a store", manifest.identity)));
        }
        let mut names = BTreeSet::new();
        for BackupFile { name, .. } in &manifest.files {
            if !is_plain(name) {
                return Err(damaged(format!("{name:?} is not the name of a file")));
            }
            if !names.insert(name) {
                return Err(damaged(format!("{name:?} is listed twice")));
            }
        }
        Ok(manifest)
    }
}

impl BackupFile {
    /// The name of its entry.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}", self.name)
    }
}

/// Bytes of a file's name.
const NAME_BYTES_MAX: usize = 80;

/// Letters, digits, and no way out of the folder. Short enough for the plain header of an archive, folder included.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// The BLAKE3 of an entry's contents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum(blake3::Hash);

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_hex())
    }
}

/// Computes a checksum, piece by piece.
#[derive(Default)]
pub struct Summing(blake3::Hasher);

impl Summing {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all that was taken.
    #[must_use]
    pub fn finish(&self) -> Checksum {
        Checksum(self.0.finalize())
    }
}

/// The last entry: the checksum of each entry before it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums(BTreeMap<String, Checksum>);

impl Sums {
    /// Adds an entry's.
    pub fn add(&mut self, path: impl Into<String>, sum: Checksum) {
        self.0.insert(path.into(), sum);
    }

    /// The checksum of an entry.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Checksum> {
        self.0.get(path).copied()
    }

    /// The entry's contents: lines as `b3sum` prints them.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.iter().map(|(path, sum)| format!("{}  {path}\n", sum.0.to_hex())).collect()
    }

    /// Reads the entry.
    ///
    /// # Errors
    /// A line is not a checksum and a name.
    pub fn parse(bytes: &[u8]) -> Result<Self, BackupFormatError> {
        let damaged = |at: usize| BackupFormatError::Damaged(format!("line {at} of {SUMS} is not a checksum and a name"));
        let mut sums = Self::default();
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            let line = std::str::from_utf8(line).map_err(|_| damaged(at + 1))?;
            let (sum, path) = line.split_once("  ").ok_or_else(|| damaged(at + 1))?;
            sums.add(path, Checksum(blake3::Hash::from_hex(sum).map_err(|_| damaged(at + 1))?));
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(names: &[&str]) -> Manifest {
        let files = names.iter().map(|name| BackupFile { name: (*name).into(), bytes: 3 }).collect();
        Manifest::new("0.1.0", "00ff", Revision(7), Timestamp::from_micros(8), files)
    }

    /// Bytes that the first release wrote: they must stay readable.
    #[test]
    fn the_first_format_is_read() {
        let text = br#"{"kind": "kvstore-backup", "format": 1, "kvstore": "0.1.0", "identity": "00ff", "revision": 7,
            "stamp_micros": 8, "files": [{"name": "000012.sst", "bytes": 3}]}"#;
        let read = Manifest::parse(text).expect("a manifest");
        assert_eq!(read, manifest(&["000012.sst"]));
        assert_eq!(Manifest::parse(&read.to_json()), Ok(read));
    }

    #[test]
    fn what_is_something_else_or_newer_or_damaged_is_told_apart() {
        let refused = |text: &str| Manifest::parse(text.as_bytes()).expect_err(text);
        for other in ["", "{}", "[]", r#"{"kind": "a backup", "format": 1}"#] {
            assert!(matches!(refused(other), BackupFormatError::NotABackup(_)), "{other}");
        }
        assert_eq!(refused(r#"{"kind": "kvstore-backup", "format": 2, "more": 1}"#), BackupFormatError::Newer { found: 2 });
        assert!(matches!(refused(r#"{"kind": "kvstore-backup", "format": 1}"#), BackupFormatError::Damaged(_)));
        for name in ["", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "a\u{0}"] {
            let text = String::from_utf8(manifest(&[name]).to_json()).expect("UTF-8");
            assert!(matches!(refused(&text), BackupFormatError::Damaged(_)), "{name:?} was taken");
        }
        let identity = r#"{"kind": "kvstore-backup", "format": 1, "kvstore": "1", "identity": "a\nid b", "revision": 7, "stamp_micros": 8, "files": []}"#;
        assert!(refused(identity).to_string().contains("identity"));
        let twice = String::from_utf8(manifest(&["a", "a"]).to_json()).expect("UTF-8");
        assert!(refused(&twice).to_string().contains("twice"));
    }

    #[test]
    fn checksums_come_back_as_b3sum_writes_them() {
        let mut summing = Summing::default();
        summing.update(b"ab");
        summing.update(b"c");
        let mut sums = Sums::default();
        sums.add("db/000012.sst", summing.finish());
        let text = sums.to_text();
        // Of the text "abc", as the paper's reference implementation gives it.
        assert_eq!(text, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85  db/000012.sst\n");
        assert_eq!(Sums::parse(text.as_bytes()), Ok(sums));
        assert!(Sums::parse(b"6437  db/x\n").is_err() && Sums::parse(b"\xff\n").is_err());
    }
}

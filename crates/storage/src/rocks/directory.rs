//! The data directory: whose it is, which format it has, who holds it, and which database in it is the current one.
//!
//! ```text
//! LOCK          held by the process that uses the directory
//! IDENTITY      the format and a random id; of a restored store also what it was restored from
//! CURRENT       the name of the current database, from the moment that it was opened for the first time
//! db-000001/    RocksDB
//! damaged/      tails that were cut off a damaged log
//! checkpoints/  copies that are being read; what is there at a start is left over
//! RESTORING     a restore is under way, or was cut short: this is no data directory yet
//! ```

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use kvstore_types::Revision;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::OpenError;

/// The format of data directories that this version writes, and the newest that it reads.
pub const DATA_FORMAT: u32 = 1;
/// The first database.
pub(super) const FIRST: &str = "db-000001";

/// Marks a directory that a restore has not finished.
pub(super) const RESTORING: &str = "RESTORING";

const AT_REVISION: &str = " at revision ";

/// A data directory that this process holds.
pub(super) struct DataDirectory {
    root: PathBuf,
    identity: String,
    /// The last revision of the backup that it was made from.
    restored_at: Option<Revision>,
    current: Mutex<PathBuf>,
    /// No database was ever opened here.
    is_new: bool,
    _lock: Lock,
}

impl DataDirectory {
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::Unusable { path: root.to_owned(), reason: error.to_string() };
        let identity = root.join("IDENTITY");
        if !identity.exists() && root.join(RESTORING).exists() {
            let reason = "a restore into it was not finished; run it again".to_owned();
            return Err(OpenError::Unusable { path: root.to_owned(), reason });
        }
        // Asked before anything is made: a directory of somebody else's is left as it was.
        if !identity.exists() && holds_foreign_files(root).map_err(unusable)? {
            return Err(OpenError::NotOurs(root.to_owned()));
        }
        fs::create_dir_all(root).map_err(unusable)?;
        let lock = lock(root)?;
        if !identity.exists() {
            let (text, _) = new_identity().map_err(unusable)?;
            write_atomically(&identity, &text).map_err(unusable)?;
        }
        let text = fs::read_to_string(&identity).map_err(unusable)?;
        let (identity, restored_at) = (check_identity(root, &text)?, restored_at(&text));
        let named = match fs::read_to_string(root.join("CURRENT")) {
            Ok(name) => Some(root.join(name.trim())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        let is_new = named.is_none();
        let current = named.unwrap_or_else(|| root.join(FIRST));
        // RocksDB would make an empty database where it finds none: that must not be taken for the data that was here.
        if !is_new && !current.join("CURRENT").exists() {
            return Err(OpenError::Damaged(format!("{} is missing", current.join("CURRENT").display())));
        }
        let directory = Self { root: root.to_owned(), identity, restored_at, current: Mutex::new(current), is_new, _lock: lock };
        directory.remove_leftovers();
        Ok(directory)
    }

    /// The current database's directory.
    pub(super) fn current(&self) -> PathBuf {
        self.current.lock().clone()
    }

    /// Notes that the database was opened: from now on it must be there.
    pub(super) fn opened(&self) -> io::Result<()> {
        if self.is_new { self.switch_to(&self.current()) } else { Ok(()) }
    }

    /// The random id of these data.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Where the backup ended that these data were restored from, if they were.
    pub(super) const fn restored_at(&self) -> Option<Revision> {
        self.restored_at
    }

    /// Where copies are made that are not kept.
    pub(super) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Where cut tails are put.
    pub(super) fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// Whether the file system lets writes go around the page cache (`O_DIRECT`). Nearly all do.
    pub(super) fn takes_direct_writes(&self) -> bool {
        rustix::fs::open(self.root.join("LOCK"), OFlags::RDWR | OFlags::DIRECT, Mode::empty()).is_ok()
    }

    /// Copies a checkpoint in, under a name of its own. It is not current yet.
    pub(super) fn adopt(&self, checkpoint: &Path) -> io::Result<PathBuf> {
        let current = self.current();
        let number = current.file_name().and_then(|name| name.to_str()?.strip_prefix("db-")?.parse::<u64>().ok()).unwrap_or(1);
        let next = self.root.join(format!("db-{:06}", number + 1));
        if next.exists() {
            fs::remove_dir_all(&next)?;
        }
        fs::create_dir(&next)?;
        for file in fs::read_dir(checkpoint)? {
            let file = file?;
            let target = next.join(file.file_name());
            fs::copy(file.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
        File::open(&next)?.sync_all()?;
        Ok(next)
    }

    /// Makes a database the current one. It is that from the moment the rename is on disk.
    pub(super) fn switch_to(&self, database: &Path) -> io::Result<()> {
        let name = database.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        write_atomically(&self.root.join("CURRENT"), &format!("{name}\n"))?;
        *self.current.lock() = database.to_owned();
        Ok(())
    }

    /// Removes a database that did not become the current one.
    pub(super) fn discard(&self, database: &Path) {
        if let Err(error) = fs::remove_dir_all(database) {
            tracing::warn!(path = %database.display(), %error, "a copy that is not needed could not be removed; remove it by hand");
        }
    }

    /// Databases other than the current one were left by a crash during a replacement, copies by one while they were read.
    fn remove_leftovers(&self) {
        if self.checkpoints().exists() {
            self.discard(&self.checkpoints());
        }
        let current = self.current();
        let Ok(files) = fs::read_dir(&self.root) else { return };
        for path in files.flatten().map(|file| file.path()) {
            let is_database = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("db-"));
            if is_database && path != current && !self.is_new {
                self.discard(&path);
            }
        }
    }
}

/// A lock on the directory, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the handle is not enough: a process that this one has just started holds a copy of it until it runs its own program.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the lock.
pub(super) fn lock(root: &Path) -> Result<Lock, OpenError> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(root.join("LOCK"));
    let lock = opened.map_err(|error| OpenError::Unusable { path: root.to_owned(), reason: error.to_string() })?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(lock)),
        Err(_) => Err(OpenError::InUse(root.to_owned())),
    }
}

/// Says whether another process holds the lock, and changes nothing. What it returns keeps others from taking it.
pub(super) fn check_free(root: &Path) -> Result<Option<Lock>, OpenError> {
    let Ok(lock) = File::open(root.join("LOCK")) else { return Ok(None) };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(Lock(lock))),
        Err(_) => Err(OpenError::InUse(root.to_owned())),
    }
}

/// A data directory that no process uses, looked at without a change to anything.
pub(super) struct Look {
    pub(super) identity: String,
    /// The current database; `None` where none was ever opened.
    pub(super) database: Option<PathBuf>,
    /// Nobody can take the directory while this is kept.
    pub(super) _lock: Option<Lock>,
}

/// The identity of the store in a data directory that no process uses.
pub(crate) fn identify(root: &Path) -> Result<String, OpenError> {
    look(root).map(|look| look.identity)
}

/// Looks at a data directory.
pub(super) fn look(root: &Path) -> Result<Look, OpenError> {
    let unusable = |error: io::Error| OpenError::Unusable { path: root.to_owned(), reason: error.to_string() };
    let identity = match fs::read_to_string(root.join("IDENTITY")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_dir() => return Err(OpenError::NotOurs(root.to_owned())),
        Err(error) => return Err(unusable(error)),
    };
    let lock = check_free(root)?;
    let identity = check_identity(root, &identity)?;
    let database = match fs::read_to_string(root.join("CURRENT")) {
        Ok(name) => Some(root.join(name.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(error)),
    };
    Ok(Look { identity, database, _lock: lock })
}

/// Whether the directory exists and holds anything but what an interrupted first start leaves.
pub(super) fn holds_foreign_files(root: &Path) -> io::Result<bool> {
    match fs::read_dir(root) {
        Ok(files) => {
            let names: Vec<_> = files.map(|file| file.map(|file| file.file_name())).collect::<Result<_, _>>()?;
            // A new file system has lost+found.
            Ok(names.iter().any(|name| !["LOCK", "IDENTITY.new", "lost+found"].iter().any(|ours| name == ours)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks the format, and gives the id.
fn check_identity(root: &Path, text: &str) -> Result<String, OpenError> {
    let format = text.lines().find_map(|line| line.strip_prefix("kvstore format ")?.trim().parse::<u32>().ok());
    match format {
        Some(DATA_FORMAT) => {
            let id = text.lines().find_map(|line| line.strip_prefix("id "));
            id.map(|id| id.trim().to_owned()).ok_or_else(|| OpenError::NotOurs(root.to_owned()))
        }
        Some(found) if found > DATA_FORMAT => Err(OpenError::Newer { path: root.to_owned(), found, known: DATA_FORMAT }),
        _ => Err(OpenError::NotOurs(root.to_owned())),
    }
}

/// What a restore adds to an identity.
pub(super) fn restored_line(from: &str, revision: Revision) -> String {
    format!("restored from {from}{AT_REVISION}{revision}\n")
}

fn restored_at(text: &str) -> Option<Revision> {
    let line = text.lines().find(|line| line.starts_with("restored from "))?;
    line.rsplit_once(AT_REVISION)?.1.trim().parse().ok().map(Revision)
}

/// The text of a new identity, and its id.
pub(super) fn new_identity() -> io::Result<(String, String)> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let id = format!("{:032x}", u128::from_be_bytes(id));
    Ok((format!("kvstore format {DATA_FORMAT}\nid {id}\n"), id))
}

/// A reader finds the old contents or the new, also after a power loss.
pub(super) fn write_atomically(path: &Path, contents: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(contents.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory was "in use" right after it was closed, while another thread was starting a process.
    #[test]
    fn a_copy_of_the_handle_does_not_keep_the_lock() {
        let root = tempfile::TempDir::new().expect("a directory");
        for _ in 0..2 {
            let held = lock(root.path()).expect("it is free");
            assert!(matches!(lock(root.path()), Err(OpenError::InUse(_))), "it is held");
            let copy = held.0.try_clone().expect("a copy, as a process that is being started has one");
            drop(held);
            drop(lock(root.path()).expect("it is free again"));
            drop(copy);
        }
    }
}

//! Making a data directory from files of another store. Until it is finished it is marked, and no server takes it; after that it is
//! a store of its own, with an identity that says what it was made from.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::directory::{self, FIRST, RESTORING};
use crate::{OpenError, Position};

/// A data directory in the making. Unless it is finished, what was put there goes with it.
pub(crate) struct Restoring {
    root: PathBuf,
    /// It was made for this, so it goes too.
    made: bool,
    finished: bool,
    _lock: directory::Lock,
}

impl Restoring {
    /// Takes a directory that is new or empty, or holds what a restore that was cut short left there.
    pub(crate) fn begin(root: &Path) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::Unusable { path: root.to_owned(), reason: error.to_string() };
        let holds_data =
            root.join("IDENTITY").exists() || (!root.join(RESTORING).exists() && directory::holds_foreign_files(root).map_err(unusable)?);
        if holds_data {
            // Whoever has it open would have to be stopped first: that is the better advice.
            directory::check_free(root)?;
            return Err(OpenError::HoldsData(root.to_owned()));
        }
        let made = !root.exists();
        fs::create_dir_all(root).map_err(unusable)?;
        let lock = directory::lock(root)?;
        let restoring = Self { root: root.to_owned(), made, finished: false, _lock: lock };
        directory::write_atomically(&root.join(RESTORING), "a restore is under way, or was cut short\n").map_err(unusable)?;
        let database = restoring.database();
        if database.exists() {
            fs::remove_dir_all(&database).map_err(unusable)?;
        }
        fs::create_dir(&database).map_err(unusable)?;
        Ok(restoring)
    }

    /// Where the files of the database go.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join(FIRST)
    }

    /// Makes it a data directory, once all files are there and on disk. Gives its identity.
    pub(crate) fn finish(mut self, from: &str, position: Position) -> io::Result<String> {
        let (text, id) = directory::new_identity()?;
        File::open(self.database())?.sync_all()?;
        directory::write_atomically(&self.root.join("CURRENT"), &format!("{FIRST}\n"))?;
        let text = text + &directory::restored_line(from, position.revision);
        directory::write_atomically(&self.root.join("IDENTITY"), &text)?;
        fs::remove_file(self.root.join(RESTORING))?;
        File::open(&self.root)?.sync_all()?;
        self.finished = true;
        Ok(id)
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // Best effort: what stays is marked, and the same restore can be run again.
        // The identity first: a directory that has one and no database would be taken for a new one.
        let _ = fs::remove_file(self.root.join("IDENTITY"));
        let gone = fs::remove_dir_all(self.database()).is_ok() || !self.database().exists();
        let _ = fs::remove_file(self.root.join("CURRENT"));
        if gone && fs::remove_file(self.root.join(RESTORING)).is_ok() && fs::remove_file(self.root.join("LOCK")).is_ok() && self.made {
            let _ = fs::remove_dir(&self.root);
        }
    }
}

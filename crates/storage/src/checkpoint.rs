//! `Checkpoint`: a consistent copy of an engine's contents that lies still while it is read, as a list of named files. It costs
//! hardly any space or time, since an engine links what it does not change; it is gone when it is dropped.
//!
//! It knows no concrete engine, and not what the files hold.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use kvstore_types::backup::BackupFile;

use crate::{Engine, EngineError, Position, StoreError};

/// A copy of a store's contents.
#[derive(Debug)]
pub struct Checkpoint {
    dir: Removed,
    identity: String,
    position: Position,
    files: Vec<BackupFile>,
}

impl Checkpoint {
    /// Makes one. Blocks while the engine writes what it only has in memory.
    pub(crate) fn make(engine: &impl Engine) -> Result<Self, StoreError> {
        let (Some(folder), Some(identity)) = (engine.checkpoints(), engine.identity()) else {
            return Err(StoreError::NotSupported("this store keeps its data in memory alone, so there are no files to copy"));
        };
        let failed = |error: &dyn std::fmt::Display| StoreError::Checkpoint(error.to_string());
        fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
        let name = getrandom::u64().map_err(|error| failed(&error))?;
        let dir = Removed(folder.join(format!("{name:016x}")));
        // Asked before: what was applied up to here is in the copy, and some of what comes now may be.
        let position = engine.position();
        engine.checkpoint(&dir.0).map_err(|error| match error {
            EngineError::Damaged(detail) => StoreError::Damaged(detail),
            error => failed(&error),
        })?;
        let files = list(&dir.0).map_err(|error| failed(&error))?;
        Ok(Self { dir, identity, position, files })
    }

    /// The identity of the store that it was taken from.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Every write up to this position is in the copy; it may hold some that came while it was made.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The files, in the order of their names.
    #[must_use]
    pub fn files(&self) -> &[BackupFile] {
        &self.files
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system refused.
    pub fn open(&self, file: &BackupFile) -> io::Result<impl io::Read + use<>> {
        File::open(self.dir.0.join(&file.name))
    }
}

fn list(dir: &Path) -> io::Result<Vec<BackupFile>> {
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let name = file.file_name().into_string().map_err(|name| io::Error::other(format!("a file is named {name:?}")))?;
        files.push(BackupFile { name, bytes: file.metadata()?.len() });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// A directory that goes with its handle, and with it what an engine that failed left beside it.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        for dir in [self.0.clone(), self.0.with_extension("tmp")] {
            match fs::remove_dir_all(&dir) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %dir.display(), %error, "a copy could not be removed; the next start will"),
            }
        }
    }
}

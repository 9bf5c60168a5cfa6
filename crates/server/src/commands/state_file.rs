//! `StateFile`: what a long verb needs in order to go on after it broke off, in a small file beside the one that it works on.
//!
//! It is replaced as a whole, so that a reader finds the old state or the new. What the state says is for its verb to know.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Serialize;

/// Where the state lies.
#[derive(Debug, Clone)]
pub(super) struct StateFile(PathBuf);

impl StateFile {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Beside a file: its name with an ending.
    pub(super) fn beside(file: &Path, ending: &str) -> Self {
        Self(with_ending(file, ending))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What was kept last, if anything was.
    pub(super) fn read(&self) -> anyhow::Result<Option<Vec<u8>>> {
        match fs::read(&self.0) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", self.0.display())),
        }
    }

    /// Puts a state in the place of the one before. Where that fails, the one before is still there.
    pub(super) fn replace(&self, state: &impl Serialize) -> io::Result<()> {
        let new = with_ending(&self.0, ".new");
        let saved = (|| {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.0)
        })();
        if saved.is_err() {
            // On a full disk it would only take room.
            let _ = fs::remove_file(&new);
        }
        saved
    }

    /// The work is complete.
    pub(super) fn remove(&self) {
        // Left behind, it speaks of work that is done: the verbs find that out when they go on.
        let _ = fs::remove_file(&self.0);
    }
}

/// A path whose name has this ending too.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

//! `Part`: the file of an export that is not whole yet. It lies beside the one asked for, under that name with `.part`, and gets the
//! name once all of it is on disk; the state of it lies there too.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, bail, ensure};
use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::{
    super::state_file::{StateFile, with_ending},
    state::{Plan, Reached, State},
};

/// What to do with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// Leave it: it is somebody's.
    New,
    /// Put the export in its place.
    Replace,
    /// Go on with the part.
    Resume,
}

/// A part, which is this process's alone as long as it lives.
pub(super) struct Part {
    /// What it becomes.
    file: PathBuf,
    path: PathBuf,
    state_file: StateFile,
    /// As it was kept last.
    state: Mutex<State>,
    handle: File,
}

impl Part {
    /// Makes a part, or goes on with the one that is there. Gives the file to write to, and how far it is.
    pub(super) fn begin(file: &Path, begin: Begin, plan: Plan) -> anyhow::Result<(Self, File, Reached)> {
        // A link stays: what it leads to is what gets replaced.
        let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let (path, state_file) = (with_ending(&file, ".part"), StateFile::beside(&file, ".export-state"));
        ensure!(!file.is_dir(), "{} is a directory; name a file in it", file.display());
        let is_there = fs::symlink_metadata(&file).is_ok();
        // Other programs name files so too.
        let is_somebodys = fs::symlink_metadata(&path).is_ok_and(|found| found.len() > 0) && !state_file.path().exists();
        ensure!(
            !is_somebodys || begin == Begin::Resume,
            "{} is no part of an export; move it away, or name another file than {}",
            path.display(),
            file.display()
        );
        let state = match begin {
            Begin::New => {
                ensure!(
                    !path.exists(),
                    "an export to {} broke off, and {} holds what came; go on with it with --resume, begin again with --force, or name another",
                    file.display(),
                    path.display()
                );
                ensure!(!is_there, "{} is there already; replace it with --force, or name another", file.display());
                State::new(plan, false)
            }
            Begin::Replace => State::new(plan, true),
            Begin::Resume => Self::left_over(&file, &path, &state_file, plan, is_there)?,
        };
        let handle = open(&path)?;
        let named = || format!("can't write {}", path.display());
        if state.replaces
            && let Ok(old) = fs::metadata(&file)
        {
            // Whoever may not read the old file may not read the new one either. Going on with it takes the right to write.
            handle.set_permissions(Permissions::from_mode(old.permissions().mode() | 0o200)).with_context(named)?;
        }
        let (reached, length) = (state.reached.clone(), handle.metadata().with_context(named)?.len());
        ensure!(
            length >= reached.file_bytes,
            "{} has {length} bytes, fewer than {} that were written; begin again with --force in place of --resume",
            path.display(),
            reached.file_bytes
        );
        let mut to = handle.try_clone().with_context(named)?;
        to.set_len(reached.file_bytes).and_then(|()| to.seek(SeekFrom::Start(reached.file_bytes))).with_context(named)?;
        let part = Self { file, path, state_file, state: Mutex::new(state), handle };
        if let Err(error) = part.keep(&reached) {
            if reached == Reached::default() {
                part.remove();
            }
            return Err(error);
        }
        Ok((part, to, reached))
    }

    /// The state that an export left which broke off; a new one where there was none.
    fn left_over(file: &Path, path: &Path, state_file: &StateFile, plan: Plan, is_there: bool) -> anyhow::Result<State> {
        let state = State::load(state_file)?.filter(|_| path.exists());
        let Some(state) = state else {
            ensure!(
                !path.exists(),
                "there is no {} that says what {} is of; move it away, and begin again without --resume",
                state_file.path().display(),
                path.display()
            );
            ensure!(
                !is_there,
                "no export to {} broke off, and it is there; replace it with --force in place of --resume, or name another",
                file.display()
            );
            return Ok(State::new(plan, false));
        };
        state.check(&plan)?;
        if is_there && !state.replaces {
            bail!(
                "{} came after the export to it had broken off; move it away, or begin again with --force in place of --resume",
                file.display()
            );
        }
        Ok(state)
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Brings what was reached to the disk, and then the note of it.
    pub(super) fn keep(&self, reached: &Reached) -> anyhow::Result<()> {
        self.handle.sync_data().with_context(|| format!("can't write {}", self.path.display()))?;
        let mut state = self.state.lock();
        let mut new = state.clone();
        new.reached = reached.clone();
        self.state_file
            .replace(&new)
            .with_context(|| format!("can't write {}; make room, or export to another place", self.state_file.path().display()))?;
        *state = new;
        Ok(())
    }

    /// Cuts off what is not whole, so that it can be gone on with. Gives how far it is.
    pub(super) fn break_off(&self, reached: &Reached) -> Reached {
        // On a full disk this makes the room that the note takes. Where nothing goes any more, what was noted last still holds.
        let _ = self.handle.set_len(reached.file_bytes);
        let _ = self.keep(reached);
        self.state.lock().reached.clone()
    }

    /// Nothing is in it that would be worth going on with.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        self.state_file.remove();
    }

    /// Gives it its name. It is on disk already.
    pub(super) fn become_whole(&self) -> anyhow::Result<()> {
        let replaces = self.state.lock().replaces;
        if !replaces && fs::symlink_metadata(&self.file).is_ok() {
            bail!("{} came while it was exported; the whole export is in {}", self.file.display(), self.path.display());
        }
        if let Ok(old) = fs::metadata(&self.file) {
            self.handle.set_permissions(old.permissions()).with_context(|| format!("can't write {}", self.path.display()))?;
        }
        let parent = self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::rename(&self.path, &self.file)
            .map_err(|error| anyhow!("the export is whole, and can't get its name ({error}); it is in {}", self.path.display()))?;
        self.state_file.remove();
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .with_context(|| format!("can't bring the name {} to the disk", self.file.display()))
    }
}

/// Opens a part, and sees to it that nobody else writes to it.
fn open(path: &Path) -> anyhow::Result<File> {
    let named = || format!("can't write {}", path.display());
    // A link would lead to what is not an export's.
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let handle = OpenOptions::new().write(true).create(true).truncate(false).custom_flags(flags).open(path).with_context(named)?;
    match handle.try_lock() {
        Err(fs::TryLockError::WouldBlock) => bail!("another export writes to {}; wait for it, or name another file", path.display()),
        // Some file systems have no locks. They are no reason not to export.
        Ok(()) | Err(fs::TryLockError::Error(_)) => {}
    }
    // An export that ended between the two has given the file its name.
    let (opened, found) = (handle.metadata().with_context(named)?, fs::symlink_metadata(path).with_context(named)?);
    ensure!((opened.dev(), opened.ino()) == (found.dev(), found.ino()), "another export has just ended; begin again");
    Ok(handle)
}

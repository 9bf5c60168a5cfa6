//! Copies a damaged tail aside and cuts it off, in that order, each step made durable before the next.
//! Whether it may be cut was decided before.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Cut, Tail, WalError};

/// Cuts `tail` off the file at `path`.
pub(super) fn cut(db_dir: &Path, set_aside_dir: &Path, path: PathBuf, tail: &Tail) -> Result<Cut, WalError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let set_aside = set_aside_dir.join(format!("{name}.{}", tail.record));
    let io = |source| WalError::Io { file: path.clone(), source };
    // The zeros after it hold nothing, and a full disk needs their room for the copy.
    shorten(db_dir, &path, tail.end).map_err(io)?;
    let kept = match keep(&path, tail, set_aside_dir, &set_aside) {
        Ok(()) => true,
        // A full disk is how a write gets torn, and a store on a full disk must still start and read.
        Err(error) if tail.surely_torn && error.kind() == ErrorKind::StorageFull => {
            // What was copied so far is of no use. If it stays, that harms nothing either.
            let _ = std::fs::remove_file(&set_aside);
            false
        }
        Err(source) => return Err(WalError::Io { file: set_aside, source }),
    };
    shorten(db_dir, &path, tail.record).map_err(io)?;
    Ok(Cut { file: path, offset: tail.record, bytes: tail.end - tail.record, set_aside, kept, torn: tail.torn })
}

fn keep(path: &Path, tail: &Tail, set_aside_dir: &Path, set_aside: &Path) -> io::Result<()> {
    std::fs::create_dir_all(set_aside_dir)?;
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(tail.record))?;
    // A copy of the same name is of an earlier try that ended before the cut: it holds the same bytes or fewer.
    let mut to = File::create(set_aside)?;
    io::copy(&mut from.take(tail.end - tail.record), &mut to)?;
    to.sync_all()?;
    sync_dir(set_aside_dir)?;
    set_aside_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_dir)
}

/// Cuts the file off at `length`.
pub(super) fn shorten(db_dir: &Path, path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()?;
    sync_dir(db_dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

//! Files that the user named: what is said where one can't be used. The system's reason follows.

use std::path::Path;

/// A file can't be read.
pub(super) fn cant_read(path: &Path) -> String {
    format!("can't read {}; name a file that is there and that you may read", path.display())
}

/// A file can't be written.
pub(super) fn cant_write(path: &Path) -> String {
    format!("can't write {}; name a file in a directory that is there and that you may write", path.display())
}

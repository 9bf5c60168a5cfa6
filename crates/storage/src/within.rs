//! What a path lies in. A data directory is its server's alone, and a backup is what its list says: nothing else belongs there.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::BackupDir;

/// A directory of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    /// A store's data directory.
    DataDir(PathBuf),
    /// A backup.
    Backup(PathBuf),
}

/// The data directory or backup that a path lies in, whether there is anything at the path or not. That it is one itself does not count.
#[must_use]
pub fn lies_within(path: &Path) -> Option<Within> {
    let path = std::path::absolute(path).ok()?;
    // Links are followed: what counts is where the files come to lie.
    let place = match fs::canonicalize(&path) {
        Ok(real) => real.parent()?.to_owned(),
        Err(_) => path.ancestors().skip(1).find_map(|above| fs::canonicalize(above).ok())?,
    };
    place.ancestors().find_map(|above| {
        if is_data_dir(above) {
            Some(Within::DataDir(above.to_owned()))
        } else {
            BackupDir::is_one(above).then(|| Within::Backup(above.to_owned()))
        }
    })
}

fn is_data_dir(dir: &Path) -> bool {
    const START: &[u8] = b"kvstore format ";
    let mut start = Vec::new();
    let read = File::open(dir.join("IDENTITY")).and_then(|file| file.take(START.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == START
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_lies_in_is_found_through_links_and_missing_parts() {
        let root = tempfile::TempDir::new().expect("a directory");
        let root = root.path().canonicalize().expect("a path");
        let (data, backup) = (root.join("data"), root.join("backup"));
        fs::create_dir_all(data.join("db-000001")).expect("a directory");
        fs::create_dir(&backup).expect("a directory");
        fs::write(data.join("IDENTITY"), "kvstore format 1\nid 00\n").expect("a file");
        // RocksDB has a file of this name too.
        fs::write(data.join("db-000001/IDENTITY"), "5b2b1c0e").expect("a file");
        fs::write(backup.join(kvstore_types::backup::MANIFEST), "{}").expect("a file");
        std::os::unix::fs::symlink(&data, root.join("link")).expect("a link");
        for (path, expected) in [
            ("data", None),
            ("backup", None),
            ("new/and/newer", None),
            ("link", None),
            ("data/new", Some(Within::DataDir(data.clone()))),
            ("data/db-000001", Some(Within::DataDir(data.clone()))),
            ("link/new/newer", Some(Within::DataDir(data.clone()))),
            ("backup/new", Some(Within::Backup(backup.clone()))),
        ] {
            assert_eq!(lies_within(&root.join(path)), expected, "{path}");
        }
    }
}

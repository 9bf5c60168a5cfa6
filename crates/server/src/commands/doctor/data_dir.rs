//! The data directory: whose it is, whether it can be written, and whether it is a store's that this version reads.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use kvstore_storage::{OpenError, identify};
use rustix::{
    fs::{Access, AtFlags, CWD, accessat, statfs},
    process::geteuid,
};

use super::{Diagnosis, proc};

const CHECK: &str = "data";

/// `is_serving` says that a kvstore answers at the address: then it may well hold the directory.
pub(super) fn look(dir: &Path, is_serving: bool) -> Diagnosis {
    let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let shown = shown.display();
    let metadata = match fs::metadata(dir) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return absent(dir),
        Err(error) => return Diagnosis::problem(CHECK, format!("{shown} can't be looked at: {error}"), "choose another with --data-dir"),
    };
    if !metadata.is_dir() {
        return Diagnosis::problem(CHECK, format!("{shown} is not a directory"), "choose another with --data-dir");
    }
    if let Err(error) = writable(dir) {
        let (owner, me) = (metadata.uid(), geteuid().as_raw());
        let detail = format!("{shown} can't be written by user {me}: {error}; it belongs to user {owner}");
        return Diagnosis::problem(CHECK, detail, format!("serve as user {owner}, or give it to {me} with chown"));
    }
    match identify(dir) {
        Ok(identity) => Diagnosis::ok(CHECK, format!("{shown} holds the store {identity} and can be written")),
        Err(OpenError::InUse(_)) => {
            let holder = proc::holder_of_lock(&dir.join("LOCK")).map_or("another process".to_owned(), |process| process.to_string());
            if is_serving {
                Diagnosis::ok(CHECK, format!("{shown} is in use by {holder}"))
            } else {
                let detail = format!("{shown} is in use by {holder}, and no kvstore answers at the address");
                Diagnosis::problem(CHECK, detail, "stop it, or choose another directory with --data-dir")
            }
        }
        Err(OpenError::NotOurs(_)) if is_empty(dir) => Diagnosis::ok(CHECK, format!("{shown} is empty and can be written")),
        Err(error @ OpenError::NotOurs(_)) => Diagnosis::problem(CHECK, error.to_string(), "a store has a directory of its own"),
        Err(error @ OpenError::Newer { .. }) => Diagnosis::problem(CHECK, error.to_string(), "the version that wrote it can read it"),
        Err(error) => Diagnosis::problem(CHECK, error.to_string(), "choose another with --data-dir"),
    }
}

fn absent(dir: &Path) -> Diagnosis {
    let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let parent = existing(&shown);
    match writable(parent).and_then(|()| takes_directories(parent)) {
        Ok(()) => Diagnosis::ok(CHECK, format!("{} is not there yet and can be made", shown.display())),
        Err(error) => {
            let detail = format!("{} is not there and can't be made in {}: {error}", shown.display(), parent.display());
            Diagnosis::problem(CHECK, detail, "choose another with --data-dir, or make it as a user who may")
        }
    }
}

/// What is there of a path: it, or the nearest above it.
pub(super) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

fn writable(dir: &Path) -> io::Result<()> {
    if !dir.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// File systems in which the kernel shows what it knows: root may write there, and still no directory can be made for a store. The
/// magic numbers are those of `statfs(2)`: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, configfs, devpts and bpf.
const OF_THE_KERNEL: &[u64] =
    &[0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x6265_6570, 0x1cd1, 0xcafe_4a11];

fn takes_directories(dir: &Path) -> io::Result<()> {
    if OF_THE_KERNEL.contains(&(statfs(dir)?.f_type as u64 & 0xffff_ffff)) {
        return Err(io::Error::other("it shows the kernel's own state, and keeps no files"));
    }
    Ok(())
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir)
        .is_ok_and(|files| files.flatten().all(|file| ["LOCK", "IDENTITY.new", "lost+found"].iter().any(|ours| file.file_name() == *ours)))
}

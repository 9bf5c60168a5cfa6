//! The disk that holds the data, or would: its room, its file system, and how long a sync takes on it.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, HumanDuration};
use kvstore_storage::trims_at_once;
use rustix::fs::{OFlags, statfs, statvfs};

use super::{Diagnosis, data_dir::existing};
use crate::settings::Settings;

const SPACE: &str = "space";
const FILE_SYSTEM: &str = "filesystem";
const SYNC: &str = "sync";
/// Syncs that are measured.
const SYNCS: usize = 32;
/// A durable write waits for a sync: one that takes longer is felt.
const SLOW: Duration = Duration::from_millis(20);
/// No disk takes less; something before it says "done" too early.
const TOO_FAST: Duration = Duration::from_micros(15);

pub(super) fn look(settings: &Settings) -> Vec<Diagnosis> {
    let dir = std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
    let dir = existing(&dir);
    vec![space(dir, settings.free_space_floor_mb << 20), file_system(dir), sync(dir)]
}

fn space(dir: &Path, floor: u64) -> Diagnosis {
    let disk = match statvfs(dir) {
        Ok(disk) => disk,
        Err(error) => return Diagnosis::warning(SPACE, format!("the free space can't be read: {error}"), "look at it with df"),
    };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let (shown, floor_shown) = (BinaryBytes(free), BinaryBytes(floor));
    if free < floor {
        let detail = format!("{shown} are free, less than the floor of {floor_shown}: puts are refused");
        Diagnosis::problem(SPACE, detail, "make room on the disk, or move the data to a larger one")
    } else if free < floor.saturating_mul(4) {
        let detail = format!("{shown} are free; below {floor_shown} puts are refused");
        Diagnosis::warning(SPACE, detail, "make room soon: compaction needs some for itself")
    } else if disk.f_files > 0 && disk.f_favail < 10_000 {
        let detail = format!("{shown} are free, but only {} more files can be made", disk.f_favail);
        Diagnosis::warning(SPACE, detail, "remove small files elsewhere on this file system")
    } else {
        Diagnosis::ok(SPACE, format!("{shown} are free; below {floor_shown} puts are refused"))
    }
}

/// What a file system keeps.
enum Kept {
    Well,
    /// It forgets everything with the machine.
    InMemory,
    /// Syncs and locks go over a network, or through another program.
    Far,
}

fn file_system(dir: &Path) -> Diagnosis {
    let kind = match statfs(dir) {
        Ok(found) => found.f_type as u64 & 0xffff_ffff,
        Err(error) => {
            return Diagnosis::warning(FILE_SYSTEM, format!("it can't be looked at: {error}"), "look at it with df --output=fstype");
        }
    };
    let (name, kept) = name(kind);
    match kept {
        Kept::Well if trims_at_once(dir) => {
            let detail = format!("{name}, mounted with `discard`: while large files are deleted, syncs wait for the disk to trim");
            Diagnosis::warning(FILE_SYSTEM, detail, "mount it with `nodiscard`, and trim by a timer (systemctl enable fstrim.timer)")
        }
        Kept::Well => Diagnosis::ok(FILE_SYSTEM, name),
        Kept::InMemory => {
            let detail = format!("{name} is memory: nothing in it outlives the machine's next start");
            Diagnosis::warning(FILE_SYSTEM, detail, "put the data on a disk, unless it may be lost")
        }
        Kept::Far => {
            let detail =
                format!("{name} is not on a disk of this machine: whether a sync keeps its promise, and a lock holds, is up to others");
            Diagnosis::warning(FILE_SYSTEM, detail, "put the data on a disk of this machine")
        }
    }
}

/// The magic numbers are those of `statfs(2)`.
fn name(kind: u64) -> (String, Kept) {
    let (name, kept) = match kind {
        0xef53 => ("ext4", Kept::Well),
        0x5846_5342 => ("xfs", Kept::Well),
        0x9123_683e => ("btrfs", Kept::Well),
        0x2fc1_2fc1 => ("zfs", Kept::Well),
        0xf2f5_2010 => ("f2fs", Kept::Well),
        0x794c_7630 => ("overlayfs", Kept::Well),
        0x0102_1994 => ("tmpfs", Kept::InMemory),
        0x8584_58f6 => ("ramfs", Kept::InMemory),
        0x6969 => ("nfs", Kept::Far),
        0xff53_4d42 | 0xfe53_4d42 => ("smb", Kept::Far),
        0x0102_1997 => ("9p", Kept::Far),
        0x6573_5546 => ("fuse", Kept::Far),
        0x00c3_6400 => ("ceph", Kept::Far),
        0x0bd0_0bd0 => ("lustre", Kept::Far),
        other => return (format!("a file system of type {other:#x}, of which nothing is known here"), Kept::Well),
    };
    (name.to_owned(), kept)
}

fn sync(dir: &Path) -> Diagnosis {
    match measure(dir) {
        Ok((median, slowest)) => judge(median, slowest),
        Err(error) => {
            let detail = format!("it can't be measured in {}: {error}", dir.display());
            Diagnosis::warning(SYNC, detail, "run this as the user who serves")
        }
    }
}

fn judge(median: Duration, slowest: Duration) -> Diagnosis {
    let detail = format!("a sync takes {} (slowest of {SYNCS}: {})", micros(median), micros(slowest));
    if median > SLOW {
        let advice = format!("each durable write takes at least {}; a disk with a protected write cache is faster", HumanDuration(median));
        return Diagnosis::warning(SYNC, detail, advice);
    }
    if median < TOO_FAST {
        let detail = format!("{detail}, which no disk can do");
        return Diagnosis::warning(SYNC, detail, "make sure that it is not memory, and that no layer below drops syncs");
    }
    Diagnosis::ok(SYNC, detail)
}

fn micros(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

/// The median and the slowest of some syncs, each of one block more. The file has no name: nothing of it stays.
fn measure(dir: &Path) -> io::Result<(Duration, Duration)> {
    let flags = i32::try_from(OFlags::TMPFILE.bits()).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).custom_flags(flags).mode(0o600).open(dir)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[0x5a; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok((times.get(SYNCS / 2).copied().unwrap_or_default(), times.last().copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn a_sync_that_is_too_slow_or_too_fast_to_be_one_is_a_warning() {
        let level = |micros| judge(Duration::from_micros(micros), Duration::from_secs(1)).level;
        assert_eq!((level(1), level(200), level(50_000)), (Level::Warning, Level::Ok, Level::Warning));
    }
}

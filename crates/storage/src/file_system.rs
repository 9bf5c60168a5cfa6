//! What the file system under a directory does, as far as the store goes by it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// The magic numbers of `statfs(2)`.
const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

fn kind(dir: &Path) -> Option<u64> {
    Some(rustix::fs::statfs(dir).ok()?.f_type as u64 & 0xffff_ffff)
}

/// Whether it writes a block again where it is: ext4 and XFS. Others write each block to a new place
/// (btrfs, ZFS), or have no disk.
pub(crate) fn overwrites_in_place(dir: &Path) -> bool {
    kind(dir).is_some_and(|kind| [EXT4, XFS].contains(&kind))
}

/// Whether it tells the disk of freed blocks as it frees them, and lets writers wait for that: an ext4 that is mounted with `discard`.
/// Others trim in the background.
pub fn trims_at_once(dir: &Path) -> bool {
    let Ok(found) = fs::metadata(dir) else { return false };
    let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    kind(dir) == Some(EXT4)
        && fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| has_discard(&mounts, &format!("{major}:{minor}")))
}

/// A line is `22 27 254:0 / /mnt rw - ext4 /dev/vda rw,discard`, by `proc_pid_mountinfo(5)`: the device is the third word, the file
/// system's own options are the last.
fn has_discard(mounts: &str, device: &str) -> bool {
    let of_device = mounts.lines().filter(|line| line.split(' ').nth(2) == Some(device));
    let mut options = of_device.filter_map(|line| line.split(' ').next_back()).flat_map(|options| options.split(','));
    options.any(|option| option == "discard")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_trims_at_once_is_found_among_the_mounts() {
        let mounts = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,resuid=7\n\
            28 27 254:1 / /a rw,discard - ext4 /dev/vdb rw,nodiscard\n";
        assert!(has_discard(mounts, "254:0"));
        assert!(!has_discard(mounts, "254:1") && !has_discard(mounts, "8:1"));
    }
}

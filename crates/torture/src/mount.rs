//! `Disk`: an ext4 file system of our own in an image file, over a loop device. It is unmounted with its handle.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// A mounted image.
pub(crate) struct Disk {
    image: PathBuf,
    pub(crate) path: PathBuf,
    mounted: bool,
}

/// A disk, or why there can be none on this machine.
pub(crate) enum Made {
    Disk(Disk),
    Impossible(String),
}

impl Disk {
    /// Makes an image of so many MiB in `scratch` and mounts it.
    pub(crate) fn make(scratch: &Path, name: &str, mib: u64) -> anyhow::Result<Made> {
        let image = scratch.join(format!("{name}.img"));
        let path = scratch.join(format!("{name}.mnt"));
        std::fs::create_dir_all(&path)?;
        std::fs::File::create(&image)?.set_len(mib << 20)?;
        if let Err(error) = command("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_ref()]) {
            return Ok(Made::Impossible(format!("{error:#}")));
        }
        let mut disk = Disk { image, path, mounted: false };
        match disk.mount() {
            Ok(()) => Ok(Made::Disk(disk)),
            Err(error) => Ok(Made::Impossible(format!("a loop device cannot be mounted (root is needed): {error:#}"))),
        }
    }

    /// Mounts it again.
    pub(crate) fn mount(&mut self) -> anyhow::Result<()> {
        command("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.path.as_ref()])?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts it; the loop device goes with it.
    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        command("umount", &[self.path.as_ref()])?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A server that is still ending would keep it busy: detach it then, and the kernel unmounts it when the last file is closed.
        if self.mounted && self.unmount().is_err() {
            let _ = command("umount", &["--lazy".as_ref(), self.path.as_ref()]);
        }
    }
}

fn command(program: &str, arguments: &[&Path]) -> anyhow::Result<()> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().with_context(|| format!("{program} cannot be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} failed: {}", said.trim());
    Ok(())
}

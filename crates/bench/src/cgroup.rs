//! A cgroup with a limit of memory, and of disk reads while that is asked for, in either version of the kernel's interface. What ran
//! in it must have ended before it can go.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{process::Command, task::JoinHandle};

const ROOT: &str = "/sys/fs/cgroup";
const BLKIO_READS: &str = "blkio.throttle.read_iops_device";
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// A cgroup. It is removed when dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    version: Version,
    dir: PathBuf,
    /// Why there is none is told when a limit is asked for.
    disk: Result<Disk>,
}

/// What limits the use of a disk.
#[derive(Debug)]
struct Disk {
    /// In version one each controller has a tree of its own.
    dir: PathBuf,
    /// `major:minor`.
    device: String,
}

impl Cgroup {
    /// Makes a cgroup with this limit of memory; it can limit the reads of the disk that holds the folder.
    ///
    /// # Errors
    /// The memory controller is missing, or it can't be written; the message says which.
    pub(crate) fn create(name: &str, limit_bytes: u64, folder: &Path) -> Result<Self> {
        let (version, parent) = find("memory", "memory.limit_in_bytes")?;
        let name = format!("kvstore-bench-{}-{name}", std::process::id());
        let dir = make(&parent, &name)?;
        let group = Self { version, disk: Disk::of(folder, &name, version, &dir), dir };
        match version {
            Version::One => {
                group.write("memory.limit_in_bytes", &limit_bytes.to_string())?;
                // Only there where swap is accounted for.
                let _ = group.write("memory.memsw.limit_in_bytes", &limit_bytes.to_string());
            }
            Version::Two => {
                group.write("memory.max", &limit_bytes.to_string())?;
                let _ = group.write("memory.swap.max", "0");
            }
        }
        Ok(group)
    }

    /// Lets the disk serve so many reads a second to what runs in it, from now on; `None` takes the limit away.
    ///
    /// # Errors
    /// The controller of disks is missing, or it can't be written; the message says which.
    pub(crate) fn limit_disk_reads(&self, per_second: Option<u64>) -> Result<()> {
        let Disk { dir, device } = self.disk.as_ref().map_err(|error| anyhow!("{error:#}"))?;
        let (file, limit) = match self.version {
            Version::One => (BLKIO_READS, format!("{device} {}", per_second.unwrap_or(0))),
            Version::Two => {
                ("io.max", format!("{device} riops={}", per_second.map_or_else(|| "max".to_owned(), |reads| reads.to_string())))
            }
        };
        let path = dir.join(file);
        fs::write(&path, &limit).with_context(|| format!("writing {limit:?} to {}", path.display()))
    }

    /// A command that moves itself into the cgroup before it becomes the program, so that every byte is counted.
    pub(crate) fn command(&self, program: &Path) -> Result<Command> {
        let mut command = Command::new("sh");
        let disk_dir = self.disk.as_ref().map_or(&self.dir, |disk| &disk.dir);
        command.args(["-c", r#"echo $$ > "$0" && echo $$ > "$1" && shift && exec "$@""#]);
        command.arg(self.dir.join("cgroup.procs")).arg(disk_dir.join("cgroup.procs")).arg(program);
        Ok(command)
    }

    /// Processes that the kernel killed in it for want of memory.
    pub(crate) fn oom_kills(&self) -> Result<u64> {
        let (file, name) = match self.version {
            Version::One => ("memory.oom_control", "oom_kill"),
            Version::Two => ("memory.events", "oom_kill"),
        };
        self.field(file, name)
    }

    /// Anonymous memory in bytes: what can't be dropped, unlike cached files.
    pub(crate) fn anonymous_bytes(&self) -> Result<u64> {
        let name = match self.version {
            Version::One => "total_rss",
            Version::Two => "anon",
        };
        self.field("memory.stat", name)
    }

    fn field(&self, file: &str, name: &str) -> Result<u64> {
        let path = self.dir.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        field(&text, name).with_context(|| format!("no {name} in {}", path.display()))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let disk_dir = self.disk.as_ref().ok().map(|disk| &disk.dir).filter(|dir| **dir != self.dir);
        for dir in [Some(&self.dir), disk_dir].into_iter().flatten() {
            if let Err(error) = fs::remove_dir(dir) {
                eprintln!("the cgroup {} is left behind: {error}", dir.display());
            }
        }
    }
}

impl Disk {
    /// The controller for a group that has this name, and this folder for its memory.
    fn of(folder: &Path, name: &str, version: Version, memory_dir: &Path) -> Result<Self> {
        let device = disk_of(folder)?;
        let dir = match version {
            Version::One => make(&find("blkio", BLKIO_READS)?.1, name)?,
            Version::Two => {
                find("io", BLKIO_READS)?;
                memory_dir.to_owned()
            }
        };
        Ok(Self { dir, device })
    }
}

/// Where a controller is, which in version one has this file.
fn find(controller: &str, file: &str) -> Result<(Version, PathBuf)> {
    let one = Path::new(ROOT).join(controller);
    if one.join(file).exists() {
        return Ok((Version::One, one));
    }
    let controllers = fs::read_to_string(Path::new(ROOT).join("cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|name| name == controller) {
        let switch = Path::new(ROOT).join("cgroup.subtree_control");
        fs::write(&switch, format!("+{controller}")).with_context(|| format!("writing {}", switch.display()))?;
        return Ok((Version::Two, PathBuf::from(ROOT)));
    }
    bail!("no cgroup controller {controller} under {ROOT}")
}

fn make(parent: &Path, name: &str) -> Result<PathBuf> {
    let dir = parent.join(name);
    fs::create_dir(&dir).with_context(|| format!("making the cgroup {}", dir.display()))?;
    Ok(dir)
}

/// The disk that holds a folder, as `major:minor`. Limits go to whole disks, not to their partitions.
fn disk_of(folder: &Path) -> Result<String> {
    let device = fs::metadata(folder)?.dev();
    let named = PathBuf::from(format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device)));
    let mut dir = named.canonicalize().with_context(|| format!("{} is on no disk of its own", folder.display()))?;
    if dir.join("partition").exists() {
        dir.pop();
    }
    let number = fs::read_to_string(dir.join("dev")).with_context(|| format!("reading the device number of {}", dir.display()))?;
    Ok(number.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Follows the anonymous memory of a cgroup until it is dropped.
pub(crate) struct Watch {
    highest: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to follow.
    pub(crate) fn start(group: Arc<Cgroup>) -> Self {
        let highest = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&highest);
        let task = tokio::spawn(async move {
            loop {
                seen.fetch_max(group.anonymous_bytes().unwrap_or(0), Ordering::Relaxed);
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
        });
        Self { highest, task }
    }

    /// The highest value so far, in bytes; it starts again from nothing.
    pub(crate) fn take_highest(&self) -> u64 {
        self.highest.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let one = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(one, "oom_kill"), Some(3));
        assert_eq!(field("anon_thp 7\nanon 5\n", "anon"), Some(5));
        assert_eq!(field(one, "anon"), None);
    }
}

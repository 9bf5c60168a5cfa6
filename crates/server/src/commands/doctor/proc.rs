//! Who holds what, as /proc tells it. Of other users' processes it tells a user less than it tells root.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::Path};

use super::output;

/// A process that holds something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    id: u32,
    /// Its command's name, if it can be read.
    name: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.id)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.name) }
    }
}

impl Process {
    fn of(id: u32) -> Self {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        Self { id, name: output::escape(name.trim().as_bytes()) }
    }
}

/// Who holds the lock on a file.
pub(super) fn holder_of_lock(path: &Path) -> Option<Process> {
    let inode = fs::metadata(path).ok()?.ino();
    lock_holder(&fs::read_to_string("/proc/locks").ok()?, inode).map(Process::of)
}

/// A line is `1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF`: the process, then the file with its inode last.
fn lock_holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, process, file) = (words.next()?, words.nth(2)?, words.next()?);
        let of_file = file.rsplit(':').next()?.parse::<u64>().ok()?;
        (kind == "FLOCK" && of_file == inode).then(|| process.parse().ok())?
    })
}

/// Who listens on a TCP port.
pub(super) fn holder_of_port(port: u16) -> Option<Process> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].iter().filter_map(|path| fs::read_to_string(path).ok());
    let sockets: Vec<String> = tables.flat_map(|table| listening(&table, port)).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| holds(*id, &sockets)).map(Process::of)
}

/// The sockets that listen on a port, as links in `/proc/<pid>/fd` name them.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let sockets = table.lines().skip(1).filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let of_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()? == port;
        (of_port && *state == LISTEN).then(|| format!("socket:[{inode}]"))
    });
    sockets.collect()
}

fn holds(id: u32, sockets: &[String]) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    files
        .flatten()
        .filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:00:7 0 EOF\n2: FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF\n";
        assert_eq!(lock_holder(locks, 7), Some(12));
        assert_eq!(lock_holder(locks, 8), None);
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 x 100 0 0 10 0\n\
            \x20  1: 0100007F:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 43 1 x 100 0 0 10 0\n";
        assert_eq!(listening(table, 8000), ["socket:[42]"]);
        assert_eq!(listening(table, 8001), Vec::<String>::new());
    }

    #[test]
    fn this_process_is_found_by_what_it_holds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(holder_of_port(port).expect("found").id, std::process::id());
        let file = tempfile::NamedTempFile::new().expect("a file");
        rustix::fs::flock(file.as_file(), rustix::fs::FlockOperation::LockExclusive).expect("locked");
        assert_eq!(holder_of_lock(file.path()).expect("found").id, std::process::id());
    }
}

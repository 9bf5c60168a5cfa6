//! Gives the space of deleted files back in small steps.
//!
//! RocksDB deletes a table or a log file as a whole. On an ext4 that is mounted with `discard`, the disk is then told to trim tens of
//! mebibytes in one go, and a sync of the log that comes meanwhile waits for all of it: 10 to 30 ms for one table. So there each such
//! file is held open; once its last name is gone, nobody can come to it any more, and it is shortened step by step with pauses in
//! between, until it is empty. Files that a checkpoint still has a name for are let go as they are.
//!
//! Nothing depends on it: what is not held, or not finished when the process ends, is freed in one go.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};

use super::changes::Changes;

/// Freed at once. Files are shortened to multiples of it.
const STEP_BYTES: u64 = 1 << 20;
/// Between two steps, and at least as long as a step takes: the disk is for others at least half of the time.
const PAUSE_MIN: Duration = Duration::from_millis(4);
/// How often the directory is looked at. Files that are older than this when they are deleted are found.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Each file that is held takes a descriptor, beside RocksDB's own: a small part of what the process may have.
const HELD_MAX: u64 = 1024;
const LIMIT_SHARE: u64 = 16;
/// Deleted files that wait for their turn. Where the disk is slower than what is deleted, the oldest are freed in one go: space is
/// worth more then.
const WAITING_BYTES_MAX: u64 = 1 << 30;

/// Frees what is deleted in one directory, until dropped.
pub(super) struct Freeing {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Freeing {
    /// Begins to hold the tables and log files in `dir`.
    pub(super) fn of(dir: &Path) -> Self {
        let (stop, stopped) = mpsc::channel();
        let held_max = getrlimit(Resource::Nofile).current.map_or(HELD_MAX, |files| (files / LIMIT_SHARE).min(HELD_MAX));
        let mut held = Held { dir: dir.to_owned(), held_max, files: HashMap::new(), changes: Changes::default() };
        let thread = thread::Builder::new().name("kvstore-freeing".to_owned()).spawn(move || held.watch(&stopped));
        let thread =
            thread.inspect_err(|error| tracing::warn!(%error, "deleted tables are freed in one go: no thread could be started")).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Freeing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell.
            let _ = thread.join();
        }
    }
}

struct Held {
    dir: PathBuf,
    held_max: u64,
    files: HashMap<OsString, File>,
    changes: Changes,
}

/// The process ends, or the database is closed.
struct Stopped;

impl Held {
    fn watch(&mut self, stopped: &Receiver<()>) {
        let mut waiting = VecDeque::new();
        loop {
            match self.look() {
                Ok(gone) => waiting.extend(gone.into_iter().filter_map(|file| Some((nameless(&file)?, file)))),
                Err(error) => tracing::debug!(%error, dir = %self.dir.display(), "deleted tables are freed in one go"),
            }
            keep_newest(&mut waiting);
            let ended = match waiting.pop_front() {
                Some((length, file)) => free(&file, length, stopped),
                None => pause(stopped, LOOK_EVERY),
            };
            if ended.is_err() {
                return;
            }
        }
    }

    /// Takes hold of new files, and gives those whose name is gone.
    fn look(&mut self) -> io::Result<Vec<File>> {
        let Some(names) = self.changes.read(&self.dir, || names(&self.dir))? else { return Ok(Vec::new()) };
        let gone: Vec<OsString> = self.files.keys().filter(|name| !names.contains(*name)).cloned().collect();
        let gone = gone.into_iter().filter_map(|name| self.files.remove(&name)).collect();
        let mut new: Vec<OsString> = names.into_iter().filter(|name| !self.files.contains_key(name)).collect();
        // The newest first: they are merged, and deleted, the soonest.
        new.sort_unstable_by(|a, b| b.cmp(a));
        let room = usize::try_from(self.held_max).unwrap_or(usize::MAX).saturating_sub(self.files.len());
        for name in new.into_iter().take(room) {
            if let Ok(file) = OpenOptions::new().write(true).open(self.dir.join(&name)) {
                self.files.insert(name, file);
            }
        }
        Ok(gone)
    }
}

/// The tables and log files in a directory.
fn names(dir: &Path) -> io::Result<HashSet<OsString>> {
    let mut names = HashSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "sst" || extension == "log") {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The length of a file that has no name. It gets none again, so nobody else can come to it.
fn nameless(file: &File) -> Option<u64> {
    let found = file.metadata().ok()?;
    (found.nlink() == 0).then_some(found.len())
}

/// Lets go of the oldest while too much space waits.
fn keep_newest(waiting: &mut VecDeque<(u64, File)>) {
    let mut bytes: u64 = waiting.iter().map(|(length, _)| length).sum();
    while bytes > WAITING_BYTES_MAX
        && let Some((length, _)) = waiting.pop_front()
    {
        bytes -= length;
    }
}

/// Shortens a file without a name to nothing.
fn free(file: &File, mut length: u64, stopped: &Receiver<()>) -> Result<(), Stopped> {
    while length > 0 {
        length = (length - 1) / STEP_BYTES * STEP_BYTES;
        let began = Instant::now();
        // Synced, or the steps of seconds are trimmed together.
        if file.set_len(length).and_then(|()| file.sync_data()).is_err() {
            break;
        }
        pause(stopped, began.elapsed().max(PAUSE_MIN))?;
    }
    Ok(())
}

fn pause(stopped: &Receiver<()>, time: Duration) -> Result<(), Stopped> {
    match stopped.recv_timeout(time) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Stopped),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    const BYTES: u64 = 3 * STEP_BYTES + 100;

    fn table(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, vec![1; usize::try_from(BYTES).unwrap()]).unwrap();
        path
    }

    /// Waits until the descriptor that is held shows a file of that length. A file of no name has it from nothing else.
    fn wait_for_length(file: &File, length: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while file.metadata().unwrap().len() != length {
            assert!(Instant::now() < deadline, "still {} bytes", file.metadata().unwrap().len());
            thread::yield_now();
        }
    }

    fn held(dir: &Path) -> Held {
        Held { dir: dir.to_owned(), held_max: 10, files: HashMap::new(), changes: Changes::default() }
    }

    #[test]
    fn deleted_tables_and_logs_are_emptied() {
        let dir = tempfile::TempDir::new().unwrap();
        let early = table(dir.path(), "000001.sst");
        let _freeing = Freeing::of(dir.path());
        let late = table(dir.path(), "000002.log");
        let files: Vec<File> = [&early, &late].map(|path| File::open(path).unwrap()).into();
        // Both are held before they are deleted.
        let deadline = Instant::now() + Duration::from_secs(20);
        while descriptors(&late) < 2 || descriptors(&early) < 2 {
            assert!(Instant::now() < deadline, "the files are not held");
            thread::yield_now();
        }
        for path in [early, late] {
            fs::remove_file(path).unwrap();
        }
        for file in &files {
            wait_for_length(file, 0);
        }
    }

    /// How often this process has a file open.
    fn descriptors(path: &Path) -> usize {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|file| fs::read_link(file.path()).is_ok_and(|target| target == path)).count()
    }

    /// A checkpoint has other names for the same tables.
    #[test]
    fn a_file_with_another_name_stays_whole() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut held = held(dir.path());
        let path = table(dir.path(), "000001.sst");
        fs::hard_link(&path, dir.path().join("checkpoint")).unwrap();
        let alone = table(dir.path(), "000002.sst");
        let observed = File::open(&alone).unwrap();
        assert!(held.look().unwrap().is_empty(), "nothing is gone");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&alone).unwrap();
        let gone = held.look().unwrap();
        assert_eq!(gone.len(), 2);
        let (_running, stopped) = mpsc::channel();
        let nameless: Vec<_> = gone.iter().filter_map(|file| Some((nameless(file)?, file))).collect();
        assert_eq!(nameless.len(), 1, "the other one has a name");
        for (length, file) in nameless {
            assert!(free(file, length, &stopped).is_ok());
        }
        assert_eq!(observed.metadata().unwrap().len(), 0, "nobody has a name for this one");
        let kept = File::open(dir.path().join("checkpoint")).unwrap();
        assert_eq!(kept.metadata().unwrap().len(), BYTES);
        let mut last = [0];
        kept.read_exact_at(&mut last, BYTES - 1).unwrap();
        assert_eq!(last, [1]);
    }

    #[test]
    fn other_files_and_more_than_the_limit_are_not_held() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut held = held(dir.path());
        for n in 0..20 {
            table(dir.path(), &format!("{n:06}.sst"));
        }
        table(dir.path(), "MANIFEST-000001");
        assert!(held.look().unwrap().is_empty());
        assert_eq!(held.files.len(), 10);
        assert!(held.files.keys().all(|name| Path::new(name).extension().is_some_and(|extension| extension == "sst")));
    }

    /// A deletion in the same step of the clock as the one before it, which a look had seen, stayed unseen.
    #[test]
    fn a_change_right_after_a_look_is_seen_by_the_next() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut held = held(dir.path());
        let paths: Vec<PathBuf> = (0..8).map(|n| table(dir.path(), &format!("{n:06}.sst"))).collect();
        assert!(held.look().unwrap().is_empty());
        for path in paths {
            fs::remove_file(path).unwrap();
            assert_eq!(held.look().unwrap().len(), 1);
        }
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = table(dir.path(), "000001.sst");
        let mut waiting: VecDeque<_> = (0..5).map(|n| (WAITING_BYTES_MAX / 3 + n, File::open(&path).unwrap())).collect();
        keep_newest(&mut waiting);
        assert_eq!(waiting.iter().map(|(length, _)| length - WAITING_BYTES_MAX / 3).collect::<Vec<_>>(), [3, 4], "the newest");
    }

    #[test]
    fn the_end_of_the_process_does_not_wait() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = table(dir.path(), "000001.sst");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (running, stopped) = mpsc::channel();
        drop(running);
        assert!(free(&file, BYTES, &stopped).is_err(), "it went on after the stop");
        assert_eq!(file.metadata().unwrap().len(), 3 * STEP_BYTES, "after its first step");
    }
}

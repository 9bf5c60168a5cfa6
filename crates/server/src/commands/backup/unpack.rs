//! Unpacking a backup's archive: exactly the entries that its list names, each on disk before the next, each with its checksum.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use kvstore_types::{
    backup::{BackupFormatError, FOLDER, MANIFEST, Manifest, SUMS, Summing, Sums},
    limits::{BACKUP_LIST_BYTES_MAX, BACKUP_PIECE_BYTES},
};
use tar::{Archive, Entries, Entry};

use crate::exit::{Exit, Fatal};

/// What becomes known on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The bytes of all files.
    Total(u64),
    /// Bytes that were written.
    Received(u64),
}

/// Unpacks an archive into a directory that is there and empty.
pub(super) fn unpack(archive: impl Read, dir: &Path, tell: &mut dyn FnMut(Step)) -> Result<Manifest, Fatal> {
    let mut archive = Archive::new(archive);
    // Without extended headers, whose length only the sender bounds: no backup has one.
    let entries = archive.entries().map_err(broken_off)?.raw(true);
    let mut unpacking = Unpacking { entries, dir, sums: Sums::default() };
    let list = unpacking.list(MANIFEST)?;
    let manifest = Manifest::parse(&list).map_err(|error| match error {
        BackupFormatError::Damaged(_) => damaged(error.to_string()),
        error => Fatal::new(Exit::DataDir, format!("what the server sends can't be used: {error}")),
    })?;
    tell(Step::Total(manifest.bytes()));
    let folder = dir.join(FOLDER);
    fs::create_dir(&folder).map_err(|error| unwritable(&folder, &error))?;
    for file in &manifest.files {
        unpacking.file(&file.path(), file.bytes, tell)?;
    }
    let received = unpacking.sums.clone();
    let sent = Sums::parse(&unpacking.list(SUMS)?).map_err(|error| damaged(error.to_string()))?;
    for path in manifest.files.iter().map(|file| file.path()).chain([MANIFEST.to_owned()]) {
        if sent.get(&path).is_none() || sent.get(&path) != received.get(&path) {
            return Err(damaged(format!("{path} does not have the checksum that it was sent with")));
        }
    }
    match unpacking.entries.next() {
        None => Ok(manifest),
        Some(_) => Err(damaged("more follows its last entry".into())),
    }
}

struct Unpacking<'a, R: Read> {
    entries: Entries<'a, R>,
    dir: &'a Path,
    sums: Sums,
}

impl<'a, R: Read> Unpacking<'a, R> {
    /// The next entry, which must have this name.
    fn next(&mut self, path: &str) -> Result<Entry<'a, R>, Fatal> {
        let entry = match self.entries.next() {
            Some(entry) => entry.map_err(broken_off)?,
            None => return Err(broken_off(io::ErrorKind::UnexpectedEof.into())),
        };
        let found = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if found != path || !entry.header().entry_type().is_file() {
            return Err(damaged(format!("{found:?} came where {path} should")));
        }
        Ok(entry)
    }

    /// Takes an entry that says something of the others, and keeps it.
    fn list(&mut self, path: &str) -> Result<Vec<u8>, Fatal> {
        let mut entry = self.next(path)?;
        if entry.size() > BACKUP_LIST_BYTES_MAX {
            return Err(damaged(format!("{path} has {} bytes; the limit is {BACKUP_LIST_BYTES_MAX}", entry.size())));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken_off)?;
        let target = self.dir.join(path);
        let written = File::create_new(&target).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        written.map_err(|error| unwritable(&target, &error))?;
        let mut summing = Summing::default();
        summing.update(&bytes);
        self.sums.add(path, summing.finish());
        Ok(bytes)
    }

    fn file(&mut self, path: &str, bytes: u64, tell: &mut dyn FnMut(Step)) -> Result<(), Fatal> {
        let mut entry = self.next(path)?;
        if entry.size() != bytes {
            return Err(damaged(format!("{path} comes with {} bytes, not {bytes}", entry.size())));
        }
        let target = self.dir.join(path);
        let failed = |error: io::Error| unwritable(&target, &error);
        let mut file = File::create_new(&target).map_err(failed)?;
        let mut summing = Summing::default();
        let mut piece = vec![0; BACKUP_PIECE_BYTES];
        loop {
            let length = entry.read(&mut piece).map_err(broken_off)?;
            if length == 0 {
                break;
            }
            let part = piece.get(..length).unwrap_or_default();
            summing.update(part);
            file.write_all(part).map_err(failed)?;
            tell(Step::Received(length as u64));
        }
        self.sums.add(path, summing.finish());
        // One file after the other: a sync of all at the end would keep the disk from everybody else.
        file.sync_all().map_err(failed)
    }
}

fn broken_off(error: io::Error) -> Fatal {
    Fatal::new(Exit::Error, format!("the backup broke off ({error}); what had come was removed. Look into the server's log, and try again"))
}

fn damaged(reason: String) -> Fatal {
    Fatal::new(Exit::Damaged, format!("the backup arrived damaged: {reason}; what had come was removed. Try again"))
}

fn unwritable(path: &Path, error: &io::Error) -> Fatal {
    Fatal::new(Exit::DataDir, format!("{} can't be written: {error}; what had come was removed", path.display()))
}

#[cfg(test)]
mod tests {
    use tar::{EntryType, Header};

    use super::*;

    #[test]
    fn an_extended_header_of_any_length_is_refused_unread() {
        for kind in [EntryType::GNULongName, EntryType::XHeader] {
            let mut header = Header::new_gnu();
            header.set_path("././@LongLink").expect("a short name");
            header.set_entry_type(kind);
            header.set_size(1 << 40);
            header.set_cksum();
            let endless = header.as_bytes().chain(io::repeat(b'a'));
            let dir = tempfile::TempDir::new().expect("a directory");
            let error = unpack(endless, dir.path(), &mut |_| {}).expect_err("refused");
            assert!(error.to_string().contains("came where"), "{kind:?}: {error}");
        }
    }
}

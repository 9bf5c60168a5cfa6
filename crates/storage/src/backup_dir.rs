//! `BackupDir`: a backup as it lies in a directory. It knows the form of a backup and its checksums; what the files hold is for
//! whoever opens them.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use kvstore_types::{
    backup::{BackupFile, BackupFormatError, Checksum, FOLDER, MANIFEST, Manifest, SUMS, Summing, Sums},
    limits::{BACKUP_LIST_BYTES_MAX, BACKUP_PIECE_BYTES},
};

use crate::OpenError;

/// A backup can't be used, or not be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is not a backup, or none that this version reads.
    #[error("{path} can't be used as a backup: {reason}")]
    Format {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: BackupFormatError,
    },
    /// Files are missing or not as they were written.
    #[error("the backup is damaged: {0}; use another one")]
    Damaged(String),
    /// A file can't be read.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("{path} can't be written: {source}; what was written so far has been removed")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database or the data directory can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Files up to this size are read to their end before anything is begun.
const SMALL_BYTES: u64 = 1 << 20;

/// A backup in a directory.
#[derive(Debug)]
pub struct BackupDir {
    root: PathBuf,
    manifest: Manifest,
    sums: Sums,
}

impl BackupDir {
    /// Whether the directory looks like a backup, whole or not.
    #[must_use]
    pub fn is_one(root: &Path) -> bool {
        root.join(MANIFEST).exists()
    }

    /// Reads the lists of a backup, and checks that all files are there with their lengths.
    ///
    /// # Errors
    /// It is not a backup, of a newer format, not whole, or can't be read.
    pub fn open(root: &Path) -> Result<Self, BackupError> {
        let backup = Self::open_lists(root)?;
        backup.check_files()?;
        Ok(backup)
    }

    /// Reads the lists of a backup and nothing else: for who looks at all that is wrong with its files.
    ///
    /// # Errors
    /// It is not a backup, of a newer format, not whole, or can't be read.
    pub fn open_lists(root: &Path) -> Result<Self, BackupError> {
        let format = |reason| match reason {
            BackupFormatError::Damaged(reason) => BackupError::Damaged(reason),
            reason => BackupError::Format { path: root.to_owned(), reason },
        };
        let text = read_list(&root.join(MANIFEST))?
            .ok_or_else(|| format(BackupFormatError::NotABackup(format!("there is no {MANIFEST} in it"))))?;
        let manifest = Manifest::parse(&text).map_err(format)?;
        let sums = read_list(&root.join(SUMS))?
            .ok_or_else(|| BackupError::Damaged(format!("{SUMS} is missing, so the backup was cut short or taken apart")))?;
        let sums = Sums::parse(&sums).map_err(format)?;
        let backup = Self { root: root.to_owned(), manifest, sums };
        let mut summing = Summing::default();
        summing.update(&text);
        backup.compare(MANIFEST, summing.finish()).map_err(|error| match error {
            BackupError::Damaged(reason) => BackupError::Damaged(format!("{reason}: it was changed, or is another backup's")),
            error => error,
        })?;
        Ok(backup)
    }

    /// Looks at the files without reading the large ones. Where several are not those of the list, nothing is damaged, perhaps: they are
    /// another backup's.
    fn check_files(&self) -> Result<(), BackupError> {
        let look = |file: &BackupFile| match self.check_length(file) {
            Ok(()) if file.bytes <= SMALL_BYTES => self.read(file, &mut |_| {}, &mut |_| Ok(())),
            looked => looked,
        };
        let faults: Vec<_> = self.manifest.files.iter().filter_map(|file| look(file).err()).collect();
        let count = faults.len();
        let Some(first) = faults.into_iter().next() else { return Ok(()) };
        match first {
            BackupError::Damaged(reason) if count > 1 => Err(BackupError::Damaged(format!(
                "{reason}. {count} of its {} files are not those that {MANIFEST} lists: {FOLDER}/ is perhaps of another backup, or of another \
                 store; this one is of the store {}",
                self.manifest.files.len(),
                self.manifest.identity
            ))),
            first => Err(first),
        }
    }

    /// What the backup says of itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The directory of its files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// Reads every file and compares its checksum. `progress` is told the bytes of each piece. Gives what is wrong with each file that
    /// is not as it was written, or can't be read.
    pub fn verify(&self, progress: &mut dyn FnMut(u64)) -> Vec<BackupError> {
        self.manifest.files.iter().filter_map(|file| self.read(file, progress, &mut |_| Ok(())).err()).collect()
    }

    /// Copies every file into a directory, compares its checksum on the way, and waits until it is on disk.
    ///
    /// # Errors
    /// A file is not as it was written, or can't be read or copied.
    pub(crate) fn copy_to(&self, target: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), BackupError> {
        for file in &self.manifest.files {
            let path = target.join(&file.name);
            let failed = |source| BackupError::Write { path: path.clone(), source };
            let mut to = File::create(&path).map_err(failed)?;
            self.read(file, progress, &mut |piece| to.write_all(piece).map_err(failed))?;
            to.sync_all().map_err(failed)?;
        }
        Ok(())
    }

    fn check_length(&self, file: &BackupFile) -> Result<(), BackupError> {
        let path = self.root.join(file.path());
        match fs::metadata(&path) {
            Ok(found) if found.len() == file.bytes => Ok(()),
            Ok(found) => Err(BackupError::Damaged(format!("{} has {} bytes, not {}", path.display(), found.len(), file.bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BackupError::Damaged(format!("{} is missing", path.display()))),
            Err(source) => Err(BackupError::Read { path, source }),
        }
    }

    fn read(
        &self,
        file: &BackupFile,
        progress: &mut dyn FnMut(u64),
        take: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let path = self.root.join(file.path());
        let failed = |source| BackupError::Read { path: path.clone(), source };
        let mut from = File::open(&path).map_err(failed)?;
        let mut piece = vec![0; BACKUP_PIECE_BYTES];
        let mut summing = Summing::default();
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let bytes = piece.get(..length).unwrap_or_default();
            summing.update(bytes);
            take(bytes)?;
            progress(length as u64);
        }
        self.compare(&file.path(), summing.finish())
    }

    fn compare(&self, path: &str, found: Checksum) -> Result<(), BackupError> {
        match self.sums.get(path) {
            Some(expected) if expected == found => Ok(()),
            Some(_) => {
                Err(BackupError::Damaged(format!("{} does not have the checksum that it was written with", self.root.join(path).display())))
            }
            None => Err(BackupError::Damaged(format!("{SUMS} has no checksum of {path}"))),
        }
    }
}

/// A list, if it is there.
fn read_list(path: &Path) -> Result<Option<Vec<u8>>, BackupError> {
    let failed = |source| BackupError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(BACKUP_LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BACKUP_LIST_BYTES_MAX {
        return Err(BackupError::Damaged(format!("{} is longer than {BACKUP_LIST_BYTES_MAX} bytes", path.display())));
    }
    Ok(Some(bytes))
}

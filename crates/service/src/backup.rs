//! A backup: a consistent copy of the whole store, as a list of named byte streams. One is read at a time: each holds disk space that
//! the store can't free meanwhile.

use std::{io, sync::Arc, time::Duration};

use kvstore_storage::{Checkpoint, Position, Reservation, StoreError};
use kvstore_types::{
    backup::{BackupFile, Manifest},
    limits::{BACKUP_PIECE_BYTES, BACKUP_PIECES_MAX, CHECKPOINT_WAIT_MS_MAX},
};
use tokio::sync::OwnedSemaphorePermit;

use crate::{Service, ServiceError};

/// A backup that can be read. The copy, and the turn, are given back when it is dropped.
#[derive(Debug)]
pub struct BackupAnswer {
    manifest: Manifest,
    checkpoint: Checkpoint,
    _pieces: Reservation,
    _turn: OwnedSemaphorePermit,
}

impl BackupAnswer {
    /// What the backup is of, and its files in the order in which they are to be sent.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Opens one of its files. Reading blocks.
    ///
    /// # Errors
    /// The system refused.
    pub fn open(&self, file: &BackupFile) -> io::Result<impl io::Read + use<>> {
        self.checkpoint.open(file)
    }
}

impl Service {
    /// Makes a backup. Every write acknowledged before the call is in it.
    ///
    /// # Errors
    /// Another one is under way, no memory is left for it, or the store can't make one.
    pub async fn backup(&self) -> Result<BackupAnswer, ServiceError> {
        let turn = Arc::clone(&self.backups).try_acquire_owned().map_err(|_| ServiceError::BackupUnderWay)?;
        // One piece more is being filled.
        let pieces = self.reserve((BACKUP_PIECE_BYTES * (BACKUP_PIECES_MAX + 1)) as u64)?;
        // A task of its own: where the caller goes away or has waited enough, the copy is made all the same, and the turn is its until then.
        let store = Arc::clone(&self.store);
        let making = tokio::spawn(async move { (store.checkpoint().await, turn, pieces) });
        let made = tokio::time::timeout(Duration::from_millis(CHECKPOINT_WAIT_MS_MAX), making).await;
        let made = made.map_err(|_| StoreError::Checkpoint("it took too long; the disk may be busy".into()))?;
        let (checkpoint, turn, pieces) = made.map_err(|error| StoreError::Checkpoint(error.to_string()))?;
        let checkpoint = checkpoint?;
        let Position { revision, stamp } = checkpoint.position();
        let files = checkpoint.files().to_vec();
        let manifest = Manifest::new(env!("CARGO_PKG_VERSION"), checkpoint.identity(), revision, stamp, files);
        Ok(BackupAnswer { manifest, checkpoint, _pieces: pieces, _turn: turn })
    }
}

//! A generation: one opened database with its cache, its position and what changed in it lately. `replace` swaps all of it at once.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use kvstore_types::Revision;
use parking_lot::{Mutex, RwLock};
use rocksdb::{ColumnFamily, DB, Error, ErrorKind, WriteBatch, checkpoint::Checkpoint};

use super::{
    entry_cache::EntryCache,
    freeing::Freeing,
    layout::{self, EXPIRY, FAMILIES, META, META_PREFIX, POSITION, REQUESTS, VALUES},
    options::Shared,
    recent::RecentChanges,
    wal,
};
use crate::{Durability, EngineError, OpenError, Position, trims_at_once};

/// Counts generations, so that what was read from one is not taken for another's.
static OPENED: AtomicU64 = AtomicU64::new(0);

pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) db: DB,
    log: wal::Ahead,
    pub(super) cache: EntryCache,
    pub(super) recent: Mutex<RecentChanges>,
    position: RwLock<Position>,
    /// Bytes of idempotency records.
    pub(super) request_bytes: Mutex<u64>,
    pub(super) read_only: bool,
    /// Set once another generation took its place: where its files lie.
    obsolete: OnceLock<PathBuf>,
    _freeing: Option<Freeing>,
}

impl Generation {
    /// Checks the log, then opens the database.
    pub(super) fn open(path: &Path, damaged: &Path, shared: &Shared) -> Result<Self, OpenError> {
        let checked = wal::check(path, damaged).map_err(|error| OpenError::Damaged(error.to_string()))?;
        tracing::debug!(records = checked.records, bytes = checked.bytes, "the log was checked");
        let (db, read_only) = open_db(path, shared)?;
        let stored = db
            .cf_handle(META)
            .ok_or_else(|| OpenError::Damaged("the column family meta is missing".into()))
            .and_then(|meta| db.get_cf(meta, POSITION).map_err(|error| OpenError::Damaged(error.to_string())))?;
        let (position, request_bytes) = match stored {
            Some(bytes) => layout::decode_position(&bytes).map_err(|error| OpenError::Damaged(error.to_string()))?,
            None => (Position::default(), 0),
        };
        if let Some(cut) = checked.cut {
            report_cut(&cut, position.revision);
        }
        Ok(Self {
            number: OPENED.fetch_add(1, Ordering::Relaxed),
            db,
            log: wal::Ahead::new(path),
            cache: EntryCache::new(shared.plan.entry_cache),
            recent: Mutex::new(RecentChanges::new()),
            position: RwLock::new(position),
            request_bytes: Mutex::new(request_bytes),
            read_only,
            obsolete: OnceLock::new(),
            _freeing: trims_at_once(path).then(|| Freeing::of(path)),
        })
    }

    pub(super) fn position(&self) -> Position {
        *self.position.read()
    }

    /// Makes a position visible. Everything up to it must be readable already.
    pub(super) fn publish(&self, position: Position) {
        *self.position.write() = position;
    }

    /// Leaves out revisions: those that were given after a backup must not be given again, for other writes, by what was restored from it.
    pub(super) fn skip_revisions(&self, count: u64) -> Result<(), OpenError> {
        let mut position = self.position();
        position.revision.0 += count;
        let total = *self.request_bytes.lock();
        let meta = self.family(META).map_err(|error| OpenError::Damaged(error.to_string()))?;
        let written = self.db.put_cf_opt(meta, POSITION, layout::encode_position(position, total), &Shared::write_options(true));
        written.map_err(open_error)?;
        self.publish(position);
        Ok(())
    }

    /// A column family by its name. All of them are there since opening.
    pub(super) fn family(&self, name: &'static str) -> Result<&ColumnFamily, EngineError> {
        self.db.cf_handle(name).ok_or_else(|| EngineError::Damaged(format!("the column family {name} is missing")))
    }

    /// Writes a batch, to disk if `durability` says so. The caller has the only right to write.
    pub(super) fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), EngineError> {
        if durability == Durability::Synced {
            self.log.make_room(batch.size_in_bytes());
        }
        self.db.write_opt(batch, &Shared::write_options(durability == Durability::Synced)).map_err(write_error)
    }

    /// Adds to a write what a group carries.
    pub(super) fn carry(&self, write: &mut WriteBatch, meta: &[(&str, &[u8])]) -> Result<(), EngineError> {
        let family = self.family(META)?;
        for (name, value) in meta {
            write.put_cf(family, [META_PREFIX, name].concat(), value);
        }
        Ok(())
    }

    pub(super) fn meta(&self, key: &str) -> Result<Option<Bytes>, EngineError> {
        let stored = self.db.get_cf(self.family(META)?, [META_PREFIX, key].concat()).map_err(read_error)?;
        Ok(stored.map(Bytes::from))
    }

    pub(super) fn flush(&self) -> Result<(), EngineError> {
        if self.read_only {
            return Ok(());
        }
        for name in FAMILIES {
            self.db.flush_cf(self.family(name)?).map_err(write_error)?;
        }
        Ok(())
    }

    pub(super) fn checkpoint(&self, dir: &Path) -> Result<(), EngineError> {
        Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(dir)).map_err(write_error)
    }

    /// Bytes of table files and of the log, about.
    pub(super) fn used_bytes(&self) -> u64 {
        [layout::ENTRIES, VALUES, EXPIRY, REQUESTS, META]
            .into_iter()
            .filter_map(|name| {
                let family = self.db.cf_handle(name)?;
                self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size").ok()?
            })
            .sum()
    }

    /// Has the files removed when the last reader lets go of this generation.
    pub(super) fn remove_when_dropped(&self, path: PathBuf) {
        // It becomes obsolete once.
        let _ = self.obsolete.set(path);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let Some(path) = self.obsolete.get() else { return };
        self.db.cancel_all_background_work(true);
        if let Err(error) = std::fs::remove_dir_all(path) {
            tracing::warn!(path = %path.display(), %error, "a replaced database could not be removed; the next start will");
        }
    }
}

/// Opens for writing; on a disk without any room, for reading alone.
fn open_db(path: &Path, shared: &Shared) -> Result<(DB, bool), OpenError> {
    match DB::open_cf_descriptors(&shared.options, path, shared.families()) {
        Ok(db) => Ok((db, false)),
        Err(error) if error.to_string().contains("No space left on device") => {
            tracing::error!(%error, "the disk is full: the data is opened for reading only. Free some space and restart");
            DB::open_cf_descriptors_read_only(&shared.options, path, shared.families(), false).map(|db| (db, true)).map_err(open_error)
        }
        Err(error) => Err(open_error(error)),
    }
}

fn report_cut(cut: &wal::Cut, kept: Revision) {
    let (file, set_aside) = (cut.file.display(), if cut.kept { cut.set_aside.display().to_string() } else { "no room for a copy".into() });
    if cut.torn {
        tracing::warn!(%file, offset = cut.offset, bytes = cut.bytes, set_aside, last_revision = kept.0,
            "the log ended in a write that was cut off, as a crash leaves it before it is acknowledged; it is set aside");
    } else {
        tracing::error!(%file, offset = cut.offset, bytes = cut.bytes, set_aside, last_revision = kept.0,
            "the end of the log was damaged and is set aside. Writes after the last revision kept are lost: compare with what your clients were told");
    }
}

/// What RocksDB says of a failed opening.
pub(super) fn open_error(error: Error) -> OpenError {
    match error.kind() {
        ErrorKind::Corruption => OpenError::Damaged(error.to_string()),
        _ => OpenError::Other(error.to_string()),
    }
}

/// What RocksDB says of a failed read, in the engine's terms.
pub(super) fn read_error(error: Error) -> EngineError {
    match error.kind() {
        ErrorKind::Incomplete => EngineError::WouldBlock,
        ErrorKind::Corruption => EngineError::Damaged(error.to_string()),
        _ => EngineError::Read(error.to_string()),
    }
}

/// What RocksDB says of a failed write.
pub(super) fn write_error(error: Error) -> EngineError {
    EngineError::Write(error.to_string())
}

//! A database opened for reading alone: nothing in its directory changes, and no other process minds.

use std::path::Path;

use rocksdb::{DB, DBRecoveryMode};

use super::{
    generation::open_error,
    layout::{self, META, POSITION},
    options::Shared,
    wal::{self, End, Inspected},
};
use crate::{MemoryPlan, OpenError, Position};

/// Memory for looking at a database that nobody serves from, in MiB.
const MEMORY_MB: u64 = 256;

/// The database, and what was found on the way to it.
pub(super) struct ReadOnly {
    pub(super) db: DB,
    /// What stands at the end of the log and would be cut off by opening for writing.
    pub(super) end: Option<End>,
}

impl ReadOnly {
    /// Checks the log, then opens the database.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        // RocksDB would take a directory without it for a new database.
        if !path.join("CURRENT").exists() {
            return Err(OpenError::Damaged(format!("{} is missing", path.join("CURRENT").display())));
        }
        let Inspected { end, has_unused } = wal::inspect(path).map_err(|error| OpenError::Damaged(error.to_string()))?;
        let mut shared = Shared::new(MemoryPlan::from_mb(MEMORY_MB), false).map_err(open_error)?;
        if end.is_some() || has_unused {
            // What is before the end was found whole. Half a header of zeros is an error to RocksDB otherwise.
            shared.options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        }
        let db = DB::open_cf_descriptors_read_only(&shared.options, path, shared.families(), false).map_err(open_error)?;
        Ok(Self { db, end })
    }

    /// The position of the contents; `None` where nothing was ever written.
    pub(super) fn position(&self) -> Result<Option<Position>, OpenError> {
        let meta = self.db.cf_handle(META).ok_or_else(|| OpenError::Damaged("the column family meta is missing".into()))?;
        let stored = self.db.get_cf(meta, POSITION).map_err(open_error)?;
        let decoded = stored.map(|bytes| layout::decode_position(&bytes)).transpose();
        Ok(decoded.map_err(|error| OpenError::Damaged(format!("the position: {error}")))?.map(|(position, _)| position))
    }
}

/// The position of the database in this directory, as it would be served.
pub(crate) fn position(path: &Path) -> Result<Position, OpenError> {
    Ok(ReadOnly::open(path)?.position()?.unwrap_or_default())
}

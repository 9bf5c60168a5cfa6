//! The data tier of kvstore: two contracts ([`Store`] for callers, [`Engine`] for whoever orders writes) and their backends.
//!
//! It knows nothing of HTTP, settings or the command line. Backends are named in `open.rs` alone; what they must keep is
//! written down, numbered, in [`contract`], and checked by `conformance`.

mod backup_dir;
mod budget;
mod cache;
mod check;
mod checkpoint;
mod claim;
mod clock;
mod committer;
pub mod conformance;
pub mod contract;
mod embedded;
mod engine;
mod error;
mod file_system;
mod memory;
mod metrics;
mod near;
mod open;
mod postgres;
mod readers;
mod reclaim;
mod rocks;
mod store;
mod ticks;
mod tls;
mod within;

pub use backup_dir::{BackupDir, BackupError};
pub use budget::{Budget, MemoryPlan, Reservation};
pub use cache::{
    Agreement, Authority, CacheConfig, CacheMode, CacheModeError, CacheTimes, FIRST_EPOCH, Fence, FenceNode, NodeId, RedisFacts, Turn,
    is_fenced,
};
pub use check::{CheckObserver, CheckProgress, Checked, Finding};
pub use checkpoint::Checkpoint;
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::{Disk, Durability, Engine, EngineStats, Hints, Position, Proposal, ReadTier, Reclaimable, Room};
pub use error::{EngineError, OpenError, StoreError};
pub use file_system::trims_at_once;
pub use open::{
    DATA_FORMAT, EmbeddedConfig, Restored, check_database, check_embedded, distribute_postgres, examine_postgres, examine_redis, identify,
    migrate_postgres, open_cached, open_embedded, open_engine, open_memory, open_memory_engine, open_postgres, open_postgres_at,
    read_position, restore_embedded,
};
pub use postgres::{DatabaseFacts, DatabaseParts, Distributed, Migrate, Pooling, PoolingError, PostgresConfig};
pub use store::{CacheStatus, Capabilities, State, Status, Store};
pub use within::{Within, lies_within};

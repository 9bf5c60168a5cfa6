//! The data tier of kvstore: two contracts ([`Store`] for callers, [`Engine`] for whoever orders writes) and their backends.
//!
//! It knows nothing of HTTP, settings or the command line. Backends are named in `open.rs` alone; what they must keep is
//! written down, numbered, in [`contract`], and checked by `conformance`.

mod budget;
mod clock;
pub mod contract;
mod engine;
mod error;
mod store;

pub use budget::{Budget, MemoryPlan, Reservation};
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::{Durability, Engine, EngineStats, Hints, Position, Proposal, ReadTier, Reclaimable};
pub use error::{EngineError, OpenError, StoreError};
pub use store::{State, Status, Store};

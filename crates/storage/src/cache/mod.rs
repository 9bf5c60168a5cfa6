//! The cache: a [`Store`](crate::Store) that wraps a store, over Redis. It keeps the whole contract of what it wraps, and knows no
//! more of that than the trait [`Authority`].
//!
//! Under `kv:<key>` lies an entry, or that there is none (`payload.rs`). Redis may lose it, bring an old one back, or be away; none
//! of that may be seen in an answer. Two modes tell a true hit from an outdated one.
//!
//! **Validate.** A hit's revision is compared with the authority's, in one query for all readers that wait (`checks.rs`). A
//! revision is never given twice, so an equal one means the same entry. What is saved is the value: reading it and carrying it
//! over. The round trip is not.
//!
//! **Fenced.** A hit counts without a question. The fence is a record of the authority's (`authority.rs`): an epoch, open or
//! closed, and the *instance* of Redis that is used. An instance is a run of a Redis process with a name that is lost when the data
//! is. Every payload carries the epoch in which its fill began, and counts only if the fence was open in this epoch at most a lease
//! ago, on the node's monotonic clock, when the answer arrives (`lease.rs`).
//!
//! *A write marks, commits, unmarks* (`guard.rs`). Before it reaches the authority, one script sets its mark on its keys and removes
//! what is cached and the tokens of fills. After a known outcome its mark is removed. If the outcome is unknown the mark stays,
//! longer than any transaction can last.
//!
//! *A fill* needs the token that its miss was given, and no mark. Both scripts, and the mark's, refuse where the instance is not the
//! one that the connection began with.
//!
//! *A mark that is not certain*: the write is bare. Its node closes the fence (the epoch grows), waits until no lease from before
//! can be alive, and goes on. While the fence stays closed on its account, further bare writes do not wait.
//!
//! *A mark while the fence is closed* is set where this node is connected. If that is not the instance that was used last, what others
//! may still read is not removed by it, so the write waits for leases too.
//!
//! *Opening again* (`keeper.rs`). A node agrees to the opening of an epoch with an instance when none of its writes under way is
//! bare and all their marks stand in that instance (`fencing.rs`). The fence opens, with a new epoch, once every node has agreed to
//! the same. So between a write's cover and its outcome no other cover can take its place unnoticed: after a flush, or a start with
//! old data, the marks are gone, but nothing is filled in before every node has finished, or marked anew, what it had under way. The
//! removal of marks is therefore no condition of the acknowledgement, and is done in the background (`chores.rs`).
//!
//! *A node that ended* does not agree; another removes it once its beats have stood still for longer than any of its writes can
//! last. A node whose own beats did not arrive for a while asks the authority before it writes.
//!
//! *A node in validate mode* sets no marks. It never agrees, so the fence stays closed for as long as it lives.
//!
//! **Redis itself** is one connection (`link.rs`). The first error ends it for all, and requests go to the authority until a task
//! has a new one (`links.rs`), which begins with the question what it has reached. An instance with a policy that may evict marks
//! is not used in fenced mode. One that has no memory left takes marks all the same, and no fills.
//!
//! `tests/it/fence_model` is a model of the fenced mode, checked through all its interleavings within its bounds. It has no removal of
//! a node that is gone and no end of a mark's time: these rest on the bound on how late a write can take effect, which the authority
//! and `CACHE_REMOVAL_MS` keep.
//!
//! Not promised: that a Redis behind a proxy which keeps connections while it replaces the server is noticed; that writes past
//! kvstore are; that a wall clock of Redis which jumps by ten minutes keeps a mark of a write whose outcome is unknown.

mod authority;
mod checks;
mod chores;
mod compare;
mod config;
mod examine;
mod fencing;
mod guard;
mod keeper;
mod lease;
mod link;
mod links;
mod metrics;
mod names;
mod payload;
mod scripts;
mod store;

pub use authority::{Agreement, Authority, FIRST_EPOCH, Fence, FenceNode, NodeId, Turn};
pub use config::{CacheConfig, CacheMode, CacheModeError, CacheTimes};
pub use examine::RedisFacts;
pub(crate) use examine::examine;
pub(crate) use store::Cached;

/// Whether nodes of this store answer from a fenced cache now: one that writes without a cache of its own must not do so beside them.
/// `false` too where the store can't be asked.
pub async fn is_fenced(authority: &dyn Authority) -> bool {
    // Removes nobody: no node has this number and no beats.
    let turn = Turn::Remove { node: NodeId(0), beats: 0 };
    authority.fence(NodeId(0), &turn).await.is_ok_and(|fence| fence.open && !fence.nodes.is_empty())
}

/// Why a link is given up whose data is no longer there.
const REPLACED: &str = "its data was flushed or replaced";

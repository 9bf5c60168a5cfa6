//! `Authority`: the store behind the cache, with what the cache asks of it beyond [`Store`]: revisions of many keys in one query,
//! and the fence.
//!
//! The fence is one record in the authority's own data, with a row for each node that writes. The cache decides what it says; an
//! authority only keeps it, and makes each turn one transaction. It knows nothing of Redis.

use async_trait::async_trait;
use kvstore_types::{Key, Revision, Timestamp};

use crate::{Store, StoreError};

/// The epoch of a fence that was never opened.
pub const FIRST_EPOCH: u64 = 1;

/// A store that a cache can stand before.
#[async_trait]
pub trait Authority: Store {
    /// The revisions of these keys in their order, as one linearizable read finds them; `None` where a key is absent or expired.
    ///
    /// # Errors
    /// See [`StoreError`].
    async fn revisions(&self, keys: &[Key]) -> Result<Vec<Option<Revision>>, StoreError>;

    /// Takes a turn at the fence, in one transaction, and gives the fence as it is after that. What is committed by one turn is
    /// seen by each that begins after it.
    ///
    /// # Errors
    /// See [`StoreError`]. After `Unknown` the turn may have been taken.
    async fn fence(&self, node: NodeId, turn: &Turn) -> Result<Fence, StoreError>;
}

/// A running node, told from all others by a random number that it draws at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// What a node does at the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It only looks.
    Look,
    /// It enters its row, or counts up the beats in it, and says what it agrees to.
    Beat {
        /// The closed epoch that it would have opened, and the Redis in which its marks stand.
        agreed: Option<Agreement>,
    },
    /// The epoch grows by one, the fence is closed, and the node's row is entered without an agreement.
    Close,
    /// If the fence is closed, its epoch is still the one agreed to, and every row has this same agreement: the epoch grows by one
    /// and the fence is open, with the agreement's instance. Otherwise nothing changes.
    Open(Agreement),
    /// Removes the row of a node whose beats stand still, if they still do.
    Remove {
        /// Which node.
        node: NodeId,
        /// The beats that its row was seen with.
        beats: u64,
    },
    /// The node has finished its writes and leaves.
    Leave,
}

/// What a node agrees to: that all its writes under way have their marks in this instance, so that the epoch after this one may be
/// opened with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The closed epoch.
    pub epoch: u64,
    /// The Redis: its run, and what is lost when its data is.
    pub instance: String,
}

/// The fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// A random number made with the data. Entries of another store count for nothing here.
    pub store: u64,
    /// Grows by one at each closing and each opening. The first is 1, and closed.
    pub epoch: u64,
    /// Whether cached entries count.
    pub open: bool,
    /// Where marks stand while it is open.
    pub instance: String,
    /// Store time, read in this turn.
    pub now: Timestamp,
    /// Every node's row.
    pub nodes: Vec<FenceNode>,
}

/// A node's row at the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceNode {
    /// Which node.
    pub node: NodeId,
    /// How often it has taken a turn that enters its row.
    pub beats: u64,
    /// What it agrees to.
    pub agreed: Option<Agreement>,
}

impl Fence {
    /// What a turn does. An authority reads the fence, has it take the turn, and keeps what it says then, all in one transaction.
    pub fn take(&mut self, node: NodeId, turn: &Turn) {
        match turn {
            Turn::Look => {}
            Turn::Beat { agreed } => self.beat(node, agreed.clone()),
            Turn::Close => {
                self.epoch += 1;
                self.open = false;
                self.beat(node, None);
            }
            Turn::Open(agreement) => {
                let all = self.nodes.iter().all(|row| row.agreed.as_ref() == Some(agreement));
                if !self.open && self.epoch == agreement.epoch && all {
                    self.epoch += 1;
                    self.open = true;
                    self.instance.clone_from(&agreement.instance);
                }
            }
            Turn::Remove { node, beats } => self.nodes.retain(|row| (row.node, row.beats) != (*node, *beats)),
            Turn::Leave => self.nodes.retain(|row| row.node != node),
        }
    }

    fn beat(&mut self, node: NodeId, agreed: Option<Agreement>) {
        match self.nodes.iter_mut().find(|row| row.node == node) {
            Some(row) => (row.beats, row.agreed) = (row.beats + 1, agreed),
            None => self.nodes.push(FenceNode { node, beats: 1, agreed }),
        }
    }
}

//! `Names`: texts that nobody else uses, for marks, tokens and instances.

use std::sync::atomic::{AtomicU64, Ordering};

use super::authority::NodeId;

/// Draws names for one node.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) node: NodeId,
    last: AtomicU64,
}

impl Names {
    /// Draws the node's number.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { node: NodeId(getrandom::u64()?), last: AtomicU64::new(0) })
    }

    /// A name that was never given.
    pub(super) fn next(&self) -> String {
        format!("{:016x}-{:x}", self.node.0, self.last.fetch_add(1, Ordering::Relaxed))
    }
}

//! Health: whether this node can serve, asked through the whole data tier.

use std::time::Duration;

use kvstore_storage::{State, Status};

use crate::{OtherNodes, Service};

/// How long the probe of the data tier may take before the node counts as unhealthy.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct Health {
    /// What the store says.
    pub status: Status,
    /// How long a read through the data tier took; `None` if it failed or took too long.
    pub probe: Option<Duration>,
    /// The other nodes, as they were when they were last asked.
    pub others: OtherNodes,
}

impl Health {
    /// Whether the node can serve reads.
    #[must_use]
    pub fn can_serve(&self) -> bool {
        self.probe.is_some() && matches!(self.status.state, State::Ready | State::DiskFull | State::ReadOnly)
    }

    /// Whether the node takes every kind of write.
    #[must_use]
    pub fn can_accept_writes(&self) -> bool {
        self.can_serve() && self.status.state == State::Ready
    }
}

impl Service {
    /// Asks the data tier how it is. Never waits longer than two seconds.
    pub async fn health(&self) -> Health {
        let probe = tokio::time::timeout(PROBE_WAIT, self.store.probe()).await;
        Health { status: self.store.status(), probe: probe.ok().and_then(Result::ok), others: self.others.clone() }
    }
}

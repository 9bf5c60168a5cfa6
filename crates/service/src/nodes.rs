//! The other nodes on the same database, as health tells of them. Whoever asks them is outside of this tier, and notes here what they said;
//! health only reads it, so it never waits for another node.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use kvstore_storage::State;

/// How another node was when it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It was not asked yet.
    NotAsked,
    /// It did not answer in time, or can't be reached.
    Silent,
    /// Something answers there, but not as a node does.
    Foreign,
    /// What it said of its store.
    Told(State),
}

impl NodeState {
    const ALL: [Self; 9] = [
        Self::NotAsked,
        Self::Silent,
        Self::Foreign,
        Self::Told(State::Ready),
        Self::Told(State::DiskFull),
        Self::Told(State::ReadOnly),
        Self::Told(State::Unreachable),
        Self::Told(State::Stopping),
        Self::Told(State::Failed),
    ];

    /// The state's name in answers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::Silent => "silent",
            Self::Foreign => "foreign",
            Self::Told(state) => state.as_str(),
        }
    }

    /// Whether the node can serve.
    #[must_use]
    pub const fn serves(self) -> bool {
        matches!(self, Self::Told(State::Ready | State::DiskFull | State::ReadOnly))
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug)]
struct Other {
    url: String,
    /// A place in `NodeState::ALL`.
    state: AtomicU8,
}

/// The other nodes. Cheap to clone; clones share what is noted.
#[derive(Debug, Clone, Default)]
pub struct OtherNodes(Arc<[Other]>);

impl OtherNodes {
    /// These nodes, by their URLs. None was asked yet.
    #[must_use]
    pub fn new(urls: impl IntoIterator<Item = String>) -> Self {
        Self(urls.into_iter().map(|url| Other { url, state: AtomicU8::new(0) }).collect())
    }

    /// Notes how the node at this place is, and gives how it was before.
    pub fn note(&self, at: usize, state: NodeState) -> NodeState {
        let Some(other) = self.0.get(at) else { return NodeState::NotAsked };
        let place = NodeState::ALL.iter().position(|known| *known == state).unwrap_or_default();
        state_at(other.state.swap(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed))
    }

    /// Each node's URL and how it was when it was last asked, in the order that they were given.
    pub fn states(&self) -> impl Iterator<Item = (&str, NodeState)> {
        self.0.iter().map(|other| (&*other.url, state_at(other.state.load(Ordering::Relaxed))))
    }
}

fn state_at(place: u8) -> NodeState {
    NodeState::ALL.get(usize::from(place)).copied().unwrap_or(NodeState::NotAsked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_told() {
        let nodes = OtherNodes::new(["a".to_owned(), "b".to_owned()]);
        let noted = nodes.clone();
        assert_eq!(nodes.states().collect::<Vec<_>>(), [("a", NodeState::NotAsked), ("b", NodeState::NotAsked)]);
        let mut before = NodeState::NotAsked;
        for state in NodeState::ALL {
            assert_eq!(noted.note(1, state), before);
            assert_eq!(nodes.states().last(), Some(("b", state)));
            before = state;
        }
        assert_eq!(nodes.states().next(), Some(("a", NodeState::NotAsked)));
        assert_eq!(noted.note(2, NodeState::Silent), NodeState::NotAsked, "there is no third node");
    }
}

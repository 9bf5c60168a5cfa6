//! The state of the model: the authority, a Redis, and two nodes with what each knows and has under way.
//!
//! There is one key, and its value is the number of writes that were committed. Time is left out: a lease ends at any moment by an
//! action, and a wait for leases ends once every older one has. Epochs, runs and names are small numbers.

pub(super) const NODES: usize = 2;
pub(super) const WRITES: usize = 2;
/// The first run of the second process.
pub(super) const SECOND_RUN: u8 = 100;

/// Which data a Redis holds: its run, and what is lost when the data is.
pub(super) type Instance = (u8, u8);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct State {
    // The authority.
    pub(super) value: u8,
    pub(super) fence: Fence,
    pub(super) rows: [Option<Agreement>; NODES],
    /// Two processes, of which the second is what a failover leads to: nodes may for a while be divided between them.
    pub(super) redis: [Redis; 2],
    /// What Redis had at some time: it starts again with that, and the second process begins with it.
    pub(super) disk: Option<Data>,
    pub(super) nodes: [Node; NODES],
    pub(super) writes: [Write; WRITES],
    pub(super) reads_left: u8,
    pub(super) faults_left: u8,
    /// A read gave less than was its floor.
    pub(super) stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Fence {
    pub(super) epoch: u8,
    pub(super) open: bool,
    pub(super) instance: Instance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Agreement {
    pub(super) epoch: u8,
    pub(super) instance: Instance,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Redis {
    pub(super) run: u8,
    /// How many instances were named.
    pub(super) named: u8,
    pub(super) data: Data,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Data {
    pub(super) instance: Option<Instance>,
    /// The epoch that it carries, and the value.
    pub(super) payload: Option<(u8, u8)>,
    /// Whose token stands.
    pub(super) token: Option<u8>,
    /// A bit for each write whose mark stands.
    pub(super) marks: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node {
    /// What it last saw of the fence.
    pub(super) seen: Fence,
    /// Whether that counts still, for hits.
    pub(super) leased: bool,
    pub(super) link: Option<Instance>,
    pub(super) cut_off: bool,
    /// Which process it reaches when it connects.
    pub(super) side: u8,
    /// The epoch in which it knew the fence closed, if it has not agreed to an opening since.
    pub(super) closed: Option<u8>,
    pub(super) agreed: Option<Agreement>,
    pub(super) read: Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Read {
    None,
    /// The question is on its way, on this link. A write may be seen by a reader of the authority as soon as it is committed, so
    /// what was committed when a read began is its floor.
    Asked {
        floor: u8,
        link: Instance,
    },
    /// The answer is on its way.
    Answered {
        floor: u8,
        link: Instance,
        payload: Option<(u8, u8)>,
    },
    /// It was a miss, in this epoch.
    Missed {
        link: Instance,
        epoch: u8,
    },
    /// It has a token, or does without one.
    Fetching {
        link: Instance,
        epoch: u8,
    },
    /// What was read is on its way into Redis.
    Filling {
        link: Instance,
        epoch: u8,
        value: u8,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Write {
    /// It was not begun.
    None,
    /// Its mark is on its way.
    Marking { node: u8, link: Instance },
    /// Its mark may be there or not; it needs the closed fence.
    Uncovered { node: u8, cover: Option<Instance> },
    /// It waits until the leases from before this epoch have ended.
    Waiting { node: u8, closed: u8 },
    /// It may be committed at any moment. `cover` is where its mark is; none: it is bare.
    Ready { node: u8, cover: Option<Instance> },
    /// Its node has given up on it; it may be committed at any moment all the same.
    Unknown { node: u8, cover: Option<Instance> },
    /// It was committed and acknowledged. Its mark, if it has one, is still to be removed.
    Acknowledged { marked: Option<Instance> },
    /// Nothing is left of it.
    Ended,
}

impl Write {
    /// Whose it is, and its cover as its node knows it, while it may yet take effect or is not acknowledged.
    pub(super) const fn under_way(self) -> Option<(u8, Option<Instance>)> {
        match self {
            Self::Marking { node, link } => Some((node, Some(link))),
            Self::Ready { node, cover } | Self::Unknown { node, cover } => Some((node, cover)),
            Self::Uncovered { node, cover: Some(link) } => Some((node, Some(link))),
            Self::Waiting { node, .. } => Some((node, None)),
            // Not entered yet: it will find that its node has agreed, and close anew.
            Self::Uncovered { cover: None, .. } | Self::None | Self::Acknowledged { .. } | Self::Ended => None,
        }
    }
}

impl State {
    /// The data that is reached on this link, if its process still runs.
    pub(super) fn data(&mut self, link: Instance) -> Option<&mut Data> {
        self.redis.iter_mut().find(|redis| redis.run == link.0).map(|redis| &mut redis.data)
    }

    /// The nodes are alike, so of two states that differ in their names alone one is enough.
    pub(super) fn named_in_order(mut self) -> Self {
        if self.nodes[0] <= self.nodes[1] {
            return self;
        }
        self.nodes.reverse();
        self.rows.reverse();
        let other = |node: u8| 1 - node;
        for redis in &mut self.redis {
            redis.data.token = redis.data.token.map(other);
        }
        if let Some(disk) = &mut self.disk {
            disk.token = disk.token.map(other);
        }
        for write in &mut self.writes {
            match write {
                Write::Marking { node, .. }
                | Write::Uncovered { node, .. }
                | Write::Waiting { node, .. }
                | Write::Ready { node, .. }
                | Write::Unknown { node, .. } => *node = other(*node),
                Write::None | Write::Acknowledged { .. } | Write::Ended => {}
            }
        }
        self
    }

    pub(super) fn first(reads: u8, faults: u8) -> Self {
        // The fence is open and both nodes are at work: how it comes to that is part of every way back from a fault.
        let instance = (1, 1);
        let fence = Fence { epoch: 2, open: true, instance };
        let node =
            Node { seen: fence, leased: true, link: Some(instance), cut_off: false, side: 0, closed: None, agreed: None, read: Read::None };
        Self {
            value: 0,
            fence,
            rows: [None; NODES],
            redis: [
                Redis { run: 1, named: 1, data: Data { instance: Some(instance), ..Data::default() } },
                Redis { run: SECOND_RUN, named: 0, data: Data::default() },
            ],
            disk: None,
            nodes: [node.clone(), node],
            writes: [Write::None; WRITES],
            reads_left: reads,
            faults_left: faults,
            stale: false,
        }
    }
}

//! The steps of the protocol, and of what goes wrong. Each is one action: what happens in one place, at once.

use stateright::{Model, Property};

use super::{
    Flaw,
    state::{Agreement, Instance, NODES, Read, State, WRITES, Write},
};

/// The model, with its bounds, and perhaps a deliberate fault.
#[derive(Debug, Clone)]
pub(super) struct Fenced {
    pub(super) flaw: Flaw,
    pub(super) reads: u8,
    pub(super) faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    // The authority.
    Look(usize),
    LeaseEnds(usize),
    SendAgreement(usize),
    Agree(usize),
    Open(usize),
    CloseForLink(usize),
    ReadAuthority,
    // Links.
    Attach(usize),
    // A write: which one, and of which node.
    Begin(usize, usize),
    Mark(usize),
    MarkFails(usize),
    Close(usize),
    WaitEnds(usize),
    GiveUp(usize),
    Commit(usize),
    Acknowledge(usize),
    Unmark(usize),
    MarkAgain(usize),
    // A read.
    Ask(usize),
    Answer(usize),
    Arrive(usize),
    Token(usize),
    TokenEnds,
    Fetch(usize),
    Fill(usize),
    FillIsLost(usize),
    // Faults.
    LoseMarkReply(usize),
    Flush,
    Save,
    Restart,
    CutOff(usize),
    Heal(usize),
}

impl Model for Fenced {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self.reads, self.faults)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        use Action::*;
        for node in 0..NODES {
            actions.extend([Look, LeaseEnds, SendAgreement, Agree, Open, CloseForLink, Attach].map(|action| action(node)));
            actions.extend([Ask, Answer, Arrive, Token, Fetch, Fill, FillIsLost].map(|action| action(node)));
            if state.faults_left > 0 {
                actions.push(CutOff(node));
            }
            actions.push(Heal(node));
        }
        for write in 0..WRITES {
            actions.extend((0..NODES).map(|node| Begin(write, node)));
            actions.extend([Mark, MarkFails, Close, WaitEnds, Commit, Acknowledge, Unmark, MarkAgain].map(|action| action(write)));
            if state.faults_left > 0 {
                actions.extend([LoseMarkReply(write), GiveUp(write)]);
            }
        }
        if state.faults_left > 0 {
            actions.extend([Flush, Restart]);
        }
        actions.extend([ReadAuthority, TokenEnds, Save]);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let happened = match action {
            Action::Begin(..)
            | Action::Mark(_)
            | Action::MarkFails(_)
            | Action::Close(_)
            | Action::WaitEnds(_)
            | Action::GiveUp(_)
            | Action::Commit(_)
            | Action::Acknowledge(_)
            | Action::Unmark(_)
            | Action::MarkAgain(_)
            | Action::LoseMarkReply(_) => self.write(&mut state, action),
            Action::Ask(node) | Action::Answer(node) | Action::Arrive(node) | Action::Token(node) => self.read(&mut state, action, node),
            Action::Fetch(node) | Action::Fill(node) | Action::FillIsLost(node) => self.fill(&mut state, action, node),
            Action::Flush | Action::Save | Action::Restart | Action::CutOff(_) | Action::Heal(_) => fault(&mut state, action),
            _ => self.keep(&mut state, action),
        };
        // An action that changes nothing is none.
        (happened.is_some() && state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no read is older than what was told before it began", |_, state: &State| !state.stale),
            Property::sometimes("reads are answered by the cache after a fault", |_, state: &State| {
                state.hits > 0 && state.value == WRITES as u8 && state.faults_left == 0 && state.fence.epoch > 2
            }),
        ]
    }
}

impl Fenced {
    /// The keeper's steps, and those that nobody does.
    fn keep(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Look(at) => see(state, at),
            Action::LeaseEnds(at) => state.nodes[at].leased = false,
            Action::Agree(at) => {
                let node = &state.nodes[at];
                let instance = node.link.filter(|_| !node.seen.open)?;
                let agreement = Agreement { epoch: node.seen.epoch, instance };
                let mut own = state.writes.iter().filter_map(|write| write.under_way()).filter(|(owner, _)| usize::from(*owner) == at);
                let all_there = own.all(|(_, cover)| cover == Some(instance));
                if node.agreed == Some(agreement) || !(all_there || self.flaw == Flaw::AgreesWithBareWrites) {
                    return None;
                }
                state.nodes[at].closed = None;
                state.nodes[at].agreed = Some(agreement);
            }
            Action::SendAgreement(at) => state.rows[at] = state.nodes[at].agreed,
            Action::Open(at) => {
                let agreement = state.nodes[at].agreed?;
                let all = state.rows.iter().all(|row| *row == Some(agreement)) || self.flaw == Flaw::OpensWithoutAgreement;
                if state.fence.open || state.fence.epoch != agreement.epoch || !all {
                    return None;
                }
                state.fence.epoch += 1;
                state.fence.open = true;
                state.fence.instance = agreement.instance;
                see(state, at);
            }
            Action::CloseForLink(at) => {
                let node = &state.nodes[at];
                if !node.seen.open || node.link.is_none_or(|link| link == node.seen.instance) || node.closed.is_some() {
                    return None;
                }
                close(state, at);
            }
            Action::ReadAuthority => state.floor = state.floor.max(state.value),
            Action::Attach(at) => {
                if state.nodes[at].link.is_some() || state.nodes[at].cut_off {
                    return None;
                }
                state.nodes[at].link = Some(attach(state));
            }
            Action::TokenEnds => state.redis.data.token = None,
            _ => return None,
        }
        Some(())
    }

    fn write(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Begin(at, node) => {
                // Writes are told apart by their places alone, so they begin in order.
                if state.writes[at] != Write::None || (at > 0 && state.writes[at - 1] == Write::None) {
                    return None;
                }
                let owner = &state.nodes[node];
                let looked_at = |link: &Instance| {
                    if owner.seen.open {
                        owner.seen.instance == *link
                    } else {
                        owner.agreed.is_none_or(|agreed| agreed.epoch < owner.seen.epoch || agreed.instance == *link)
                    }
                };
                let node = node as u8;
                state.writes[at] = match owner.link.filter(looked_at) {
                    Some(link) if self.flaw == Flaw::SetsNoMark => Write::Ready { node, cover: Some(link) },
                    Some(link) => Write::Marking { node, link },
                    None => Write::Uncovered { node, cover: None },
                };
            }
            Action::Mark(at) | Action::LoseMarkReply(at) => {
                let Write::Marking { node, link } = state.writes[at] else { return None };
                if !self.reaches(state, link) || state.nodes[usize::from(node)].cut_off {
                    return None;
                }
                let data = &mut state.redis.data;
                data.payload = None;
                data.token = None;
                data.marks |= 1 << at;
                state.writes[at] = Write::Ready { node, cover: Some(link) };
                if matches!(action, Action::LoseMarkReply(_)) {
                    state.faults_left -= 1;
                    state.nodes[usize::from(node)].link = None;
                    state.writes[at] = Write::Uncovered { node, cover: Some(link) };
                }
            }
            Action::MarkFails(at) => {
                let Write::Marking { node, link } = state.writes[at] else { return None };
                // Without a fault in its way a mark does not fail.
                if self.reaches(state, link) && !state.nodes[usize::from(node)].cut_off {
                    return None;
                }
                state.nodes[usize::from(node)].link = None;
                state.writes[at] = Write::Uncovered { node, cover: Some(link) };
            }
            Action::Close(at) => {
                let Write::Uncovered { node, .. } = state.writes[at] else { return None };
                let owner = &state.nodes[usize::from(node)];
                let agreed_already = owner.agreed.is_some_and(|agreed| agreed.epoch >= owner.seen.epoch);
                if owner.closed.is_none() && !owner.seen.open && !agreed_already {
                    state.nodes[usize::from(node)].closed = Some(owner.seen.epoch);
                } else if owner.closed.is_none() {
                    close(state, node.into());
                }
                let closed = state.nodes[usize::from(node)].closed?;
                state.writes[at] = Write::Waiting { node, closed };
            }
            Action::WaitEnds(at) => {
                let Write::Waiting { node, closed } = state.writes[at] else { return None };
                let out = state.nodes.iter().any(|node| node.leased && node.seen.epoch < closed);
                if out && self.flaw != Flaw::WaitsForNoLease {
                    return None;
                }
                state.writes[at] = Write::Ready { node, cover: None };
            }
            Action::GiveUp(at) => {
                let Write::Ready { node, cover } = state.writes[at] else { return None };
                state.faults_left -= 1;
                state.writes[at] = Write::Unknown { node, cover };
            }
            Action::Commit(at) => {
                state.writes[at] = match state.writes[at] {
                    Write::Ready { node, cover } => Write::Committed { node, cover, value: state.value + 1 },
                    // Nobody waits for it. Its mark, if there is one, stands until its time is over.
                    Write::Unknown { .. } => Write::Ended,
                    _ => return None,
                };
                state.value += 1;
            }
            Action::Acknowledge(at) => {
                let Write::Committed { cover, value, .. } = state.writes[at] else { return None };
                state.floor = state.floor.max(value);
                state.writes[at] = Write::Acknowledged { marked: cover.is_some() };
            }
            Action::Unmark(at) => {
                let Write::Acknowledged { marked } = state.writes[at] else { return None };
                if marked {
                    let data = &mut state.redis.data;
                    data.payload = None;
                    data.token = None;
                    data.marks &= !(1 << at);
                }
                state.writes[at] = Write::Ended;
            }
            Action::MarkAgain(at) => {
                let Write::Unknown { node, cover } = state.writes[at] else { return None };
                let link = state.nodes[usize::from(node)].link?;
                if cover == Some(link) || !self.reaches(state, link) {
                    return None;
                }
                let data = &mut state.redis.data;
                data.payload = None;
                data.token = None;
                data.marks |= 1 << at;
                state.writes[at] = Write::Unknown { node, cover: Some(link) };
            }
            _ => return None,
        }
        Some(())
    }

    fn read(&self, state: &mut State, action: Action, at: usize) -> Option<()> {
        let node = &state.nodes[at];
        let vouched = |link: Instance| (node.leased && node.seen.open && node.seen.instance == link).then_some(node.seen.epoch);
        let next = match (action, node.read) {
            (Action::Ask(_), Read::None) if state.reads_left > 0 => {
                let link = node.link?;
                let vouched = Some(vouched(link)?);
                state.reads_left -= 1;
                Read::Asked { floor: state.floor, link, vouched }
            }
            (Action::Answer(_), Read::Asked { floor, link, vouched }) => {
                if state.redis.run == link.0 && !node.cut_off {
                    Read::Answered { floor, link, vouched, payload: state.redis.data.payload }
                } else {
                    state.nodes[at].link = None;
                    Read::None
                }
            }
            (Action::Arrive(_), Read::Answered { floor, link, vouched: before, payload }) => {
                let vouched = if self.flaw == Flaw::ChecksTheLeaseBefore { before } else { vouched(link) };
                match payload {
                    Some((epoch, value)) if vouched == Some(epoch) => {
                        state.stale |= value < floor;
                        state.floor = state.floor.max(value);
                        state.hits = 1;
                        Read::None
                    }
                    _ => Read::Missed { link, epoch: node.seen.epoch },
                }
            }
            (Action::Token(_), Read::Missed { link, epoch }) => {
                let data = &state.redis.data;
                let flawed = self.flaw == Flaw::FillsWithoutAToken;
                if flawed || (self.reaches(state, link) && !node.cut_off && data.token.is_none() && data.marks == 0) {
                    state.redis.data.token = Some(at as u8);
                    Read::Fetching { link, epoch }
                } else {
                    Read::None
                }
            }
            _ => return None,
        };
        state.nodes[at].read = next;
        Some(())
    }

    fn fill(&self, state: &mut State, action: Action, at: usize) -> Option<()> {
        let next = match (action, state.nodes[at].read) {
            (Action::Fetch(_), Read::Fetching { link, epoch }) => {
                state.floor = state.floor.max(state.value);
                Read::Filling { link, epoch, value: state.value }
            }
            (Action::Fill(_), Read::Filling { link, epoch, value }) => {
                let epoch = if self.flaw == Flaw::StampsTheEpochOfTheFill { state.nodes[at].seen.epoch } else { epoch };
                let data = &state.redis.data;
                let holds = data.token == Some(at as u8) && data.marks == 0;
                if self.reaches(state, link) && (holds || self.flaw == Flaw::FillsWithoutAToken) {
                    state.redis.data.payload = Some((epoch, value));
                    state.redis.data.token = None;
                }
                Read::None
            }
            (Action::FillIsLost(_), Read::Filling { .. }) => Read::None,
            _ => return None,
        };
        state.nodes[at].read = next;
        Some(())
    }

    /// Whether a script sent on this link runs, and finds the instance that it names.
    fn reaches(&self, state: &State, link: Instance) -> bool {
        state.redis.run == link.0 && (state.redis.data.instance == Some(link) || self.flaw == Flaw::AsksForNoInstance)
    }
}

fn see(state: &mut State, at: usize) {
    let node = &mut state.nodes[at];
    node.seen = state.fence;
    node.leased = true;
}

fn close(state: &mut State, at: usize) {
    state.fence.epoch += 1;
    state.fence.open = false;
    state.rows[at] = None;
    see(state, at);
    let node = &mut state.nodes[at];
    node.agreed = None;
    node.closed = Some(state.fence.epoch);
}

fn attach(state: &mut State) -> Instance {
    let redis = &mut state.redis;
    match redis.data.instance {
        Some(instance) if instance.0 == redis.run => instance,
        _ => {
            redis.named += 1;
            *redis.data.instance.insert((redis.run, redis.named))
        }
    }
}

fn fault(state: &mut State, action: Action) -> Option<()> {
    match action {
        Action::Flush => {
            state.faults_left -= 1;
            state.redis.data = super::state::Data::default();
        }
        // Once, and only what is worth keeping.
        Action::Save => {
            if state.disk.is_some() || state.redis.data.payload.is_none() {
                return None;
            }
            state.disk = Some(state.redis.data.clone());
        }
        Action::Restart => {
            state.faults_left -= 1;
            state.redis.run += 1;
            state.redis.data = state.disk.clone().unwrap_or_default();
        }
        Action::CutOff(at) => {
            if state.nodes[at].cut_off {
                return None;
            }
            state.faults_left -= 1;
            state.nodes[at].cut_off = true;
        }
        Action::Heal(at) => state.nodes[at].cut_off = false,
        _ => return None,
    }
    Some(())
}

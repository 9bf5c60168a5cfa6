//! The steps of the protocol, and of what goes wrong. Each is one action: what happens in one place, at once.

use stateright::{Model, Property};

use super::{
    Flaw,
    state::{Agreement, Data, Instance, NODES, Read, State, WRITES, Write},
};

/// The model, with its bounds, and perhaps a deliberate fault.
#[derive(Debug, Clone)]
pub(super) struct Fenced {
    pub(super) flaw: Flaw,
    pub(super) writes: usize,
    pub(super) reads: u8,
    pub(super) faults: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    // The authority.
    Look(usize),
    LeaseEnds(usize),
    Agree(usize),
    SendAgreement(usize),
    Open(usize),
    CloseForLink(usize),
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
    Restart,
    CutOff(usize),
    Divert(usize),
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
            actions.extend([Look, LeaseEnds, Agree, SendAgreement, Open, CloseForLink, Attach].map(|action| action(node)));
            actions.extend([Ask, Answer, Arrive, Token, Fetch, Fill, FillIsLost].map(|action| action(node)));
            if state.faults_left > 0 {
                actions.extend([CutOff(node), Divert(node)]);
            }
            actions.push(Heal(node));
        }
        for write in 0..WRITES {
            actions.extend((0..NODES).map(|node| Begin(write, node)));
            actions.extend([Mark, MarkFails, Close, WaitEnds, Commit, Unmark, MarkAgain].map(|action| action(write)));
            if state.faults_left > 0 {
                actions.extend([LoseMarkReply(write), GiveUp(write)]);
            }
        }
        if state.faults_left > 0 {
            actions.extend([Flush, Restart]);
        }
        actions.push(TokenEnds);
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
            | Action::Unmark(_)
            | Action::MarkAgain(_)
            | Action::LoseMarkReply(_) => self.write(&mut state, action),
            Action::Ask(node) | Action::Answer(node) | Action::Arrive(node) | Action::Token(node) => self.read(&mut state, action, node),
            Action::Fetch(node) | Action::Fill(node) | Action::FillIsLost(node) => self.fill(&mut state, action, node),
            Action::Flush | Action::Restart | Action::CutOff(_) | Action::Divert(_) | Action::Heal(_) => fault(&mut state, action),
            _ => self.keep(&mut state, action),
        };
        // An action that changes nothing is none.
        (happened.is_some() && state != *last).then(|| state.named_in_order())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no read is older than what was told before it began", |_, state: &State| !state.stale),
            Property::sometimes("the cache answers again after a fault", |_, state: &State| {
                let payload = Some((state.fence.epoch, state.value));
                let counts =
                    state.redis.iter().any(|redis| redis.data.instance == Some(state.fence.instance) && redis.data.payload == payload);
                state.fence.open && state.fence.epoch > 2 && counts && state.value > 0 && state.faults_left == 0
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
                // It has agreed to another instance: marks were set there since.
                if node.agreed.is_some_and(|agreed| agreed.epoch >= agreement.epoch) && self.flaw != Flaw::AgreesAnew {
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
                let link = node.link?;
                let elsewhere = node.seen.open && link != node.seen.instance;
                let otherwise = node.agreed.is_some_and(|agreed| agreed.epoch >= node.seen.epoch && agreed.instance != link);
                if !(elsewhere || otherwise) || node.closed.is_some() {
                    return None;
                }
                close(state, at);
            }
            Action::Attach(at) => {
                if state.nodes[at].link.is_some() || state.nodes[at].cut_off {
                    return None;
                }
                state.nodes[at].link = Some(attach(state, at));
            }
            Action::TokenEnds => state.redis.iter_mut().for_each(|redis| redis.data.token = None),
            _ => return None,
        }
        Some(())
    }

    fn write(&self, state: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Begin(at, node) => {
                // Writes are told apart by their places alone, so they begin in order.
                if at >= self.writes || state.writes[at] != Write::None || (at > 0 && state.writes[at - 1] == Write::None) {
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
                if state.nodes[usize::from(node)].cut_off {
                    return None;
                }
                let data = self.reached(state, link)?;
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
                if self.reached(state, link).is_some() && !state.nodes[usize::from(node)].cut_off {
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
                    Write::Ready { cover, .. } => Write::Acknowledged { marked: cover },
                    // Nobody waits for it. Its mark, if there is one, stands until its time is over.
                    Write::Unknown { .. } => Write::Ended,
                    _ => return None,
                };
                state.value += 1;
            }
            Action::Unmark(at) => {
                let Write::Acknowledged { marked } = state.writes[at] else { return None };
                if let Some(data) = marked.and_then(|link| state.data(link)) {
                    data.payload = None;
                    data.token = None;
                    data.marks &= !(1 << at);
                }
                state.writes[at] = Write::Ended;
            }
            Action::MarkAgain(at) => {
                let Write::Unknown { node, cover } = state.writes[at] else { return None };
                let link = state.nodes[usize::from(node)].link?;
                if cover == Some(link) {
                    return None;
                }
                let data = self.reached(state, link)?;
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
        let leased = node.leased || self.flaw == Flaw::CountsAnEndedLease;
        let vouched = |link: Instance| (leased && node.seen.open && node.seen.instance == link).then_some(node.seen.epoch);
        let next = match (action, node.read) {
            (Action::Ask(_), Read::None) if state.reads_left > 0 => {
                let link = node.link?;
                vouched(link)?;
                state.reads_left -= 1;
                Read::Asked { floor: state.value, link }
            }
            (Action::Answer(_), Read::Asked { floor, link }) => {
                let cut_off = node.cut_off;
                match state.data(link) {
                    Some(data) if !cut_off => Read::Answered { floor, link, payload: data.payload },
                    _ => {
                        state.nodes[at].link = None;
                        Read::None
                    }
                }
            }
            (Action::Arrive(_), Read::Answered { floor, link, payload }) => match payload {
                Some((epoch, value)) if vouched(link) == Some(epoch) => {
                    state.stale |= value < floor;
                    Read::None
                }
                _ => Read::Missed { link, epoch: node.seen.epoch },
            },
            (Action::Token(_), Read::Missed { link, epoch }) => {
                let cut_off = node.cut_off;
                let free = |data: &Data| (data.token.is_none() && data.marks == 0) || self.flaw == Flaw::FillsWithoutAToken;
                match self.reached(state, link) {
                    Some(data) if !cut_off && free(data) => {
                        data.token = Some(at as u8);
                        Read::Fetching { link, epoch }
                    }
                    _ => Read::None,
                }
            }
            _ => return None,
        };
        state.nodes[at].read = next;
        Some(())
    }

    fn fill(&self, state: &mut State, action: Action, at: usize) -> Option<()> {
        let next = match (action, state.nodes[at].read) {
            (Action::Fetch(_), Read::Fetching { link, epoch }) => Read::Filling { link, epoch, value: state.value },
            (Action::Fill(_), Read::Filling { link, epoch, value }) => {
                let epoch = if self.flaw == Flaw::StampsTheEpochOfTheFill { state.nodes[at].seen.epoch } else { epoch };
                let flawed = self.flaw == Flaw::FillsWithoutAToken;
                let holds = |data: &Data| (data.token == Some(at as u8) && data.marks == 0) || flawed;
                if let Some(data) = self.reached(state, link).filter(|data| holds(data)) {
                    data.payload = Some((epoch, value));
                    data.token = None;
                    // Redis saves its data now and then; this moment is as bad as any.
                    let saved = data.clone();
                    state.disk.get_or_insert(saved);
                }
                Read::None
            }
            (Action::FillIsLost(_), Read::Filling { .. }) => Read::None,
            _ => return None,
        };
        state.nodes[at].read = next;
        Some(())
    }

    /// What a script that is sent on this link works on, if it finds the instance that it names.
    fn reached<'a>(&self, state: &'a mut State, link: Instance) -> Option<&'a mut Data> {
        state.data(link).filter(|data| data.instance == Some(link) || self.flaw == Flaw::AsksForNoInstance)
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

fn attach(state: &mut State, at: usize) -> Instance {
    let redis = &mut state.redis[usize::from(state.nodes[at].side)];
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
            state.redis[0].data = Data::default();
        }
        Action::Restart => {
            state.faults_left -= 1;
            state.redis[0].run += 1;
            state.redis[0].data = state.disk.clone().unwrap_or_default();
        }
        Action::CutOff(at) => {
            if state.nodes[at].cut_off {
                return None;
            }
            state.faults_left -= 1;
            state.nodes[at].cut_off = true;
        }
        Action::Divert(at) => {
            if state.nodes[at].side == 1 {
                return None;
            }
            state.faults_left -= 1;
            if state.redis[1].named == 0 {
                state.redis[1].data = state.disk.clone().unwrap_or_default();
            }
            state.nodes[at].side = 1;
            state.nodes[at].link = None;
        }
        Action::Heal(at) => state.nodes[at].cut_off = false,
        _ => return None,
    }
    Some(())
}

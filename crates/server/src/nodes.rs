//! Asks the other nodes how they are, in the background, so that health can tell without waiting. Nothing else is sent to them.

use std::time::Duration;

use kvstore_client::{Client, ClientError};
use kvstore_service::{NodeState, OtherNodes, State};
use kvstore_types::limits::{OTHER_NODE_ANSWER_MS_MAX, OTHER_NODE_ASK_MS};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The other nodes, each asked by a task of its own for as long as the runtime lives.
pub(crate) fn watch(clients: Vec<Client>) -> OtherNodes {
    if clients.is_empty() {
        return OtherNodes::default();
    }
    tracing::info!(
        others = clients.len(),
        "PostgreSQL replicates the data, and kvstore nothing: the nodes of REPLICA_NODES are only asked for their health"
    );
    let nodes = OtherNodes::new(clients.iter().map(|client| format!("{}/kv-store/v1", client.url())));
    for (at, client) in clients.into_iter().enumerate() {
        tokio::spawn(ask(nodes.clone(), at, client));
    }
    nodes
}

/// Asks one node, for ever. It is never asked twice at a time.
async fn ask(nodes: OtherNodes, at: usize, client: Client) {
    let mut ticks = interval(Duration::from_millis(OTHER_NODE_ASK_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (state, reason) = answer(&client).await;
        let before = nodes.note(at, state);
        let (node, state_name) = (client.url(), state.as_str());
        if state.serves() && !before.serves() {
            tracing::info!(node, state = state_name, "another node can serve");
        } else if !state.serves() && (before.serves() || before == NodeState::NotAsked) {
            tracing::warn!(node, state = state_name, reason, "another node can't serve");
        }
    }
}

async fn answer(client: &Client) -> (NodeState, String) {
    let asked = timeout(Duration::from_millis(OTHER_NODE_ANSWER_MS_MAX), client.readiness()).await;
    match asked {
        Ok(Ok(told)) => match State::named(&told.state) {
            Some(state) if !told.ready && NodeState::Told(state).serves() => {
                (NodeState::Told(State::Unreachable), "it could not read from its database in time".into())
            }
            Some(state) if told.ready == NodeState::Told(state).serves() => (NodeState::Told(state), "its own word".into()),
            _ => (NodeState::Foreign, format!("it says {:?}", told.state)),
        },
        Ok(Err(error @ (ClientError::Connect { .. } | ClientError::Interrupted { .. }))) => (NodeState::Silent, error.to_string()),
        Ok(Err(error)) => (NodeState::Foreign, error.to_string()),
        Err(_) => (NodeState::Silent, "it does not answer in time".into()),
    }
}

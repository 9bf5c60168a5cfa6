//! Sending one request of a recording, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use kvstore_client::{Client, ClientError, DeleteOptions, PutOptions, WriteOutcome};
use kvstore_types::{Condition as ClientCondition, Key, Revision};

use super::recorder::Shared;
use crate::linear::{Answer, Call, Condition};
use crate::value;

/// An answer that takes longer is given up: its outcome is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(8);

pub(super) async fn ask(shared: &Shared, client: &Client, key: &Key, call: Call) -> Answer {
    let asked = async {
        match call {
            Call::Get => get(shared, client, key).await,
            Call::Put { value, condition } => put(shared, client, key, value, condition).await,
            Call::Delete { condition } => delete(client, key, condition).await,
        }
    };
    let error = match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(Ok(answer)) => return answer,
        Ok(Err(error)) => error,
        Err(_) => return Answer::Unknown,
    };
    match error {
        ClientError::ConditionFailed { current, .. } => return Answer::Refused { current: current.map(|revision| revision.0) },
        ClientError::Refused { .. } | ClientError::Address(_) | ClientError::BadAnswer(_) => {
            shared.odd(format!("{}: {call}: {error}", key.as_str()));
        }
        ClientError::Connect { .. } | ClientError::Interrupted { .. } | ClientError::Failed { .. } => {}
    }
    match error.outcome() {
        WriteOutcome::NotApplied => Answer::NotApplied,
        WriteOutcome::Unknown => Answer::Unknown,
    }
}

/// Reads in one of the two forms that there are.
async fn get(shared: &Shared, client: &Client, key: &Key) -> Result<Answer, ClientError> {
    let read = if rand::random() {
        client.get_raw(key).await?.map(|entry| (entry.value, entry.version, entry.revision))
    } else {
        client.get(key).await?.map(|entry| (entry.value.unwrap_or_default(), entry.version, entry.revision))
    };
    let Some((bytes, version, revision)) = read else {
        return Ok(Answer::Absent);
    };
    let author = value::author(&bytes).map(|(author, _)| author).filter(|author| bytes_of(*author) == bytes);
    if author.is_none() {
        shared.odd(format!("{}: get: {} bytes that nobody wrote, as revision {revision}", key.as_str(), bytes.len()));
    }
    Ok(Answer::Found { value: author.unwrap_or_default(), version, revision: revision.0 })
}

async fn put(shared: &Shared, client: &Client, key: &Key, value: u64, condition: Option<Condition>) -> Result<Answer, ClientError> {
    let options = PutOptions { condition: condition.map(client_condition), ..PutOptions::default() };
    let stored = client.put(key, bytes_of(value), &options).await?;
    if stored.created != (stored.entry.version == 1) {
        shared.odd(format!("{}: put: version {}, and created is {}", key.as_str(), stored.entry.version, stored.created));
    }
    Ok(Answer::Stored { version: stored.entry.version, revision: stored.entry.revision.0 })
}

async fn delete(client: &Client, key: &Key, condition: Option<Condition>) -> Result<Answer, ClientError> {
    let options = DeleteOptions { condition: condition.map(client_condition), idempotency: None };
    Ok(if client.delete(key, &options).await? { Answer::Deleted } else { Answer::Absent })
}

/// The bytes of a value: most are short, some are stored apart from their key.
fn bytes_of(value: u64) -> Bytes {
    value::value(value, 0, if value.is_multiple_of(7) { 5_000 } else { 40 })
}

fn client_condition(condition: Condition) -> ClientCondition {
    match condition {
        Condition::Absent => ClientCondition::Absent,
        Condition::Present => ClientCondition::Present,
        Condition::Revision(revision) => ClientCondition::Revision(Revision(revision)),
    }
}

//! One operation, as calls of the client.

use bytes::Bytes;
use kvstore_client::{Client, ClientError, PageQuery, PutOptions};
use kvstore_types::{Condition, Key};
use rand::Rng;

use super::{distribution::Chooser, records::Records, tally::Done, workload::Kind};

/// Entries that a scan asks for, at most.
const SCAN_ENTRIES_MAX: usize = 100;
/// Times that a read-modify-write begins, at most.
const ATTEMPTS_MAX: u64 = 100;

/// An operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// What such failures are counted under.
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) retries: u64,
}

/// Does an operation on a record of its choice.
pub(super) async fn perform(
    kind: Kind,
    client: &Client,
    records: &Records,
    chooser: &Chooser,
    random: &mut impl Rng,
) -> Result<Done, Failure> {
    let number = if kind == Kind::Insert { records.next() } else { chooser.draw(records.count(), random) };
    let key = records.key(number)?;
    match kind {
        Kind::Read => {
            client.get_raw(&key).await?.ok_or_else(|| Failure::absent(&key))?;
            Ok(Done::default())
        }
        Kind::Update | Kind::Insert => {
            client.put(&key, records.value(random), &PutOptions::default()).await?;
            Ok(Done::default())
        }
        Kind::Scan => {
            let query = PageQuery {
                start: Some(key),
                prefix: Some(records.prefix().to_owned()),
                page_entries_max: Some(random.random_range(1..=SCAN_ENTRIES_MAX)),
                ..PageQuery::default()
            };
            let entries = client.pages(&query).next_page().await?.map_or(0, |entries| entries.len());
            Ok(Done { entries: entries as u64, retries: 0 })
        }
        Kind::ReadModifyWrite => read_modify_write(client, &key, records, random).await,
    }
}

/// Reads a record and writes it if nobody else did meanwhile; otherwise begins again.
async fn read_modify_write(client: &Client, key: &Key, records: &Records, random: &mut impl Rng) -> Result<Done, Failure> {
    let mut retries = Retries(0);
    loop {
        let attempt = attempt(client, key, records.value(random)).await;
        if let Some(settled) = retries.settle(attempt) {
            return settled;
        }
    }
}

/// How one attempt of a read-modify-write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Done,
    CameTooLate,
}

async fn attempt(client: &Client, key: &Key, value: Bytes) -> Result<Attempt, Failure> {
    let read = client.get_raw(key).await?.ok_or_else(|| Failure::absent(key))?;
    let options = PutOptions { condition: Some(Condition::Revision(read.revision)), ..PutOptions::default() };
    match client.put(key, value, &options).await {
        Ok(_) => Ok(Attempt::Done),
        Err(ClientError::ConditionFailed { .. }) => Ok(Attempt::CameTooLate),
        Err(error) => Err(error.into()),
    }
}

/// How often another write came between.
struct Retries(u64);

impl Retries {
    /// What an attempt makes of the operation; `None` where it is to begin again.
    fn settle(&mut self, attempt: Result<Attempt, Failure>) -> Option<Result<Done, Failure>> {
        match attempt {
            Ok(Attempt::Done) => Some(Ok(Done { retries: self.0, entries: 0 })),
            Ok(Attempt::CameTooLate) if self.0 + 1 < ATTEMPTS_MAX => {
                self.0 += 1;
                None
            }
            Ok(Attempt::CameTooLate) => {
                let text = format!("another write came between {ATTEMPTS_MAX} times; use fewer connections or more records");
                Some(Err(Failure { kind: "condition failed".into(), text, retries: self.0 }))
            }
            Err(failure) => Some(Err(Failure { retries: self.0, ..failure })),
        }
    }
}

impl Failure {
    fn absent(key: &Key) -> Self {
        let text = format!("the record {:?} is not there; was it deleted meanwhile, or are there fewer --records?", key.as_str());
        Self { kind: "absent".into(), text, retries: 0 }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let kind = match (&error, error.status()) {
            (_, Some(status)) => format!("HTTP {status}"),
            (ClientError::Connect { .. }, _) => "no connection".to_owned(),
            (ClientError::Interrupted { .. }, _) => "connection broke".to_owned(),
            (_, None) => "wrong answer".to_owned(),
        };
        Self { kind, text: error.to_string(), retries: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut answers: impl FnMut(u64) -> Result<Attempt, Failure>) -> Result<Done, Failure> {
        let mut retries = Retries(0);
        (1..).find_map(|attempt| retries.settle(answers(attempt))).expect("an end")
    }

    #[test]
    fn a_write_that_came_too_late_is_done_again_and_counted() {
        let too_late_until = |last: u64| move |attempt| Ok(if attempt < last { Attempt::CameTooLate } else { Attempt::Done });
        assert_eq!(run(too_late_until(1)), Ok(Done { retries: 0, entries: 0 }));
        assert_eq!(run(too_late_until(4)), Ok(Done { retries: 3, entries: 0 }));
        let given_up = run(too_late_until(u64::MAX)).expect_err("nobody gets through");
        assert_eq!((given_up.kind.as_str(), given_up.retries), ("condition failed", ATTEMPTS_MAX - 1));
    }

    #[test]
    fn an_error_ends_the_attempts_and_keeps_their_count() {
        let key = Key::new("k").expect("a key");
        let failed = run(|attempt| if attempt < 3 { Ok(Attempt::CameTooLate) } else { Err(Failure::absent(&key)) });
        let failed = failed.expect_err("the key is absent");
        assert_eq!((failed.kind.as_str(), failed.retries), ("absent", 2));
    }
}

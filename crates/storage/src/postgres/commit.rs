//! What a group reads before it is evaluated, and the transaction that writes it.
//!
//! What goes out together: the three reads; then BEGIN, the upserts and a look at the clock. COMMIT goes out once their answers are
//! there, and from then on only the database knows: without a clear answer the outcome is unknown. A group that needs one upsert and
//! nothing else is written by one statement instead, which is its own commit.

use std::{collections::HashMap, time::Duration};

use futures_util::future::{join_all, try_join_all};
use kvstore_types::{
    IdempotencyRecord, Revision, WriteBatch,
    limits::{COMMIT_WAIT_MS_MAX, DATABASE_STATEMENT_ROWS_MAX},
};
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::{Error, Row, error::SqlState, types::ToSql};

use super::{
    Shared,
    connect::{Lease, within},
    error::{Fault, is_broken, is_conflict, told},
    group::Failure,
    plan::{FinalRecord, FinalRow, Plan, Snapshot},
    pooling::{Pooling, Purpose},
    rows::{self, bigint},
};
use crate::StoreError;

/// What a group takes hold of before it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing: whoever commits first is first.
    Nothing,
    /// Its rows, so that nobody else is first again.
    Rows,
}

/// Before a commit was sent, a connection that broke has changed nothing.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let is_worth_another = fault.is_broken_connection() || fault.is_conflict();
        match fault {
            Fault::Store(error) => Self::Final(error),
            fault if is_worth_another => Self::Again(fault.told()),
            fault => match fault.told() {
                error @ StoreError::Unavailable(_) => Self::Final(error),
                error => Self::Refused(error),
            },
        }
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn conflict() -> Failure {
    Failure::Again(StoreError::Overloaded("other writes change the same keys all the time"))
}

impl Shared {
    /// Reads what a group rests on. Rows come before records and the clock: a record that is absent then was absent when the rows were
    /// read, and a drawn revision is greater than all of theirs.
    pub(super) async fn snapshot(&self, batches: &[&WriteBatch], hold: Hold) -> Result<(Lease, Snapshot), Failure> {
        let mut keys: Vec<_> = batches.iter().flat_map(|batch| batch.items()).map(|item| item.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let requests: Vec<_> = batches.iter().filter_map(|batch| batch.idempotency()).map(|(key, _)| key.as_str()).collect();
        let members = bigint(batches.len() as u64);
        let (keyed, counted): ([&(dyn ToSql + Sync); 1], [&(dyn ToSql + Sync); 1]) = ([&keys], [&members]);
        let mut lease = self.pool.get().await.map_err(Failure::Final)?;
        if hold == Hold::Rows {
            lease.begin();
        }
        let answer = within(async {
            let (connection, statements) = (&*lease, &*lease.statements);
            let held = async {
                if hold == Hold::Nothing {
                    return Ok(());
                }
                // In the order of the keys, as every writer locks them.
                let rows = try_join_all(keys.iter().map(|key| async { connection.execute(&statements.hold, &[key]).await }));
                tokio::try_join!(biased; connection.start(Purpose::Write), rows).map(drop)
            };
            let records =
                async { if requests.is_empty() { Ok(Vec::new()) } else { connection.query(&statements.requests, &[&requests]).await } };
            tokio::try_join!(
                biased;
                held,
                connection.query(&statements.headers, &keyed),
                records,
                connection.query_one(&statements.draw, &counted)
            )
        });
        let answer = answer.await;
        let ((), rows, records, drawn) = match lease.settle(answer) {
            Ok(answers) => answers,
            Err(fault) => return Err(undone(lease, fault).await),
        };
        let snapshot = self.gather(&rows, &records, &drawn).map_err(Failure::Final)?;
        let greatest = snapshot.rows.values().map(|stored| stored.header.revision).max();
        if snapshot.revisions.iter().min().copied() <= greatest {
            // Some sequences are handed out to connections in parts. What was drawn here is used up, and the next part is later.
            return Err(conflict());
        }
        Ok((lease, snapshot))
    }

    fn gather(&self, rows: &[Row], records: &[Row], drawn: &Row) -> Result<Snapshot, StoreError> {
        let clock = rows::column(drawn, 0)?;
        let now = self.time.at(clock);
        let revisions: Vec<i64> = rows::column(drawn, 1)?;
        let mut revisions: Vec<_> = revisions.into_iter().map(|number| Revision(number.unsigned_abs())).collect();
        revisions.sort_unstable();
        let rows = rows.iter().map(|row| Ok((rows::key(row)?, rows::stored(row)?))).collect::<Result<HashMap<_, _>, StoreError>>()?;
        let record = |row: &Row| -> Result<(String, IdempotencyRecord), StoreError> {
            let record = IdempotencyRecord::decode(rows::column(row, 1)?);
            Ok((rows::column(row, 0)?, record.map_err(|error| StoreError::Damaged(format!("an idempotency record: {error}")))?))
        };
        let records = records.iter().map(record).collect::<Result<_, _>>()?;
        let latest_arrival = clock.saturating_add(micros(self.arrival_max));
        Ok(Snapshot { now, rows, records, revisions, latest_arrival })
    }

    /// Writes a plan in one transaction. What reaches the database after `latest_arrival` writes nothing.
    pub(super) async fn commit(&self, mut lease: Lease, plan: &Plan<'_>, latest_arrival: i64) -> Result<(), Failure> {
        let (rows, records) = (plan.rows(), plan.records());
        let chunks: Vec<_> = rows.chunks(DATABASE_STATEMENT_ROWS_MAX).map(|rows| RowArrays::of(rows, latest_arrival)).collect();
        let records = RecordArrays::of(&records);
        if let [chunk] = &chunks[..]
            && records.keys.is_empty()
            && plan.deadline.is_none()
            && !lease.is_begun()
            && !self.is_contended()
            && lease.pooling == Pooling::Session
        {
            return self.write_at_once(lease, chunk).await;
        }
        let is_begun = lease.is_begun();
        lease.begin();
        let answer = within(async {
            let (connection, statements) = (&*lease, &*lease.statements);
            let begin = async { if is_begun { Ok(()) } else { connection.start(Purpose::Write).await } };
            let upserts =
                join_all(chunks.iter().map(|chunk| async { connection.query_one(&statements.upsert, &chunk.parameters()).await }));
            let requests = async {
                if records.keys.is_empty() { Ok(0) } else { connection.execute(&statements.upsert_requests, &records.parameters()).await }
            };
            let clock = async { if plan.deadline.is_some() { connection.query_opt(&statements.clock, &[]).await } else { Ok(None) } };
            let (begun, upserts, requests, clock) = tokio::join!(biased; begin, upserts, requests, clock);
            // What follows a BEGIN that failed by itself commits by itself.
            let has_written = upserts.iter().any(Result::is_ok) || (!records.keys.is_empty() && requests.is_ok());
            if begun.is_err() && has_written {
                return Ok(None);
            }
            begun?;
            let mut written = 0;
            for upsert in upserts {
                written += upsert?.try_get::<_, i64>(0)?.unsigned_abs();
            }
            Ok(Some((written + requests?, clock?)))
        });
        let answer = answer.await;
        let answer = match lease.settle(answer) {
            Ok(answer) => answer,
            Err(fault) => return Err(undone(lease, fault).await),
        };
        let Some((written, clock)) = answer else {
            return Err(Failure::Final(StoreError::Unknown("the database did not begin a transaction, and took what was in it".into())));
        };
        let wanted = (rows.len() + records.keys.len()) as u64;
        if written != wanted || self.is_too_late(plan, clock.as_ref()).map_err(Failure::Final)? {
            leave(lease).await;
            return Err(conflict());
        }
        finish(lease).await
    }

    /// Writes rows by one statement that is a transaction by itself: a round trip less. It has no place for the limits of a
    /// transaction. A conflict makes it fail, and the server logs that; so after one it is left aside for a while.
    async fn write_at_once(&self, mut lease: Lease, rows: &RowArrays<'_>) -> Result<(), Failure> {
        let count = bigint(rows.keys.len() as u64);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = rows.parameters().to_vec();
        parameters.push(&count);
        lease.begin();
        lease.commit();
        let warnings = lease.warnings();
        let query = lease.query_one(&lease.statements.upsert_at_once, &parameters);
        match timeout(Duration::from_millis(COMMIT_WAIT_MS_MAX), query).await {
            // The statement failed, so nothing of it lasts; unless a warning tells of a worker that may have committed all the same.
            Ok(Err(error)) if error.code().is_some() && !is_broken(&error) && !is_undecided(&error) && lease.warnings() == warnings => {
                lease.examine(&error);
                lease.end();
                if error.code() == Some(&SqlState::DIVISION_BY_ZERO) {
                    self.note_contended();
                    return Err(conflict());
                }
                Err(Fault::Database(error).into())
            }
            answer => conclude(lease, warnings, answer.map(|written| written.map(drop))),
        }
    }

    /// Whether something that the plan takes for live has expired by now. The rows are held, so it can't be held as live later.
    fn is_too_late(&self, plan: &Plan<'_>, clock: Option<&Row>) -> Result<bool, StoreError> {
        let (Some(deadline), Some(clock)) = (plan.deadline, clock) else { return Ok(false) };
        Ok(self.time.at(rows::column(clock, 0)?) >= deadline)
    }
}

/// After a statement that failed by itself the connection is whole: its transaction is undone, and it can be used again.
async fn undone(lease: Lease, fault: Fault) -> Failure {
    if fault.is_of_statement() && lease.is_begun() {
        leave(lease).await;
    }
    fault.into()
}

/// Undoes a transaction, so that its connection can be used again.
pub(super) async fn leave(mut lease: Lease) {
    let answer = within(lease.client.batch_execute("ROLLBACK")).await;
    if lease.settle(answer).is_ok() {
        lease.end();
    }
}

/// Commits. From here on nothing is tried again.
pub(super) async fn finish(mut lease: Lease) -> Result<(), Failure> {
    let warnings = lease.warnings();
    lease.commit();
    let answer = timeout(Duration::from_millis(COMMIT_WAIT_MS_MAX), lease.client.batch_execute("COMMIT")).await;
    conclude(lease, warnings, answer)
}

/// What the answer to a commit means.
fn conclude(mut lease: Lease, warnings: usize, answer: Result<Result<(), Error>, Elapsed>) -> Result<(), Failure> {
    let unknown = |reason: String| Failure::Final(StoreError::Unknown(reason));
    match answer {
        Ok(Ok(())) if lease.warnings() == warnings => {
            lease.end();
            Ok(())
        }
        Ok(Ok(())) => Err(unknown("the database warned while it committed: a standby may not have the write".into())),
        // Said by the database itself: it is undone.
        Ok(Err(error)) if is_conflict(&error) && !is_undecided(&error) => Err(conflict()),
        Ok(Err(error)) => {
            note(&mut lease, &error);
            Err(unknown(told(&error)))
        }
        // The socket is closed with the lease.
        Err(_) => Err(unknown("the database did not answer a commit in time".into())),
    }
}

/// The one of the conflicts that says nothing of the outcome.
fn is_undecided(error: &Error) -> bool {
    error.code() == Some(&SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN)
}

fn note(lease: &mut Lease, error: &Error) {
    lease.examine(error);
    if !is_broken(error) {
        tracing::warn!(error = told(error), "the database answered a commit with an error");
    }
}

/// Rows, a column each.
pub(super) struct RowArrays<'a> {
    keys: Vec<&'a str>,
    values: Vec<Option<&'a [u8]>>,
    numbers: [Vec<i64>; 6],
    expires: Vec<Option<i64>>,
    latest_arrival: i64,
}

impl<'a> RowArrays<'a> {
    pub(super) fn of(rows: &'a [FinalRow<'a>], latest_arrival: i64) -> Self {
        let numbers = |of: fn(&FinalRow<'_>) -> i64| rows.iter().map(of).collect::<Vec<_>>();
        Self {
            keys: rows.iter().map(|row| row.key.as_str()).collect(),
            values: rows.iter().map(|row| row.value.map(|value| &value[..])).collect(),
            numbers: [
                numbers(|row| bigint(row.header.value_len)),
                numbers(|row| bigint(row.header.version)),
                numbers(|row| bigint(row.header.revision.0)),
                numbers(|row| bigint(row.prior.0)),
                numbers(|row| row.header.created_at.as_micros()),
                numbers(|row| row.header.updated_at.as_micros()),
            ],
            expires: rows.iter().map(|row| row.header.expires_at.map(|at| at.as_micros())).collect(),
            latest_arrival,
        }
    }

    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 10] {
        let [value_len, version, revision, prior, created, updated] = &self.numbers;
        [&self.keys, &self.values, value_len, version, revision, prior, created, updated, &self.expires, &self.latest_arrival]
    }
}

/// Records, a column each.
struct RecordArrays<'a> {
    keys: Vec<&'a str>,
    records: Vec<Vec<u8>>,
    stamps: Vec<i64>,
    priors: Vec<i64>,
}

impl<'a> RecordArrays<'a> {
    fn of(records: &[&'a FinalRecord<'a>]) -> Self {
        Self {
            keys: records.iter().map(|record| record.key.as_str()).collect(),
            records: records.iter().map(|record| record.record.encode()).collect(),
            stamps: records.iter().map(|record| record.record.stamp.as_micros()).collect(),
            priors: records.iter().map(|record| record.prior.as_micros()).collect(),
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 4] {
        [&self.keys, &self.records, &self.stamps, &self.priors]
    }
}

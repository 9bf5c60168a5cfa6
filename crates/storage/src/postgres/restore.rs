//! Restoring: entries with all their metadata, in one transaction, into a store whose last revision is the one expected.
//!
//! The last revision is what the sequence gave last, applied or not: a write that was refused counts as "something else was written",
//! which is safe. The table is locked meanwhile, so that a write that drew before is seen, and one that draws later comes later.

use kvstore_types::{Key, RestoreBatch, RestoreOutcome, Revision, evaluate_restore, limits::DATABASE_STATEMENT_ROWS_MAX};

use tokio_postgres::types::ToSql;

use super::{
    Shared,
    commit::{RowArrays, finish, micros},
    connect::{Lease, within},
    error::Fault,
    group::Failure,
    plan::FinalRow,
    pooling::Purpose,
    rows::{self, Stored, bigint},
};
use crate::{StoreError, ticks::Ticks};

impl Shared {
    /// After `until` others may have gone on without this node, and it must not be written any more.
    pub(super) async fn restore(&self, batch: &RestoreBatch, until: Ticks) -> Result<RestoreOutcome, StoreError> {
        match self.try_restore(batch, until).await {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Again(error) | Failure::Refused(error) | Failure::Final(error)) => Err(error),
        }
    }

    async fn try_restore(&self, batch: &RestoreBatch, until: Ticks) -> Result<RestoreOutcome, Failure> {
        let mut lease = self.pool.get().await.map_err(Failure::Final)?;
        let names: Vec<_> = batch.items().iter().map(|item| item.key.as_str()).collect();
        let named: [&(dyn ToSql + Sync); 1] = [&names];
        lease.begin();
        let answer = within(async {
            let (connection, statements) = (&*lease, &*lease.statements);
            connection.start(Purpose::Write).await?;
            connection.client.batch_execute("LOCK TABLE kv IN SHARE ROW EXCLUSIVE MODE").await?;
            tokio::try_join!(
                connection.query(&statements.headers, &named),
                connection.query_one(&statements.last_revision, &[]),
                connection.query_one(&statements.clock, &[]),
            )
        });
        let answer = answer.await;
        let (found, last, clock) = lease.settle(answer)?;
        if until < Ticks::now() {
            return Err(Failure::Final(StoreError::Overloaded("the database took too long to take the entries")));
        }
        let last = Revision(rows::column::<i64>(&last, 0).map_err(Failure::Final)?.unsigned_abs());
        let clock: i64 = rows::column(&clock, 0).map_err(Failure::Final)?;
        let now = self.time.at(clock);
        let stored = found.iter().map(|row| Ok((rows::key(row)?, rows::stored(row)?)));
        let stored: std::collections::HashMap<Key, Stored> = stored.collect::<Result<_, StoreError>>().map_err(Failure::Final)?;
        let current: Vec<_> = batch.items().iter().map(|item| stored.get(&item.key).and_then(Stored::entry)).collect();
        let done = evaluate_restore(batch, &current, last, now, now);
        let prior = |key: &Key| stored.get(key).map_or(Revision(0), |stored| stored.header.revision);
        let mut rows: Vec<_> = done
            .entries
            .iter()
            .map(|item| FinalRow { key: &item.key, value: Some(&item.value), header: item.header, prior: prior(&item.key) })
            .collect();
        rows.sort_unstable_by_key(|row| row.key);
        let latest_arrival = clock.saturating_add(micros(self.arrival_max));
        fill(&mut lease, &rows, latest_arrival, done.revision).await?;
        finish(lease).await?;
        self.note_applied(done.revision);
        Ok(done.outcome)
    }
}

async fn fill(lease: &mut Lease, rows: &[FinalRow<'_>], latest_arrival: i64, greatest: Revision) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let answer = within(async {
        let mut written = 0;
        for chunk in rows.chunks(DATABASE_STATEMENT_ROWS_MAX) {
            let counted = lease.query_one(&lease.statements.upsert, &RowArrays::of(chunk, latest_arrival).parameters()).await?;
            written += counted.try_get::<_, i64>(0)?.unsigned_abs();
        }
        lease.query_one(&lease.statements.reach_revision, &[&bigint(greatest.0)]).await?;
        Ok(written)
    });
    let answer = answer.await;
    if lease.settle(answer)? == rows.len() as u64 {
        return Ok(());
    }
    Err(Fault::Store(StoreError::Overloaded("other writes change the same keys all the time")))
}

//! Reading single keys, and many from one snapshot.
//!
//! What is due needs care (see the module's page): a row that has just expired may be one that a writer, who took its time before,
//! still changes as a live one. So a reader that meets such a row takes a share of it first, which waits for that writer.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use kvstore_types::{
    Entry, Key, Projection, Revision, Timestamp,
    limits::{DATABASE_ATTEMPTS_MAX, TOMBSTONE_SECONDS},
};
use tokio_postgres::Row;

use super::{
    Shared,
    commit::leave,
    connect::within,
    distribute::by_shard,
    error::Fault,
    pooling::Purpose,
    rows::{self, AFTER_HEADER, Stored, bigint},
};
use crate::StoreError;

/// Entries, and what has just expired beside them.
type Sorted = (HashMap<Key, Entry>, Vec<(Key, Revision)>);

/// What a row is to a reader.
pub(super) enum Seen {
    /// It is an entry.
    There,
    /// It is absent, and no writer can think otherwise.
    Absent,
    /// It has expired so recently that a writer may not know.
    JustExpired,
}

pub(super) fn seen(stored: &Stored, now: Timestamp) -> Seen {
    match stored.header.expires_at {
        _ if stored.is_tombstone => Seen::Absent,
        Some(at) if at.plus_seconds(TOMBSTONE_SECONDS) <= now => Seen::Absent,
        Some(at) if at <= now => Seen::JustExpired,
        _ => Seen::There,
    }
}

/// Runs a statement on a connection of its own; once more where the connection broke. For what may be done twice.
macro_rules! retried {
    ($shared:expr, $lease:ident => $query:expr) => {{
        let mut is_second = false;
        loop {
            let mut $lease = $shared.pool.get().await?;
            // Dropped before the answer is there, the lease ends the statement.
            $lease.begin();
            let answer = $crate::postgres::connect::within($query).await;
            $lease.end();
            match $lease.settle(answer) {
                Ok(answer) => break Ok(answer),
                Err(fault) if !is_second && fault.is_broken_connection() => is_second = true,
                Err(fault) => break Err(fault.told()),
            }
        }
    }};
}
pub(super) use retried;

impl Shared {
    pub(super) async fn read(&self, key: &Key, projection: Projection) -> Result<Option<Entry>, StoreError> {
        let name = key.as_str();
        let row = match projection {
            Projection::Full => retried!(self, lease => lease.query_opt(&lease.statements.read, &[&name])),
            Projection::Header => retried!(self, lease => lease.query_opt(&lease.statements.read_header, &[&name])),
        }?;
        let Some(row) = row else { return Ok(None) };
        let stored = rows::stored(&row)?;
        match seen(&stored, self.time.at(rows::column(&row, AFTER_HEADER)?)) {
            Seen::There => Ok(Some(entry(key, &stored, &row, projection)?)),
            Seen::Absent => Ok(None),
            Seen::JustExpired => self.read_shared(key, projection).await,
        }
    }

    /// Reads a key once no writer holds it any more. What is due then is absent for good.
    async fn read_shared(&self, key: &Key, projection: Projection) -> Result<Option<Entry>, StoreError> {
        let row = retried!(self, lease => lease.limited(lease.query_opt(&lease.statements.read_shared, &[&key.as_str()])))?;
        let Some(row) = row else { return Ok(None) };
        let stored = rows::stored(&row)?;
        match seen(&stored, self.time.at(rows::column(&row, AFTER_HEADER)?)) {
            Seen::There => Ok(Some(entry(key, &stored, &row, projection)?)),
            Seen::Absent | Seen::JustExpired => Ok(None),
        }
    }

    pub(super) async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        let names: Vec<_> = keys.iter().map(Key::as_str).collect();
        for _ in 0..DATABASE_ATTEMPTS_MAX {
            let rows = retried!(self, lease => lease.query(&lease.statements.read_many, &[&names]))?;
            let (found, just_expired) = self.sort(rows)?;
            if self.confirm(&just_expired).await? {
                return Ok(keys.iter().map(|key| found.get(key).cloned()).collect());
            }
        }
        Err(StoreError::Overloaded("other writes change the same keys all the time"))
    }

    /// Waits for the writers of keys that have just expired. `false` where one was changed since: what was read with it must be read again.
    pub(super) async fn confirm(&self, just_expired: &[(Key, Revision)]) -> Result<bool, StoreError> {
        if just_expired.is_empty() {
            return Ok(true);
        }
        let names: Vec<_> = just_expired.iter().map(|(key, _)| key.as_str()).collect();
        let rows = if self.pool.is_distributed() {
            self.confirm_by_shard(&names).await?
        } else {
            retried!(self, lease => lease.limited(lease.query(&lease.statements.confirm, &[&names])))?
        };
        let mut revisions = HashMap::with_capacity(rows.len());
        for row in &rows {
            revisions.insert(rows::column::<&str>(row, 0)?, rows::column::<i64>(row, 1)?);
        }
        // Reclaimed it keeps its revision, and then its row may go: that changes nothing.
        let is_same = |(key, revision): &(Key, Revision)| revisions.get(key.as_str()).is_none_or(|now| *now == bigint(revision.0));
        Ok(just_expired.iter().all(is_same))
    }

    /// The rows under these names, a statement for each shard of them. All are one transaction, which is undone, so that no lock is
    /// written to disk.
    async fn confirm_by_shard(&self, names: &[&str]) -> Result<Vec<Row>, StoreError> {
        let mut lease = self.pool.get().await?;
        lease.begin();
        let answer = within(async {
            let shards = by_shard(&lease.client, names).await?;
            let (lease, confirm) = (&lease, &lease.statements.confirm);
            let rows = try_join_all(shards.iter().map(|names| async move { lease.query(confirm, &[names]).await }));
            let ((), rows) = tokio::try_join!(biased; lease.start(Purpose::Write), rows)?;
            Ok(rows.into_iter().flatten().collect())
        });
        let answer = answer.await;
        let rows = lease.settle(answer).map_err(Fault::told)?;
        leave(lease).await;
        Ok(rows)
    }

    /// The entries among rows, and those that have just expired.
    fn sort(&self, rows: Vec<Row>) -> Result<Sorted, StoreError> {
        let (mut found, mut just_expired) = (HashMap::with_capacity(rows.len()), Vec::new());
        // One time for all of them, which is not before any of them was read.
        let mut now = self.time.seen();
        for row in &rows {
            now = now.max(self.time.at(rows::column(row, AFTER_HEADER)?));
        }
        for row in rows {
            let (key, stored) = (rows::key(&row)?, rows::stored(&row)?);
            match seen(&stored, now) {
                Seen::There => {
                    let entry = entry(&key, &stored, &row, Projection::Full)?;
                    found.insert(key, entry);
                }
                Seen::Absent => {}
                Seen::JustExpired => just_expired.push((key, stored.header.revision)),
            }
        }
        Ok((found, just_expired))
    }
}

fn entry(key: &Key, stored: &Stored, row: &Row, projection: Projection) -> Result<Entry, StoreError> {
    let value = match projection {
        Projection::Full => Some(rows::value(row, AFTER_HEADER + 1, &stored.header)?),
        Projection::Header => None,
    };
    Ok(Entry { key: key.clone(), header: stored.header, value })
}

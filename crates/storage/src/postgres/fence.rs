//! The fence of a cache before this store: its turns, each a transaction that holds the fence's row. A turn that opens reads the
//! nodes' rows once it holds it, so a node that joins is either seen by it or sees the fence open.

use kvstore_types::{Key, Revision, limits::DATABASE_ATTEMPTS_MAX};
use tokio_postgres::Row;

use super::{
    Shared,
    connect::{Connection, within},
    pooling::Purpose,
    read::{Seen, retried, seen},
    rows::{self, AFTER_HEADER, bigint},
};
use crate::{Agreement, Fence, FenceNode, NodeId, StoreError, Turn};

impl Shared {
    /// The revisions of keys, from one snapshot.
    pub(super) async fn revisions(&self, keys: &[Key]) -> Result<Vec<Option<Revision>>, StoreError> {
        let names: Vec<_> = keys.iter().map(Key::as_str).collect();
        for _ in 0..DATABASE_ATTEMPTS_MAX {
            let rows = retried!(self, lease => lease.query(&lease.statements.revisions, &[&names]))?;
            let mut now = self.time.seen();
            for row in &rows {
                now = now.max(self.time.at(rows::column(row, AFTER_HEADER)?));
            }
            let (mut found, mut just_expired) = (std::collections::HashMap::with_capacity(rows.len()), Vec::new());
            for row in &rows {
                let (key, stored) = (rows::key(row)?, rows::stored(row)?);
                match seen(&stored, now) {
                    Seen::There => drop(found.insert(key, stored.header.revision)),
                    Seen::Absent => {}
                    Seen::JustExpired => just_expired.push((key, stored.header.revision)),
                }
            }
            if self.confirm(&just_expired).await? {
                return Ok(keys.iter().map(|key| found.get(key).copied()).collect());
            }
        }
        Err(StoreError::Overloaded("other writes change the same keys all the time"))
    }

    /// Takes a turn.
    pub(super) async fn fence(&self, node: NodeId, turn: &Turn) -> Result<Fence, StoreError> {
        if *turn == Turn::Look {
            let row = retried!(self, lease => lease.query_one(&lease.statements.fence_look, &[]))?;
            return self.told(&row, &[]);
        }
        let mut lease = self.pool.get().await?;
        let warnings = lease.warnings();
        lease.begin();
        // A COMMIT that waits for a standby must not be cancelled: it would be seen, and might be lost.
        lease.commit();
        let answer = within(async {
            lease.start(Purpose::Write).await?;
            lease.query_one(&lease.statements.fence_lock, &[]).await?;
            change(&lease, node, turn).await?;
            let fence = lease.query_one(&lease.statements.fence_look, &[]).await?;
            let nodes = lease.query(&lease.statements.fence_nodes, &[]).await?;
            // What becomes of a lost COMMIT does not matter: a turn can be taken twice.
            lease.client.batch_execute("COMMIT").await?;
            Ok((fence, nodes))
        });
        let answer = answer.await;
        let (fence, nodes) = lease.settle(answer).map_err(super::error::Fault::told)?;
        if lease.warnings() != warnings {
            // A standby did not confirm: after a failover the turn might not have been taken.
            return Err(StoreError::Unavailable("the database did not confirm a turn at the fence".into()));
        }
        lease.end();
        self.told(&fence, &nodes)
    }

    fn told(&self, fence: &Row, nodes: &[Row]) -> Result<Fence, StoreError> {
        Ok(Fence {
            store: number(rows::column(fence, 0)?),
            epoch: number(rows::column(fence, 1)?),
            open: rows::column(fence, 2)?,
            instance: rows::column(fence, 3)?,
            now: self.time.at(rows::column(fence, 4)?),
            nodes: nodes.iter().map(node_of).collect::<Result<_, _>>()?,
        })
    }
}

async fn change(connection: &Connection, node: NodeId, turn: &Turn) -> Result<(), tokio_postgres::Error> {
    let statements = &*connection.statements;
    let node = signed(node);
    let nobody: (Option<i64>, Option<&str>) = (None, None);
    match turn {
        Turn::Look => {}
        Turn::Beat { agreed } => {
            let (epoch, instance) = agreed.as_ref().map_or(nobody, |agreed| (Some(bigint(agreed.epoch)), Some(&*agreed.instance)));
            connection.execute(&statements.fence_beat, &[&node, &epoch, &instance]).await?;
        }
        Turn::Close => {
            connection.execute(&statements.fence_close, &[]).await?;
            connection.execute(&statements.fence_beat, &[&node, &nobody.0, &nobody.1]).await?;
        }
        Turn::Open(Agreement { epoch, instance }) => {
            connection.execute(&statements.fence_open, &[&bigint(*epoch), instance]).await?;
        }
        Turn::Remove { node, beats } => {
            connection.execute(&statements.fence_remove, &[&signed(*node), &bigint(*beats)]).await?;
        }
        Turn::Leave => {
            connection.execute(&statements.fence_leave, &[&node]).await?;
        }
    }
    Ok(())
}

fn node_of(row: &Row) -> Result<FenceNode, StoreError> {
    let (epoch, instance): (Option<i64>, Option<String>) = (rows::column(row, 2)?, rows::column(row, 3)?);
    let agreed = epoch.zip(instance).map(|(epoch, instance)| Agreement { epoch: number(epoch), instance });
    Ok(FenceNode { node: NodeId(rows::column::<i64>(row, 0)?.cast_unsigned()), beats: number(rows::column(row, 1)?), agreed })
}

/// A node's number with all its bits.
const fn signed(node: NodeId) -> i64 {
    node.0.cast_signed()
}

/// A number that is never negative.
fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

//! The fence of a cache: the record that vouches for cached entries, kept in a table of its own. What a turn does is the cache's
//! business ([`Fence::take`]); here it is made one transaction.

use tokio_postgres::Row;

use super::{
    Shared,
    commit::finish,
    connect::{Connection, Lease, within},
    error::Fault,
    group::Failure,
    read::retried,
    rows::{bigint, column},
};
use crate::{Agreement, Fence, FenceNode, NodeId, StoreError, Turn};

impl Shared {
    pub(super) async fn fence(&self, node: NodeId, turn: &Turn) -> Result<Fence, StoreError> {
        if *turn == Turn::Look {
            let rows = retried!(self, lease => lease.client.query(&lease.statements.fence, &[]))?;
            return self.fence_of(&rows);
        }
        match self.take_turn(node, turn).await {
            Ok(fence) => Ok(fence),
            Err(Failure::Again(error) | Failure::Refused(error) | Failure::Final(error)) => Err(error),
        }
    }

    async fn take_turn(&self, node: NodeId, turn: &Turn) -> Result<Fence, Failure> {
        let mut lease = self.pool.get().await.map_err(Failure::Final)?;
        lease.begin();
        let answer = within(async {
            let Connection { client, statements, .. } = &*lease;
            // One turn after the other: who comes next sees what this one did.
            tokio::try_join!(biased; client.batch_execute("BEGIN"), client.query_one(&statements.fence_lock, &[]))?;
            client.query(&statements.fence, &[]).await
        });
        let answer = answer.await;
        let before = self.fence_of(&lease.settle(answer)?).map_err(Failure::Final)?;
        let mut after = before.clone();
        after.take(node, turn);
        save(&mut lease, &before, &after).await?;
        finish(lease).await?;
        Ok(after)
    }

    fn fence_of(&self, rows: &[Row]) -> Result<Fence, StoreError> {
        let Some(first) = rows.first() else { return Err(StoreError::Damaged("the fence of the cache is missing".into())) };
        let nodes = rows.iter().filter_map(|row| node(row).transpose()).collect::<Result<_, _>>()?;
        Ok(Fence {
            store: column::<i64>(first, 0)?.cast_unsigned(),
            epoch: column::<i64>(first, 1)?.cast_unsigned(),
            open: column(first, 2)?,
            instance: column(first, 3)?,
            now: self.time.at(column(first, 4)?),
            nodes,
        })
    }
}

/// The node of a row; `None` in the one row of a fence without nodes.
fn node(row: &Row) -> Result<Option<FenceNode>, StoreError> {
    let Some(node) = column::<Option<i64>>(row, 5)? else { return Ok(None) };
    let agreed = match (column::<Option<i64>>(row, 7)?, column::<Option<String>>(row, 8)?) {
        (Some(epoch), Some(instance)) => Some(Agreement { epoch: epoch.cast_unsigned(), instance }),
        _ => None,
    };
    Ok(Some(FenceNode { node: NodeId(node.cast_unsigned()), beats: column::<i64>(row, 6)?.cast_unsigned(), agreed }))
}

/// Writes what a turn changed.
async fn save(lease: &mut Lease, before: &Fence, after: &Fence) -> Result<(), Fault> {
    let answer = within(async {
        let Connection { client, statements, .. } = &**lease;
        if (before.epoch, before.open, &before.instance) != (after.epoch, after.open, &after.instance) {
            client.execute(&statements.fence_save, &[&bigint(after.epoch), &after.open, &after.instance]).await?;
        }
        for node in after.nodes.iter().filter(|node| !before.nodes.contains(node)) {
            let agreed = node.agreed.as_ref();
            let (epoch, instance) = (agreed.map(|agreed| bigint(agreed.epoch)), agreed.map(|agreed| agreed.instance.as_str()));
            client.execute(&statements.fence_node, &[&node.node.0.cast_signed(), &bigint(node.beats), &epoch, &instance]).await?;
        }
        for gone in before.nodes.iter().filter(|node| !after.nodes.iter().any(|left| left.node == node.node)) {
            client.execute(&statements.fence_leave, &[&gone.node.0.cast_signed()]).await?;
        }
        Ok(())
    });
    let answer = answer.await;
    lease.settle(answer)
}

//! Sharding the table of entries over the workers of a Citus, and finding out whether it is.
//!
//! Only `kv` is distributed, by its key. The other tables and the sequence stay on the coordinator, to which all nodes connect. That is
//! where few rows of one kind are needed by every write. Citus commits an INSERT that selects its rows, as `upsert.sql` does, in two
//! phases: so a write and its idempotency record last together, also where the coordinator crashes in between. An INSERT of VALUES would
//! be committed on its one worker first.

use tokio_postgres::{Client, Error, types::Type};

use super::{
    PostgresConfig,
    error::told,
    schema::{self, Lock, Migrate, SchemaError},
};
use crate::OpenError;

const HAS_EXTENSION: &str = "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')";
const IS_DISTRIBUTED: &str = "SELECT EXISTS (SELECT 1 FROM pg_dist_partition WHERE logicalrelid = 'kv'::regclass AND partmethod = 'h')";
/// Keys, an array of them for each shard that they lie in, each in order.
const BY_SHARD: &str = "SELECT array_agg(key ORDER BY key COLLATE \"C\") FROM unnest($1::text[]) AS key \
    GROUP BY get_shard_id_for_distribution_column('kv', key)";
/// What was in the table before is copied to the workers, and then removed here.
const DISTRIBUTE: &str = "SELECT create_distributed_table('kv', 'key'); SELECT truncate_local_data_after_distributing_table('kv')";

/// What became of the wish to shard the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distributed {
    /// It is sharded now.
    Now,
    /// It was before.
    Before,
}

/// Whether the table is sharded over several machines, which give reads no common snapshot.
pub(super) async fn is_distributed(client: &Client) -> Result<bool, Error> {
    if !client.query_typed_one(HAS_EXTENSION, &[]).await?.try_get(0)? {
        return Ok(false);
    }
    client.query_typed_one(IS_DISTRIBUTED, &[]).await?.try_get(0)
}

/// Sorts keys by the shards of a distributed table. Rows of one shard alone can be locked by one statement.
pub(super) async fn by_shard(client: &Client, keys: &[&str]) -> Result<Vec<Vec<String>>, Error> {
    let rows = client.query_typed(BY_SHARD, &[(&keys, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Connects, makes sure that the tables are those of this version, and shards the table of entries by its key.
pub(crate) async fn distribute(config: PostgresConfig) -> Result<(usize, Distributed), OpenError> {
    let (mut client, connection) = config.target.connect().await.map_err(|error| OpenError::Database(told(&error)))?;
    let driven = tokio::spawn(connection);
    let done = try_distribute(&mut client, &config).await;
    driven.abort();
    done
}

async fn try_distribute(client: &mut Client, config: &PostgresConfig) -> Result<(usize, Distributed), OpenError> {
    let failed = |error: Error| OpenError::Database(format!("the table can't be distributed: {}", told(&error)));
    let refused = |error: SchemaError| OpenError::Database(error.to_string());
    let has_extension: bool = client.query_typed_one(HAS_EXTENSION, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?;
    if !has_extension {
        return Err(OpenError::Database("the table can't be distributed: the database lacks the extension citus".into()));
    }
    let ran = schema::ensure(client, Migrate::Run, &config.target, config.pooling).await.map_err(refused)?;
    let lock = Lock::take(client, &config.target, config.pooling).await.map_err(refused)?;
    let done = match is_distributed(client).await {
        Ok(true) => Ok(Distributed::Before),
        Ok(false) => client.batch_execute(DISTRIBUTE).await.map(|()| Distributed::Now),
        Err(error) => Err(error),
    };
    // The lock ends with its connection, should this fail.
    let unlocked = lock.release(client).await;
    let done = done.map_err(failed)?;
    unlocked.map_err(refused)?;
    Ok((ran, done))
}

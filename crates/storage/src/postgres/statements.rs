//! Every statement that requests use, and the two ways to send one.
//!
//! A connection that is ours alone has its statements prepared once. Behind a pooler in transaction mode the next statement may meet another
//! server process, which knows nothing of them: there a statement goes out whole each time, with the types of its parameters, in one
//! round trip. The types are asked for once.

use std::sync::Arc;

use tokio_postgres::{
    Client, Error, Row, Statement,
    types::{ToSql, Type},
};

use super::connect::Connection;

/// A statement.
pub(super) enum Query {
    /// Prepared on this connection.
    Prepared(Statement),
    /// Sent whole.
    Whole(&'static str, Vec<Type>),
}

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        /// The statements of a connection.
        pub(super) struct Statements {
            $(pub(super) $name: Query),+
        }

        impl Statements {
            /// Prepares all of them in one round trip.
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                let ($($name),+) = tokio::try_join!(
                    $(client.prepare(include_str!(concat!("sql/", stringify!($name), ".sql")))),+
                )?;
                Ok(Self { $($name: Query::Prepared($name)),+ })
            }

            /// The same statements, to be sent whole.
            fn whole(&self) -> Self {
                Self { $($name: self.$name.whole(include_str!(concat!("sql/", stringify!($name), ".sql")))),+ }
            }
        }
    };
}

statements! {
    read, read_small, read_header, read_shared, read_many, page_up, page_down, page_values, page_values_at, confirm,
    headers, hold, requests, draw, clock, upsert, upsert_at_once, upsert_requests,
    revisions, fence_lock, fence_look, fence_nodes, fence_beat, fence_close, fence_open, fence_remove, fence_leave,
    due, bury, remove, remove_requests, requests_over, save_time, last_revision, reach_revision,
}

impl Statements {
    /// Asks for the types of all statements' parameters. It leaves nothing behind: all of it is one transaction, which one server
    /// process sees from its beginning to its end.
    pub(super) async fn ask(client: &Client) -> Result<Arc<Self>, Error> {
        client.batch_execute("BEGIN").await?;
        let prepared = Self::prepare(client).await?;
        let whole = prepared.whole();
        // Each is closed here, before the transaction ends.
        drop(prepared);
        client.batch_execute("COMMIT").await?;
        Ok(Arc::new(whole))
    }
}

impl Query {
    fn whole(&self, sql: &'static str) -> Self {
        match self {
            Self::Prepared(statement) => Self::Whole(sql, statement.params().to_vec()),
            Self::Whole(sql, types) => Self::Whole(sql, types.clone()),
        }
    }
}

type Parameters<'a> = [&'a (dyn ToSql + Sync)];

fn typed<'a>(parameters: &Parameters<'a>, types: &[Type]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    parameters.iter().copied().zip(types.iter().cloned()).collect()
}

/// As with the client's own methods, a statement goes out when its future is first polled.
impl Connection {
    pub(super) async fn query(&self, query: &Query, parameters: &Parameters<'_>) -> Result<Vec<Row>, Error> {
        match query {
            Query::Prepared(statement) => self.client.query(statement, parameters).await,
            Query::Whole(sql, types) => self.client.query_typed(sql, &typed(parameters, types)).await,
        }
    }

    pub(super) async fn query_one(&self, query: &Query, parameters: &Parameters<'_>) -> Result<Row, Error> {
        match query {
            Query::Prepared(statement) => self.client.query_one(statement, parameters).await,
            Query::Whole(sql, types) => self.client.query_typed_one(sql, &typed(parameters, types)).await,
        }
    }

    pub(super) async fn query_opt(&self, query: &Query, parameters: &Parameters<'_>) -> Result<Option<Row>, Error> {
        match query {
            Query::Prepared(statement) => self.client.query_opt(statement, parameters).await,
            Query::Whole(sql, types) => self.client.query_typed_opt(sql, &typed(parameters, types)).await,
        }
    }

    pub(super) async fn execute(&self, query: &Query, parameters: &Parameters<'_>) -> Result<u64, Error> {
        match query {
            Query::Prepared(statement) => self.client.execute(statement, parameters).await,
            Query::Whole(sql, types) => self.client.execute_typed(sql, &typed(parameters, types)).await,
        }
    }
}

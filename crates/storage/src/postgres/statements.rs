//! Every statement that connections prepare. They are prepared once per connection.

use tokio_postgres::{Client, Error, Statement};

macro_rules! statements {
    ($($name:ident),+ $(,)?) => {
        /// The prepared statements of a connection.
        pub(super) struct Statements {
            $(pub(super) $name: Statement),+
        }

        impl Statements {
            /// Prepares all of them in one round trip.
            pub(super) async fn prepare(client: &Client) -> Result<Self, Error> {
                let ($($name),+) = tokio::try_join!(
                    $(client.prepare(include_str!(concat!("sql/", stringify!($name), ".sql")))),+
                )?;
                Ok(Self { $($name),+ })
            }
        }
    };
}

statements! {
    read, read_small, read_header, read_shared, read_many, page_up, page_down, page_values, page_values_at, confirm,
    headers, hold, requests, draw, clock, upsert, upsert_at_once, upsert_requests,
    revisions, fence_lock, fence_look, fence_nodes, fence_beat, fence_close, fence_open, fence_remove, fence_leave,
    due, bury, remove, remove_requests, save_time, last_revision, reach_revision,
}

//! Servers for tests: PostgreSQL, PgBouncer and Redis from Debian's packages, each in a temporary folder and on free ports of loopback; and a link
//! between a client and a server that can be broken.
//!
//! A server ends with the value that started it, and with its process too where that one is killed: nothing is left running, and
//! no folder is left behind. It knows nothing of kvstore.

mod certificates;
mod guard;
mod pgbouncer;
mod postgres;
mod proxy;
mod redis;
mod wait;

pub use certificates::{Authority, Issued};
pub use guard::Signal;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::{Postgres, PostgresOptions, Syncing};
pub use proxy::{Direction, Flow, Proxy};
pub use redis::Redis;
pub use wait::{free_port, free_ports, wait_until};

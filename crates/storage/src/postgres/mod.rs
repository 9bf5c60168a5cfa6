//! The store over PostgreSQL, or over what speaks its protocol: a node keeps nothing, and any number of nodes work on one database.
//!
//! It uses portable SQL alone: no statement that locks rows of several keys, no function in an upsert that is not a plain column
//! or the time at which its statement came.
//!
//! **Tombstones.** A delete leaves a row without a value, for longer than any transaction lasts (`TOMBSTONE_SECONDS`). It keeps the
//! revision, so revisions grow per key across deletion and creation (C13); and absence is a state with a revision, so a write that
//! rests on it can be checked like any other (C2).
//!
//! **Writes** are optimistic and grouped (`queue.rs`, `group.rs`). A group reads its rows without locks, is evaluated by
//! `kvstore_types::evaluate` against a plan of final states (`plan.rs`), and written by one sorted upsert that touches a row only where its
//! revision is still the one read (`commit.rs`). Fewer rows than sent: somebody else was faster, so it is evaluated anew. A batch that was too
//! late several times, alone, locks its rows before it reads, one statement each.
//!
//! **No write takes effect long after it was given up.** Who was told *unknown* looks, and goes on; and behind a fenced cache the other
//! nodes go on without a node that stands still (`CACHE_REMOVAL_MS`). So a batch is tried for `DATABASE_WRITE_MS_MAX`, by a clock that
//! counts a suspended machine's time too, and no longer than somebody waits; and a statement that reaches the database later than
//! `DATABASE_ARRIVAL_MS_MAX` after its snapshot writes nothing, which the database decides. What stands still behind BEGIN is undone by
//! the session's limit (`DATABASE_IDLE_MS_MAX`). One thing is not bounded: a COMMIT that waits for a synchronous standby is written
//! already, and is seen when the standby is back; only its caller is told *unknown* before.
//!
//! **Time** is the database's clock, the same for all nodes. A row's stamps grow whatever that clock does. A writer takes its time
//! before it holds the row, and a reader may take a later one and find the row expired, before the writer commits it as a live one.
//! So two rules keep expiry exact (C17): once it holds its rows, and before it commits, a writer reads the clock again, and starts over
//! if a row that it took for live has expired; and a reader that meets a row that has just expired takes a share of it, which waits for
//! such a writer, and takes it for absent only if its revision is the same then. A row that expired longer ago than a transaction can last needs
//! neither. Stamps do not move the time of other rows: store time is the clock's, not the greatest stamp.
//!
//! **Unknown.** Until COMMIT is sent, a failure means *not applied*, but for a BEGIN that failed alone. From then on a lost answer, a warning (a synchronous standby that
//! did not confirm) or an answer that is too late means *unknown*, and nothing is tried again.
//!
//! **Shards.** Where the table is sharded over machines (`distribute.rs`), a write is one transaction still, but reads of several keys see
//! no common snapshot: one may see a batch that another does not see yet. Each entry is whole. A write that is applied rests on revisions that
//! are checked as it is written, so it is as exact as before; one that changes nothing rests on what was read. `Capabilities` says so.
//!
//! Pooling is `deadpool` itself rather than its wrapper for PostgreSQL: a connection here has its statements prepared, and a task of
//! ours that counts the server's warnings.

mod address;
mod clock_watch;
mod commit;
mod config;
mod connect;
mod distribute;
mod error;
mod examine;
mod fence;
mod group;
mod plan;
mod pooling;
mod queue;
mod read;
mod reads;
mod restore;
mod rows;
mod scan;
mod schema;
mod statements;
mod store;
mod sweep;
mod target;
mod time;
mod tls;

pub use self::{
    config::{DatabaseParts, PostgresConfig},
    distribute::Distributed,
    examine::DatabaseFacts,
    pooling::{Pooling, PoolingError},
    schema::Migrate,
};
pub(crate) use self::{
    distribute::distribute,
    examine::examine,
    schema::migrate,
    store::{PostgresStore, Shared},
    time::TimeSource,
};

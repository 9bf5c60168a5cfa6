//! `Trouble`: what can go wrong with a deployment, and how each is brought about and ended.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use kvstore_testkit::{Direction, Flow, Postgres, Proxy, Redis, Signal};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::bed::{Bed, Database};
use crate::histories::random;

/// One thing that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// kill -9, and a new start.
    PostgresKilled,
    /// PostgreSQL's immediate stop, and a new start.
    PostgresRestarted,
    /// The answers of PostgreSQL to one node are lost, its commits' too, and its connections cut.
    AnswersLost,
    /// Nothing passes between PostgreSQL and one node.
    PostgresHeld,
    NodeKilled,
    /// SIGSTOP, and SIGCONT.
    NodeStopped,
    /// kill -9, and a new start with what it last saved, if it did.
    RedisKilled,
    RedisStopped,
    RedisFlushed,
    /// It writes its data to disk, and comes back with them after the next kill.
    RedisSaved,
    /// One node can't reach Redis, and the other can.
    RedisCutOff,
    /// Nothing passes between Redis and one node.
    RedisHeld,
}

impl Trouble {
    /// Those of Redis alone.
    pub(super) const REDIS: [Trouble; 6] =
        [Trouble::RedisKilled, Trouble::RedisStopped, Trouble::RedisFlushed, Trouble::RedisSaved, Trouble::RedisCutOff, Trouble::RedisHeld];

    /// Those of PostgreSQL and of the links to it.
    pub(super) const POSTGRES: [Trouble; 4] =
        [Trouble::PostgresKilled, Trouble::PostgresRestarted, Trouble::AnswersLost, Trouble::PostgresHeld];

    pub(super) const NODES: [Trouble; 2] = [Trouble::NodeKilled, Trouble::NodeStopped];

    /// Brings it about, lets it last for a time within `lasting`, and ends it.
    pub(super) async fn happen(self, bed: &mut Bed, lasting: std::ops::Range<u64>) -> anyhow::Result<()> {
        let place = rand::rng().random_range(0..bed.nodes.len());
        let lasting = random(lasting);
        match self {
            Trouble::PostgresKilled => {
                let postgres = own(bed)?;
                block_in_place(|| postgres.kill())?;
                tokio::time::sleep(lasting).await;
                block_in_place(|| postgres.start_again())
            }
            // A new start ends a running server so.
            Trouble::PostgresRestarted => {
                let postgres = own(bed)?;
                block_in_place(|| postgres.start_again())
            }
            Trouble::AnswersLost => lose_answers(link(bed, place)?, lasting).await,
            Trouble::PostgresHeld => {
                let link = link(bed, place)?;
                link.set(Direction::ToServer, Flow::Hold);
                tokio::time::sleep(lasting).await;
                link.heal();
                // What was held is late by now: nothing of it is waited for.
                link.cut();
                Ok(())
            }
            Trouble::NodeKilled => {
                bed.node(place)?.kill().await?;
                tokio::time::sleep(lasting).await;
                bed.node(place)?.start().await
            }
            Trouble::NodeStopped => {
                bed.node(place)?.running()?.pause()?;
                tokio::time::sleep(lasting).await;
                bed.node(place)?.running()?.resume()
            }
            Trouble::RedisKilled => {
                block_in_place(|| bed.redis.kill())?;
                tokio::time::sleep(lasting).await;
                block_in_place(|| bed.redis.start_again())
            }
            Trouble::RedisStopped => {
                bed.redis.signal(Signal::STOP)?;
                tokio::time::sleep(lasting).await;
                bed.redis.signal(Signal::CONT)
            }
            Trouble::RedisFlushed => tell(&bed.redis, "FLUSHALL"),
            Trouble::RedisSaved => tell(&bed.redis, "SAVE"),
            Trouble::RedisCutOff => {
                bed.node(place)?.to_redis.refuse();
                tokio::time::sleep(lasting).await;
                bed.node(place)?.to_redis.heal();
                Ok(())
            }
            Trouble::RedisHeld => {
                bed.node(place)?.to_redis.set_both(Flow::Hold);
                tokio::time::sleep(lasting).await;
                bed.node(place)?.to_redis.heal();
                Ok(())
            }
        }
    }

    /// One of these at random.
    pub(super) fn one_of(troubles: &[Trouble]) -> anyhow::Result<Trouble> {
        troubles.choose(&mut rand::rng()).copied().context("no trouble to choose from")
    }
}

fn own(bed: &Bed) -> anyhow::Result<&Postgres> {
    match &bed.database {
        Database::Own(postgres) => Ok(postgres),
        Database::Given => anyhow::bail!("a database that was given is not broken"),
    }
}

/// The link between PostgreSQL and a node.
fn link(bed: &mut Bed, place: usize) -> anyhow::Result<&Proxy> {
    bed.node(place)?.to_postgres.as_ref().context("a database that was given has no link to break")
}

/// For a moment answers are lost, and then not: an answer that is lost is a commit's only if the statements before it were answered.
const LOST_MS: std::ops::Range<u64> = 5..30;
const HEARD_MS: std::ops::Range<u64> = 30..150;

async fn lose_answers(link: &Proxy, lasting: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + lasting;
    while Instant::now() < end {
        link.set(Direction::ToClient, Flow::CutAtNext);
        tokio::time::sleep(random(LOST_MS)).await;
        link.heal();
        tokio::time::sleep(random(HEARD_MS)).await;
    }
    Ok(())
}

const REDIS_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Sends Redis a command that it answers with OK.
fn tell(redis: &Redis, command: &str) -> anyhow::Result<()> {
    block_in_place(|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port()))?;
        stream.set_read_timeout(Some(REDIS_ANSWER_MAX))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        anyhow::ensure!(answer == *b"+OK\r\n", "Redis answers {command} with {:?}", String::from_utf8_lossy(&answer));
        Ok(())
    })
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trouble::PostgresKilled => "PostgreSQL killed",
            Trouble::PostgresRestarted => "PostgreSQL restarted",
            Trouble::AnswersLost => "PostgreSQL's answers lost",
            Trouble::PostgresHeld => "PostgreSQL out of reach",
            Trouble::NodeKilled => "node killed",
            Trouble::NodeStopped => "node stopped",
            Trouble::RedisKilled => "Redis killed",
            Trouble::RedisStopped => "Redis stopped",
            Trouble::RedisFlushed => "Redis flushed",
            Trouble::RedisSaved => "Redis saved",
            Trouble::RedisCutOff => "Redis cut off from one node",
            Trouble::RedisHeld => "Redis out of one node's reach",
        })
    }
}

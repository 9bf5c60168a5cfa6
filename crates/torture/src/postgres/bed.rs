//! `Bed`: a PostgreSQL, a Redis, and two kvstores over them, each reached through links that can be broken.

use std::path::Path;

use anyhow::Context as _;
use kvstore_client::Client;
use kvstore_testkit::{Postgres, PostgresOptions, Proxy, Redis, Syncing, free_port};
use tokio::task::block_in_place;

use crate::cli::Setup;
use crate::server::{Launch, Server};

/// How the nodes use Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cache {
    Off,
    Validate,
    Fenced,
}

/// The whole deployment on this machine. It ends with this value.
pub(crate) struct Bed {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(super) nodes: Vec<Node>,
}

pub(crate) enum Database {
    /// Ours: it can be killed.
    Own(Postgres),
    /// Somebody's: it is used, and not broken.
    Given,
}

/// One kvstore and its links.
pub(super) struct Node {
    launch: Launch,
    /// `None` while it is killed.
    pub(super) server: Option<Server>,
    pub(super) client: Client,
    /// Its link to a PostgreSQL of ours.
    pub(super) to_postgres: Option<Proxy>,
    pub(super) to_redis: Proxy,
}

const NODES: usize = 2;

impl Bed {
    /// Starts everything. `given` is the URL of a database to use instead of one of ours.
    pub(crate) async fn start(setup: &Setup, name: &str, cache: Cache, given: Option<&str>) -> anyhow::Result<Bed> {
        let (database, own_url) = match given {
            Some(_) => (Database::Given, None),
            None => {
                let postgres = block_in_place(|| Postgres::start(PostgresOptions { syncing: Syncing::On, ..PostgresOptions::default() }))?;
                let url = block_in_place(|| postgres.database())?;
                (Database::Own(postgres), Some(url))
            }
        };
        let redis = block_in_place(|| Redis::start(&[]))?;
        let mut bed = Bed { database, redis, nodes: Vec::new() };
        for number in 1..=NODES {
            let log = setup.scratch.join(format!("{name}-node-{number}.log"));
            let (to_postgres, url) = match (&bed.database, &own_url, given) {
                (Database::Own(postgres), Some(url), _) => {
                    let link = Proxy::start(postgres.port())?;
                    let url = url.replace(&format!(":{}/", postgres.port()), &format!(":{}/", link.port()));
                    (Some(link), url)
                }
                (_, _, given) => (None, given.context("a database")?.to_owned()),
            };
            let to_redis = Proxy::start(bed.redis.port())?;
            let launch = launch(setup, &log, &url, &to_redis, cache)?;
            let server = launch.start().await?;
            let client = server.client.clone();
            bed.nodes.push(Node { launch, server: Some(server), client, to_postgres, to_redis });
        }
        Ok(bed)
    }

    /// A client of each node.
    pub(crate) fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }

    pub(super) fn node(&mut self, place: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(place).context("no such node")
    }

    /// Ends the nodes, as an operator would.
    pub(crate) async fn stop(mut self, faults: &mut Vec<String>) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let status = node.server.take().context("a node that does not run")?.stop().await?;
            if !status.success() {
                faults.push(format!("a node ended with {status} on SIGTERM"));
            }
        }
        Ok(())
    }
}

fn launch(setup: &Setup, log: &Path, database: &str, redis: &Proxy, cache: Cache) -> anyhow::Result<Launch> {
    let data_dir = log.with_extension("data");
    let mut launch = Launch::new(&setup.binary, data_dir, log.to_owned())
        .argument("--storage", "postgres")
        .environment("KVSTORE_DATABASE_URL", database);
    launch.listen = format!("127.0.0.1:{}", free_port()?);
    Ok(match cache {
        Cache::Off => launch,
        Cache::Validate => launch.argument("--cache", "validate").environment("REDIS_URL", redis_url(redis)),
        Cache::Fenced => launch.argument("--cache", "fenced").environment("REDIS_URL", redis_url(redis)),
    })
}

fn redis_url(link: &Proxy) -> String {
    format!("redis://127.0.0.1:{}", link.port())
}

impl Node {
    pub(super) fn running(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().context("the node does not run")
    }

    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        self.server.take().context("the node does not run")?.kill().await
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.server = Some(self.launch.start().await?);
        Ok(())
    }
}

//! The loads that run as fast as the peer answers: GET, PUT, batches, pages.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Bench;
use crate::{
    kvstore::Kvstore,
    load::{
        loader::Loader,
        redis_benchmark::{RedisBenchmark, Test},
        wrk::Wrk,
        wrk_scripts::{self, BatchAnswer},
    },
    peers::{bare_route::BareRoute, redis::Redis},
    report::{REQUESTS, Report, Unit},
    rounds::{Contender, Runner, alternate},
    targets::{self, Target},
    workload::{BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES, VALUE_BYTES},
};

pub(super) const CONNECTIONS: [usize; 3] = [1, 64, 256];
pub(super) const PUT: &str = "durable PUT, random keys";
const HOT_GET: &str = "GET, one hot key";
const RANDOM_GET: &str = "GET, random keys";
const BATCH: &str = "batch of 1,000, durable";
const BATCH_MINIMAL: &str = "the same, return=minimal";
const PAGE: &str = "page of 100";
const ITEMS: Unit = Unit { name: "items", per_request: BATCH_ITEMS as f64 };
/// With 256 batches under way the first answers take a second.
const BATCH_SECONDS_MIN: u64 = 4;
const LOADING_MAX: Duration = Duration::from_secs(120);

/// The peers of one group, all running.
struct Peers<'a> {
    bench: &'a Bench<'a>,
    kvstore: Kvstore<'a>,
    bare: BareRoute,
    redis: Redis,
}

/// Measures one group at each number of connections and judges its targets.
pub(super) async fn measure(group: &str, bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let mut peers = Peers::start(bench).await?;
    let mut schedule = bench.schedule;
    if group == "batch" {
        schedule.seconds = schedule.seconds.max(BATCH_SECONDS_MIN);
    }
    for connections in CONNECTIONS {
        let mut contenders = peers.contenders(group)?;
        alternate(&mut contenders, connections, schedule, report).await?;
    }
    peers.check().await?;
    peers.stop().await?;
    judge(group, report)
}

/// A server with all keys loaded.
pub(super) async fn loaded<'a>(bench: &Bench<'a>) -> Result<Kvstore<'a>> {
    let server = Kvstore::start(bench.setup()).await?;
    let loader = Loader { port: server.port, entries: KEYS, value_bytes: VALUE_BYTES, batch: 1_000, connections: 2, limit: LOADING_MAX };
    loader.run().await?;
    Ok(server)
}

impl<'a> Peers<'a> {
    async fn start(bench: &'a Bench<'a>) -> Result<Self> {
        let kvstore = loaded(bench).await?;
        kvstore.check_operations(KEYS, VALUE_BYTES, PAGE_ENTRIES, BATCH_ITEMS).await?;
        let entry = kvstore.check_entry(HOT_KEY, VALUE_BYTES).await?;
        let bare = BareRoute::start(bench.work, &entry).await?;
        Ok(Self { bench, kvstore, bare, redis: Redis::start(bench.work).await? })
    }

    fn contenders(&self, group: &str) -> Result<Vec<Contender>> {
        Ok(match group {
            "hot-get" => self.readers(HOT_GET, &wrk_scripts::hot_get(), Test::HotGet)?,
            "random-get" => self.readers(RANDOM_GET, &wrk_scripts::random_get(), Test::RandomGet)?,
            "put" => vec![self.kvstore(PUT, REQUESTS, &wrk_scripts::random_put())?, self.redis(PUT, Test::Set)],
            "batch" => vec![
                self.kvstore(BATCH, ITEMS, &wrk_scripts::batches(BatchAnswer::Entries))?,
                self.kvstore(BATCH_MINIMAL, ITEMS, &wrk_scripts::batches(BatchAnswer::Minimal))?,
                self.redis(BATCH, Test::Set),
            ],
            "pages" => {
                vec![self.kvstore(PAGE, REQUESTS, &wrk_scripts::pages())?, self.bare(PAGE, &wrk_scripts::hot_get())?]
            }
            _ => bail!("there is no group {group}"),
        })
    }

    fn readers(&self, load: &str, script: &str, test: Test) -> Result<Vec<Contender>> {
        Ok(vec![self.kvstore(load, REQUESTS, script)?, self.bare(load, script)?, self.redis(load, test)])
    }

    fn kvstore(&self, load: &str, unit: Unit, script: &str) -> Result<Contender> {
        self.wrk("kvstore", self.kvstore.port, load, unit, script)
    }

    fn bare(&self, load: &str, script: &str) -> Result<Contender> {
        self.wrk("bare route", self.bare.port, load, REQUESTS, script)
    }

    fn wrk(&self, peer: &'static str, port: u16, load: &str, unit: Unit, script: &str) -> Result<Contender> {
        let name: String = format!("{peer}-{load}").chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
        let script = wrk_scripts::save(self.bench.work, &name, script)?;
        let wrk = Wrk { url: format!("http://127.0.0.1:{port}"), script };
        Ok(Contender { peer, load: load.to_owned(), unit, runner: Runner::Wrk(wrk) })
    }

    fn redis(&self, load: &str, test: Test) -> Contender {
        let runner = Runner::Redis(RedisBenchmark::new(self.redis.port, test));
        Contender { peer: "redis", load: load.to_owned(), unit: REQUESTS, runner }
    }

    /// What was measured must still be whole.
    async fn check(&mut self) -> Result<()> {
        self.kvstore.check_running()?;
        for number in [0, HOT_KEY, KEYS - 1] {
            self.kvstore.check_entry(number, VALUE_BYTES).await?;
        }
        self.redis.check().await
    }

    async fn stop(self) -> Result<()> {
        self.kvstore.stop().await?;
        self.bare.stop().await?;
        self.redis.stop().await
    }
}

fn judge(group: &str, report: &mut Report) -> Result<()> {
    let ratios: &[(Target, &str, &str, usize)] = match group {
        "hot-get" => &[(targets::HOT_GET_BARE, HOT_GET, "bare route", 64), (targets::HOT_GET_REDIS, HOT_GET, "redis", 64)],
        "put" => &[(targets::PUT_64, PUT, "redis", 64), (targets::PUT_1, PUT, "redis", 1)],
        "batch" => &[(targets::BATCH, BATCH, "redis", 64)],
        "pages" => &[(targets::PAGES, PAGE, "bare route", 64)],
        _ => &[],
    };
    for (target, load, peer, connections) in ratios {
        let of = |peer: &str| report.median_of(load, peer, *connections).with_context(|| format!("{load} on {peer} was not measured"));
        let (ours, theirs) = (of("kvstore")?, of(peer)?);
        let minimal = report.median_of(BATCH_MINIMAL, "kvstore", *connections).filter(|_| *load == BATCH);
        let aside = minimal.map_or(String::new(), |rate| format!("; {:.2} x with return=minimal", rate / theirs));
        report.judge(*target, ours / theirs, format!("{ours:.0} against {theirs:.0} a second{aside}"));
    }
    Ok(())
}

//! The loads that run as fast as the peer answers: GET, PUT, batches, pages, mixes.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Bench, servers::Servers};
use crate::{
    load::{
        BatchAnswer, Keys, Operation, Plan, Server,
        redis_benchmark::{RedisBenchmark, Test},
    },
    peers::etcd,
    report::{REQUESTS, Report, Unit},
    rounds::{Contender, Runner, alternate},
    targets::{self, Target},
    workload::{BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES, VALUE_BYTES},
};

const PUT: &str = "durable PUT, random keys";
const HOT_GET: &str = "GET, one hot key";
/// Redis, loaded by redis-benchmark; the targets are set against this.
const REDIS_BENCHMARK: &str = "redis (redis-benchmark)";
const REDIS_MSET: &str = "redis, MSET";
const RANDOM_GET: &str = "GET, random keys";
const BATCH: &str = "batch of 1,000, durable";
const BATCH_MINIMAL: &str = "the same, return=minimal";
const PAGE: &str = "page of 100";
const ITEMS: Unit = Unit { name: "items", per_request: BATCH_ITEMS as f64 };
const ETCD_ITEMS: Unit = Unit { name: "items", per_request: etcd::BATCH_ITEMS as f64 };
/// With 256 batches under way the first answers take a second.
const BATCH_TIME_MIN: Duration = Duration::from_secs(4);
/// Connections of a mixed load.
const MIXED_CONNECTIONS: &[usize] = &[64];

/// Half reads, half durable writes, on keys some of which are far more popular than others.
pub(super) const MIX_HALF: (&str, Plan) = ("50 % GET, 50 % durable PUT, zipfian keys", mix(50));
const MIX_READS: (&str, Plan) = ("95 % GET, 5 % durable PUT, zipfian keys", mix(95));

/// Measures one group at each number of connections and judges its targets.
pub(super) async fn measure(group: &str, bench: &Bench<'_>, servers: &mut Servers<'_>, report: &mut Report) -> Result<()> {
    let mut schedule = bench.schedule;
    if group == "batch" && !bench.is_quick() {
        schedule.time = schedule.time.max(BATCH_TIME_MIN);
    }
    if group == "mixed" {
        schedule.connections = MIXED_CONNECTIONS;
    }
    for connections in schedule.connections {
        for mut contenders in contenders(group, servers)? {
            let measured = alternate(&mut contenders, *connections, schedule, report).await;
            // A slow machine refuses some of 256 batches at a time (503): that is an answer too, and no rate.
            if let Err(error) = measured {
                servers.check().await?;
                report.miss(&format!("{group}, {connections} connections"), format!("{error:#}"));
            }
        }
    }
    servers.check().await?;
    judge(group, report)
}

pub(super) const fn plan(operation: Operation, keys: Keys) -> Plan {
    Plan { operation, keys, value_bytes: VALUE_BYTES }
}

const fn mix(reads_percent: u32) -> Plan {
    plan(Operation::Mix { reads_percent }, Keys::Zipfian(KEYS))
}

/// The loads of a group, each with those that take part in it.
fn contenders(group: &str, servers: &Servers<'_>) -> Result<Vec<Vec<Contender>>> {
    Ok(match group {
        "hot-get" => {
            vec![and_redis_benchmark(own(HOT_GET, plan(Operation::Get, Keys::One(HOT_KEY)), servers.readers()), Test::HotGet, servers)]
        }
        "random-get" => {
            let get = own(RANDOM_GET, plan(Operation::Get, Keys::Uniform(KEYS)), servers.readers());
            vec![and_redis_benchmark(get, Test::RandomGet, servers)]
        }
        "put" => {
            let put = own(PUT, plan(Operation::Put, Keys::Uniform(KEYS)), servers.writers());
            vec![and_redis_benchmark(put, Test::Set, servers)]
        }
        "batch" => vec![batches(servers)],
        "pages" => {
            let mut pages =
                own(PAGE, plan(Operation::Page { entries: PAGE_ENTRIES }, Keys::Uniform(KEYS - PAGE_ENTRIES as u64)), paged(servers));
            pages.extend(own(PAGE, plan(Operation::Get, Keys::One(HOT_KEY)), vec![("bare route", servers.bare.server())]));
            vec![pages]
        }
        "mixed" => [MIX_HALF, MIX_READS].into_iter().map(|(load, plan)| own(load, plan, servers.writers())).collect(),
        _ => bail!("there is no group {group}"),
    })
}

/// Those with pages in the order of the keys.
fn paged(servers: &Servers<'_>) -> Vec<(&'static str, Server)> {
    servers.writers().into_iter().filter(|(name, _)| *name != "redis").collect()
}

fn own(load: &str, plan: Plan, servers: Vec<(&'static str, Server)>) -> Vec<Contender> {
    let contender = |(peer, server)| Contender { peer, load: load.to_owned(), unit: REQUESTS, runner: Runner::Own(server, plan) };
    servers.into_iter().map(contender).collect()
}

/// The same, and Redis once more by the generator that its users know.
fn and_redis_benchmark(mut contenders: Vec<Contender>, test: Test, servers: &Servers<'_>) -> Vec<Contender> {
    if let Some(at) = contenders.iter().position(|contender| contender.peer == "redis") {
        let load = contenders.get(at).map_or_else(String::new, |contender| contender.load.clone());
        contenders.insert(at + 1, redis_benchmark(&load, test, servers));
    }
    contenders
}

fn redis_benchmark(load: &str, test: Test, servers: &Servers<'_>) -> Contender {
    let runner = Runner::Redis(RedisBenchmark::new(servers.redis.server(), test));
    Contender { peer: REDIS_BENCHMARK, load: load.to_owned(), unit: REQUESTS, runner }
}

fn batches(servers: &Servers<'_>) -> Vec<Contender> {
    let of = |peer, load: &str, server, unit, items, answer| {
        let runner = Runner::Own(server, plan(Operation::Batch { items, answer }, Keys::Uniform(KEYS)));
        Contender { peer, load: load.to_owned(), unit, runner }
    };
    let (ours, redis_server) = (servers.kvstore.server(), servers.redis.server());
    let mut all = vec![
        of("kvstore", BATCH, ours, ITEMS, BATCH_ITEMS, BatchAnswer::Entries),
        redis_benchmark(BATCH, Test::Set, servers),
        of(REDIS_MSET, BATCH, redis_server, ITEMS, BATCH_ITEMS, BatchAnswer::Minimal),
    ];
    if let Some(etcd) = &servers.etcd {
        all.push(of("etcd, txn of 128", BATCH, etcd.server(), ETCD_ITEMS, etcd::BATCH_ITEMS, BatchAnswer::Minimal));
    }
    all.push(of("kvstore", BATCH_MINIMAL, ours, ITEMS, BATCH_ITEMS, BatchAnswer::Minimal));
    all
}

fn judge(group: &str, report: &mut Report) -> Result<()> {
    let ratios: &[(Target, &str, &str, usize)] = match group {
        "hot-get" => &[(targets::HOT_GET_BARE, HOT_GET, "bare route", 64), (targets::HOT_GET_REDIS, HOT_GET, REDIS_BENCHMARK, 64)],
        "put" => &[(targets::PUT_64, PUT, REDIS_BENCHMARK, 64), (targets::PUT_1, PUT, REDIS_BENCHMARK, 1)],
        "batch" => &[(targets::BATCH, BATCH, REDIS_BENCHMARK, 64)],
        "pages" => &[(targets::PAGES, PAGE, "bare route", 64)],
        _ => &[],
    };
    for (target, load, peer, connections) in ratios {
        // A quick run leaves numbers of connections out.
        if report.measurements.iter().all(|found| found.connections != *connections) {
            continue;
        }
        let ratio = report.ratio(load, ["kvstore", peer], *connections);
        let ratio = ratio.with_context(|| format!("{load} was not measured on both kvstore and {peer}"))?;
        let aside = aside(load, peer, *connections, report);
        report.judge(*target, ratio.median(), format!("{ratio}{aside}"));
    }
    Ok(())
}

/// What else a reader of a ratio should know.
fn aside(load: &str, peer: &str, connections: usize, report: &Report) -> String {
    let of = |load, peer| report.median_of(load, peer, connections);
    let against = |other| report.ratio(load, ["kvstore", other], connections).map(|ratio| ratio.median());
    match (load, peer) {
        (BATCH, _) => {
            let set = of(BATCH, REDIS_BENCHMARK).zip(of(BATCH_MINIMAL, "kvstore"));
            let minimal = set.map_or(String::new(), |(set, minimal)| format!("; {:.2} x with return=minimal", minimal / set));
            let mset = against(REDIS_MSET).map_or(String::new(), |mset| format!("; {mset:.2} x against MSET of 1,000"));
            minimal + &mset
        }
        (_, REDIS_BENCHMARK) => against("redis").map_or(String::new(), |redis| format!("; {redis:.2} x where one generator loads both")),
        _ => String::new(),
    }
}

//! kvstore over PostgreSQL, with and without a cache, beside pgbench with the same statements prepared and redis-benchmark. All of them
//! use one PostgreSQL, over TCP on loopback, with its default settings: a commit waits for the disk.

mod bed;

use anyhow::{Context, Result};
use tokio::task::block_in_place;

use self::bed::{Bed, Ground};
use super::{Bench, closed_loops::plan};
use crate::{
    load::{
        BatchAnswer, Keys, Load, Operation, Pace, Plan, Server,
        redis_benchmark::{RedisBenchmark, Test},
    },
    progress::progress,
    report::{REQUESTS, Report, Unit},
    rounds::{Contender, Runner, alternate},
    targets::{self, Target},
    workload::{BATCH_ITEMS, HOT_KEY, KEYS, PAGE_ENTRIES},
};

/// What the group decides.
pub(super) const TARGETS: &[Target] =
    &[targets::POSTGRES_GET, targets::POSTGRES_CACHED_GET, targets::POSTGRES_PUT, targets::POSTGRES_BATCH, targets::POSTGRES_HOT_PUT];

/// The table is for so many, on both sides.
const CONNECTIONS: usize = 64;
/// Keys of the cached GET: few enough to be in the cache after a moment.
const CACHED_KEYS: u64 = 10_000;
/// A cached GET is one as long as so many of them are hits.
const HITS_MIN: f64 = 0.95;

const PLAIN: &str = "kvstore";
const VALIDATE: &str = "kvstore, validate";
const FENCED: &str = "kvstore, fenced";
const PGBENCH: &str = "pgbench";
const REDIS_BENCHMARK: &str = "redis-benchmark";

const GET: &str = "PostgreSQL: GET, random keys";
const CACHED_GET: &str = "PostgreSQL: GET, cached keys";
const PUT: &str = "PostgreSQL: PUT, random keys";
const HOT_PUT: &str = "PostgreSQL: PUT, one hot key";
const BATCH: &str = "PostgreSQL: batch of 1,000";
const PAGE: &str = "PostgreSQL: page of 100";
const MIX_HALF: &str = "PostgreSQL: 50 % GET, 50 % PUT, zipfian keys";
const MIX_READS: &str = "PostgreSQL: 95 % GET, 5 % PUT, zipfian keys";

const ITEMS: Unit = Unit { name: "items", per_request: BATCH_ITEMS as f64 };

const SELECT: &str = "\\set n random(0, :keys - 1)\nSELECT value FROM plain WHERE key = 'key:' || lpad(:n::text, 12, '0');\n";
const SELECT_PAGE: &str = "\\set n random(0, :keys - 101)\n\
    SELECT key, value, version, updated_at FROM plain WHERE key >= 'key:' || lpad(:n::text, 12, '0') ORDER BY key LIMIT 100;\n";

/// What a program would write that keeps values in PostgreSQL by itself.
macro_rules! upsert {
    ($choose:literal) => {
        concat!(
            $choose,
            "INSERT INTO plain (key, value, version, updated_at) VALUES ('key:' || lpad(:n::text, 12, '0'), :value, 1, now())\n",
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = plain.version + 1, updated_at = excluded.updated_at;\n"
        )
    };
}
const UPSERT: &str = upsert!("\\set n random(0, :keys - 1)\n");
const UPSERT_HOT: &str = upsert!("\\set n 4711\n");

/// Measures the group and judges its targets.
pub(super) async fn measure(bench: &Bench<'_>, report: &mut Report) -> Result<()> {
    let ground = block_in_place(Ground::start)?;
    let bed = Bed::start(bench, &ground).await?;
    let hits = measure_cached(bench, &bed, report).await?;
    for mut contenders in contenders(&bed) {
        alternate(&mut contenders, CONNECTIONS, bench.schedule, report).await?;
    }
    bed.check().await?;
    judge(&hits, report)?;
    bed.stop().await?;
    block_in_place(|| ground.stop())
}

fn own(load: &str, plan: Plan, servers: &[(&'static str, Server)]) -> Vec<Contender> {
    let of = |(peer, server): &(&'static str, Server)| Contender {
        peer,
        load: load.to_owned(),
        unit: REQUESTS,
        runner: Runner::Own(*server, plan),
    };
    servers.iter().map(of).collect()
}

fn pgbench(load: &str, bed: &Bed<'_>, script: &'static str) -> Contender {
    Contender { peer: PGBENCH, load: load.to_owned(), unit: REQUESTS, runner: Runner::Pgbench(bed.pgbench(script)) }
}

/// Fills the cache first. Says how many of the measured reads were hits.
async fn measure_cached(bench: &Bench<'_>, bed: &Bed<'_>, report: &mut Report) -> Result<String> {
    let cached = [(FENCED, &bed.fenced), (VALIDATE, &bed.validate)];
    for (peer, server) in cached {
        progress!("{peer}: filling the cache");
        let fill = plan(Operation::Get, Keys::Cycle(CACHED_KEYS));
        let load = Load { server: server.server(), plan: fill, connections: CONNECTIONS, pace: Pace::Closed };
        let (mut filled, mut tries) = (0.0, 0);
        while filled < CACHED_KEYS as f64 * HITS_MIN && tries < 20 {
            load.run_for(bench.schedule.time).await?;
            filled = bed::metric(server, "kvstore_cache_fills_total").await?;
            tries += 1;
        }
    }
    let get = plan(Operation::Get, Keys::Uniform(CACHED_KEYS));
    let mut contenders = own(CACHED_GET, get, &cached.map(|(peer, server)| (peer, server.server())));
    let redis = RedisBenchmark::new(bed.redis.server(), Test::RandomGet);
    contenders.push(Contender { peer: REDIS_BENCHMARK, load: CACHED_GET.to_owned(), unit: REQUESTS, runner: Runner::Redis(redis) });
    let before = bed::hits(&bed.fenced).await?;
    alternate(&mut contenders, CONNECTIONS, bench.schedule, report).await?;
    let after = bed::hits(&bed.fenced).await?;
    let share = (after.0 - before.0) / (after.1 - before.1).max(1.0);
    if share < HITS_MIN {
        report.miss(CACHED_GET, format!("{:.0} % of the reads were hits", share * 100.0));
    }
    Ok(format!("; {:.1} % of all reads were hits", share * 100.0))
}

/// The loads of the group, each with those that take part in it.
fn contenders(bed: &Bed<'_>) -> Vec<Vec<Contender>> {
    let plain = (PLAIN, bed.plain.server());
    let both = [plain, (FENCED, bed.fenced.server())];
    let with = |mut contenders: Vec<Contender>, other: Contender| {
        contenders.push(other);
        contenders
    };
    let random = Keys::Uniform(KEYS);
    let page = plan(Operation::Page { entries: PAGE_ENTRIES }, Keys::Uniform(KEYS - PAGE_ENTRIES as u64));
    let batch = plan(Operation::Batch { items: BATCH_ITEMS, answer: BatchAnswer::Entries }, random);
    let batches = Contender { peer: PLAIN, load: BATCH.to_owned(), unit: ITEMS, runner: Runner::Own(plain.1, batch) };
    let mix = |reads_percent| plan(Operation::Mix { reads_percent }, Keys::Zipfian(KEYS));
    vec![
        with(own(GET, plan(Operation::Get, random), &[plain]), pgbench(GET, bed, SELECT)),
        with(own(PUT, plan(Operation::Put, random), &both), pgbench(PUT, bed, UPSERT)),
        with(own(HOT_PUT, plan(Operation::Put, Keys::One(HOT_KEY)), &[plain]), pgbench(HOT_PUT, bed, UPSERT_HOT)),
        vec![batches, pgbench(BATCH, bed, UPSERT)],
        with(own(PAGE, page, &[plain]), pgbench(PAGE, bed, SELECT_PAGE)),
        own(MIX_HALF, mix(50), &both),
        own(MIX_READS, mix(95), &both),
    ]
}

fn judge(hits: &str, report: &mut Report) -> Result<()> {
    let ratios = [
        (targets::POSTGRES_GET, GET, PLAIN, PGBENCH),
        (targets::POSTGRES_CACHED_GET, CACHED_GET, FENCED, REDIS_BENCHMARK),
        (targets::POSTGRES_PUT, PUT, PLAIN, PGBENCH),
        (targets::POSTGRES_BATCH, BATCH, PLAIN, PGBENCH),
        (targets::POSTGRES_HOT_PUT, HOT_PUT, PLAIN, PGBENCH),
    ];
    for (target, load, ours, theirs) in ratios {
        let of = |ours: &str| {
            let ratio = report.ratio(load, [ours, theirs], CONNECTIONS);
            ratio.with_context(|| format!("{load} was not measured on both {ours} and {theirs}"))
        };
        let ratio = of(ours)?;
        let aside = match load {
            CACHED_GET => format!("; {:.3} x in validate{hits}", of(VALIDATE)?.median()),
            PUT => format!("; {:.3} x behind a fenced cache", of(FENCED)?.median()),
            _ => String::new(),
        };
        report.judge(target, ratio.median(), format!("{ratio}{aside}"));
    }
    Ok(())
}

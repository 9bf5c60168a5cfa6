//! Two kvstores over one PostgreSQL and one Redis, all of which break under load. A database that was given is used as it is, and
//! not broken.

mod bed;
mod histories;
mod restarts;
mod trouble;

use clap::Args;

use crate::cli::Setup;
use crate::summary::{Report, Summary};
use bed::Bed;
pub(crate) use bed::Cache;

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// How many times PostgreSQL is restarted.
    #[arg(long, default_value_t = 50)]
    restarts: u32,
    /// How many histories are recorded and checked, of 20 s each, for each way to use the cache.
    #[arg(long, default_value_t = 50)]
    histories: u32,
    /// How the nodes use Redis; may be repeated.
    #[arg(long, default_values = ["validate", "fenced"])]
    cache: Vec<Cache>,
    /// A database of your own, to be used instead of one that is started here. Its entries are deleted. It is not broken.
    #[arg(long, env = "KVSTORE_TEST_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

pub(crate) async fn run(setup: &Setup, wanted: &Wanted, summary: &mut Summary) {
    let is_given = wanted.database_url.is_some();
    for cache in &wanted.cache {
        let (restarts, histories) = match cache {
            Cache::Off => (("restarts, no cache", "cycles, no cache"), "histories, no cache"),
            Cache::Validate => (("restarts, cache=validate", "cycles, cache=validate"), "histories, cache=validate"),
            Cache::Fenced => (("restarts, cache=fenced", "cycles, cache=fenced"), "histories, cache=fenced"),
        };
        if wanted.restarts > 0 {
            let restarts = if is_given { restarts.1 } else { restarts.0 };
            summary.add(restarts, run_restarts(setup, wanted, *cache).await);
        }
        if wanted.histories > 0 {
            summary.add(histories, run_histories(setup, wanted, *cache).await);
        }
    }
    if is_given {
        let why = "the database was given, so neither it nor the links to it were broken";
        summary.add("failures of PostgreSQL", Ok(Report::NotRun(why.to_owned())));
    }
}

async fn run_restarts(setup: &Setup, wanted: &Wanted, cache: Cache) -> anyhow::Result<Report> {
    let mut bed = Bed::start(setup, &format!("restarts-{cache:?}"), cache, wanted.database_url.as_deref()).await?;
    // The restarts are shared out among the ways to use the cache.
    let share = wanted.restarts.div_ceil(u32::try_from(wanted.cache.len().max(1))?);
    let report = restarts::run(&mut bed, share).await?;
    finish(bed, report).await
}

async fn run_histories(setup: &Setup, wanted: &Wanted, cache: Cache) -> anyhow::Result<Report> {
    let mut bed = Bed::start(setup, &format!("histories-{cache:?}"), cache, wanted.database_url.as_deref()).await?;
    let report = histories::run(&mut bed, cache, wanted.histories, &setup.scratch).await?;
    finish(bed, report).await
}

/// Ends the deployment. That its nodes end well is part of what is shown.
async fn finish(bed: Bed, report: Report) -> anyhow::Result<Report> {
    let mut faults = Vec::new();
    bed.stop(&mut faults).await?;
    Ok(report.with(faults))
}

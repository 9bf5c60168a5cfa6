//! `kvstore bench`: YCSB's core workloads against a running server, through the client alone.
//!
//! `records.rs` loads and deletes, `run.rs` does the operations at the `pace.rs`, each of a kind (`workload.rs`) on a record
//! (`distribution.rs`); `tally.rs` counts and `report.rs` tells. Nothing but records under the prefix is ever written or deleted.

mod distribution;
mod operation;
mod pace;
mod records;
mod report;
mod run;
mod tally;
mod workload;

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Args;
use kvstore_client::Client;
use kvstore_types::limits::VALUE_BYTES_MAX_DEFAULT;
use tokio_util::sync::CancellationToken;

use self::{
    distribution::{Chooser, Distribution},
    pace::Limit,
    records::{Found, Records},
    report::{Head, Load, Pacing, Report},
    run::{Outcome, Plan},
    workload::Workload,
};
use super::{
    bar,
    connect::{Server, check},
    output::{self, Answer},
};
use crate::{
    exit::{Exit, Fatal},
    shutdown::Signals,
};

/// Characters of a prefix: the rest of a key is the run's own.
const PREFIX_CHARS_MAX: usize = 200;

/// Measure a server with YCSB's workloads
///
/// Records are loaded under the prefix, the workload runs on them, and they are deleted at the end, also after Ctrl-C. Other keys are
/// never touched. The load is real: do not run it on a server whose users must not feel it.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done; 2 wrong usage, no operation succeeded, or the server can't be reached; \
130 a signal cut it short.")]
pub(super) struct Bench {
    /// What is done how often
    #[arg(long, short, value_name = "LETTER", default_value = "a", ignore_case = true)]
    workload: Workload,

    /// How many records there are
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    records: u64,

    /// End after this many operations
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    operations: Option<u64>,

    /// End after this many seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: u64,

    /// Connections, each with one request at a time
    #[arg(long, short, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,

    /// Bytes of a value
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=VALUE_BYTES_MAX_DEFAULT as i64))]
    value_bytes: u32,

    /// Which records are touched most often
    #[arg(long, value_name = "NAME", default_value = "zipfian")]
    distribution: Distribution,

    /// Operations per second that are due whatever the server does; without it, each connection asks again once it is answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// What all keys begin with
    #[arg(long, value_name = "TEXT", default_value = "bench/", value_parser = parse_prefix)]
    prefix: String,

    /// Use the records that an earlier run left with --keep; nothing is deleted then
    #[arg(long, conflicts_with = "replace")]
    no_load: bool,

    /// Load over the records that an earlier run left
    #[arg(long)]
    replace: bool,

    /// Leave the records there at the end
    #[arg(long)]
    keep: bool,

    /// The same seed draws the same operations
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    server: Server,
}

fn parse_prefix(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0 => Err("it is empty, and all keys of the store would lie under it".into()),
        1..=PREFIX_CHARS_MAX if !text.contains('\0') => Ok(text.to_owned()),
        1..=PREFIX_CHARS_MAX => Err("it holds U+0000, which no key may hold".into()),
        chars => Err(format!("it has {chars} characters; the limit is {PREFIX_CHARS_MAX}")),
    }
}

/// What a run works with.
struct Session {
    signals: Signals,
    /// By a first signal.
    stop: CancellationToken,
    /// A second signal came: nothing more is done.
    left: bool,
    client: Client,
    clients: Vec<Client>,
    records: Arc<Records>,
}

impl Bench {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        check(&client).await?;
        let records = Arc::new(Records::new(&self.prefix, self.records, self.value_bytes as usize, self.seed));
        self.prepare(&client, &records).await?;
        // Each connection has a client of its own, whose pool then holds one connection.
        let clients = (0..self.connections).map(|_| self.server.client()).collect::<anyhow::Result<_>>()?;
        let signals = Signals::register().context("signals can't be caught")?;
        let mut session = Session { signals, stop: CancellationToken::new(), left: false, client, clients, records };
        let measured = self.measure(&mut session).await;
        let deleted = if self.keep || self.no_load { Ok(()) } else { session.delete().await };
        let deleted =
            deleted.with_context(|| format!("records are left under {:?}; delete them by a short run with --replace", self.prefix));
        match measured {
            Ok(measured) => {
                let exit = self.tell(&session, measured)?;
                deleted.map(|()| exit)
            }
            Err(error) => {
                if let Err(left) = deleted {
                    writeln!(io::stderr(), "{}", output::harmless(&format!("{left:#}")))?;
                }
                Err(error)
            }
        }
    }

    /// Makes sure that nothing of the user's is in the way.
    async fn prepare(&self, client: &Client, records: &Records) -> anyhow::Result<()> {
        if self.no_load {
            return records.expect_loaded(client).await;
        }
        match records.find(client).await? {
            Found::Nothing => Ok(()),
            Found::Records if self.replace => Ok(()),
            Found::Records => bail!(
                "an earlier run left records under {:?}; use them with --no-load, load over them with --replace (and delete them at \
                the end), or name another --prefix",
                self.prefix
            ),
            Found::Foreign(key) => {
                bail!("there are keys under {:?} that this did not load ({:?}); name another --prefix", self.prefix, key.as_str())
            }
        }
    }

    /// Loads and runs. `None` where it was stopped before the run.
    async fn measure(&self, session: &mut Session) -> anyhow::Result<Option<(Option<Load>, Outcome)>> {
        let load = if self.no_load { None } else { Some(session.load(self.records).await?) };
        if session.stop.is_cancelled() {
            return Ok(None);
        }
        let plan = Plan {
            workload: self.workload,
            chooser: Chooser::new(self.distribution, self.records),
            records: Arc::clone(&session.records),
            limit: self.operations.map_or(Limit::Time(Duration::from_secs(self.seconds)), Limit::Operations),
            rate: self.rate.map(f64::from),
            seed: self.seed,
        };
        let outcome = session.run(&plan).await?;
        Ok(Some((load, outcome)))
    }

    fn tell(&self, session: &Session, measured: Option<(Option<Load>, Outcome)>) -> anyhow::Result<Exit> {
        let interrupted = session.stop.is_cancelled();
        let Some((load, outcome)) = measured else {
            writeln!(io::stderr(), "interrupted while loading; nothing was measured")?;
            return Ok(Exit::Killed);
        };
        let head = Head {
            url: session.client.url().to_owned(),
            workload: self.workload,
            distribution: self.distribution,
            records: session.records.loaded(),
            value_bytes: self.value_bytes as usize,
            connections: session.clients.len(),
            seed: self.seed,
            pacing: if self.rate.is_some() { Pacing::Open } else { Pacing::Closed },
            rate: self.rate,
            interrupted,
            load,
        };
        let report = Report::new(head, &outcome);
        if self.answer.is_json() {
            output::print_document(&report)?;
        } else {
            output::print(report.text().as_bytes())?;
        }
        Ok(match (report.all_failed(), interrupted) {
            (true, _) => Exit::Error,
            (false, true) => Exit::Killed,
            (false, false) => Exit::Ok,
        })
    }
}

impl Session {
    async fn load(&mut self, records: u64) -> anyhow::Result<Load> {
        let bar = bar::counted(records, "loading");
        let begun = Instant::now();
        let (stop, all, clients) = (self.stop.clone(), Arc::clone(&self.records), self.clients.clone());
        let loaded = self.drive(all.load(&clients, &bar, &stop)).await;
        bar.finish_and_clear();
        Ok(Load::new(loaded?, begun.elapsed()))
    }

    async fn run(&mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        let bar = bar::message();
        let (stop, clients) = (self.stop.clone(), self.clients.clone());
        let outcome = self.drive(plan.run(&clients, &bar, &stop)).await;
        bar.finish_and_clear();
        outcome
    }

    /// Deletes what was loaded and inserted. A signal ends this too; then some of it is left.
    async fn delete(&mut self) -> anyhow::Result<()> {
        if self.left {
            bail!("they were not deleted");
        }
        let bar = bar::counted(self.records.count(), "deleting");
        let (records, client) = (Arc::clone(&self.records), self.client.clone());
        let stopped = std::mem::replace(&mut self.stop, CancellationToken::new());
        let stop = self.stop.clone();
        let deleted = self.drive(records.delete(&client, &bar, &stop)).await;
        bar.finish_and_clear();
        let cut_short = self.stop.is_cancelled();
        self.stop = stopped;
        deleted?;
        if cut_short {
            self.stop.cancel();
            return Err(Fatal::new(Exit::Killed, "interrupted while deleting").into());
        }
        Ok(())
    }

    /// Waits for a piece of work. The first signal asks it to stop, the second one leaves it.
    async fn drive<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                _ = self.signals.next() => {
                    if self.stop.is_cancelled() {
                        self.left = true;
                        return Err(Fatal::new(Exit::Killed, "a second signal ended it at once").into());
                    }
                    self.stop.cancel();
                }
                done = &mut work => return done,
            }
        }
    }
}

//! Failover under load: the primary of a PostgreSQL under Patroni is killed again and again. It uses the deployment of
//! `examples/patroni`, so that what the example promises is what is shown.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use kvstore_client::Client;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::cli::Setup;
use crate::histories::{self, Needs, Recording, Span, Tally};
use crate::journal::{Answer, Op};
use crate::round::Rounds;
use crate::summary::{Report, say};

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// How many times the primary is killed.
    #[arg(long, default_value_t = 10)]
    failovers: u32,
    /// The script that starts and breaks the deployment.
    #[arg(long, default_value = "examples/patroni/run.sh")]
    script: PathBuf,
}

/// Writes must be back so long after the primary was killed: Patroni has 30 s, and we have 2.
const BACK_MAX: Duration = Duration::from_secs(32);

/// All kinds of writes are waited for so long, also if that is too late.
const ALL_KINDS_MAX: Duration = Duration::from_secs(90);

/// The load runs this long before the primary is killed, and after all is well again.
const LOAD_MS: std::ops::Range<u64> = 1_000..3_000;

const NEEDS: Needs = Needs { successes: 300, in_trouble: 10 };

pub(crate) async fn run(setup: &Setup, wanted: &Wanted) -> anyhow::Result<Report> {
    let deployment = Deployment::start(setup, &wanted.script)?;
    let clients = deployment.clients()?;
    let mut failovers = Failovers { deployment, clients, rounds: Rounds::default(), tally: Tally::default(), slowest: Duration::ZERO };
    for failover in 1..=wanted.failovers {
        failovers.failover(failover, &setup.scratch).await?;
        if !failovers.rounds.faults.is_empty() {
            break;
        }
    }
    let counted = format!(
        "{} failovers, writes back within {:.1?} at the most; {}; {}",
        wanted.failovers,
        failovers.slowest,
        failovers.rounds.text(),
        failovers.tally.text()
    );
    Ok(Report::of(failovers.rounds.faults, counted))
}

struct Failovers {
    deployment: Deployment,
    clients: Vec<Client>,
    rounds: Rounds,
    tally: Tally,
    /// The longest time without any acknowledged write.
    slowest: Duration,
}

impl Failovers {
    async fn failover(&mut self, failover: u32, keep: &Path) -> anyhow::Result<()> {
        let load = self.rounds.load(&self.clients);
        let recording = Recording::start(histories::plan(self.clients.clone(), failover)?);
        Rounds::until_all_kinds(&load, histories::random(LOAD_MS)).await?;
        let from = recording.now();
        let killed_at = std::time::Instant::now();
        let killed = self.deployment.run(&["kill-primary"])?;
        let before = load.shared.counts.copy();
        Rounds::until_all_kinds_since(&load, &before, ALL_KINDS_MAX).await?;
        tokio::time::sleep(histories::random(LOAD_MS)).await;
        let span = Span { from, to: recording.now() };
        let ops = self.rounds.drained(load).await?;
        let faults = &mut self.rounds.faults;
        self.tally.add(recording.end().await.judge(&[span], NEEDS, &keep.join(format!("failover-{failover}.txt")), faults));
        let back = without_writes(&ops, killed_at);
        say(&format!("failover {failover}: {killed} killed, writes back after {back:.1?}"));
        if back > BACK_MAX {
            self.rounds.faults.push(format!("failover {failover}: no write for {back:.1?}, and {BACK_MAX:?} is the most"));
        }
        self.slowest = self.slowest.max(back);
        let reader = self.clients.get(failover as usize % self.clients.len().max(1)).context("no nodes")?;
        self.rounds.check(reader, failover, &ops).await?;
        let repeated = self.rounds.take_repeats();
        self.rounds.check(reader, failover, &repeated).await?;
        self.deployment.run(&["revive", &killed])?;
        Ok(())
    }
}

/// The longest time after `killed_at` in which no write was acknowledged.
fn without_writes(ops: &[Op], killed_at: std::time::Instant) -> Duration {
    let acknowledged = ops.iter().filter_map(|op| match op.answer {
        Answer::Applied { completed_at, .. } if completed_at > killed_at => Some(completed_at),
        _ => None,
    });
    let mut times: Vec<_> = acknowledged.chain([killed_at]).collect();
    times.sort_unstable();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(earlier, later)| later.saturating_duration_since(*earlier));
    gaps.max().unwrap_or(Duration::MAX)
}

/// The example's deployment. It ends with this value.
struct Deployment {
    script: PathBuf,
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
}

/// The script uses this many ports.
const PORTS: u16 = 100;

impl Deployment {
    fn start(setup: &Setup, script: &Path) -> anyhow::Result<Deployment> {
        let script = std::path::absolute(script)?;
        anyhow::ensure!(script.is_file(), "there is no {}; start from the repository, or name it with --script", script.display());
        // The servers run as another user, who must be able to enter.
        let folder = tempfile::Builder::new().prefix("kvstore-ha-").tempdir()?.keep();
        let port = kvstore_testkit::free_port()?.min(u16::MAX - PORTS);
        let deployment = Deployment { script, binary: setup.binary.clone(), folder, port };
        let began = Instant::now();
        deployment.run(&["up"])?;
        say(&format!("three PostgreSQL under Patroni and two nodes, up in {:.1?}", began.elapsed()));
        Ok(deployment)
    }

    fn clients(&self) -> anyhow::Result<Vec<Client>> {
        [1, 2].into_iter().map(|node| Ok(Client::new(&format!("http://127.0.0.1:{}", self.port + node), None)?)).collect()
    }

    /// Runs the script, and gives what it prints.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = block_in_place(|| self.call(arguments))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() {
            bail!("{} {}: {said} {}", self.script.display(), arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(said)
    }

    fn call(&self, arguments: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new(&self.script);
        command.args(arguments).env("KVSTORE", &self.binary).env("EXAMPLE_DIR", &self.folder);
        command.env("EXAMPLE_PORT", self.port.to_string()).output()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["clean"]) {
            say(&format!("the deployment could not be ended: {error:#}"));
        }
    }
}

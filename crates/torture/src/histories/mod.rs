//! Histories of one server that is killed and stopped again and again, checked for linearizability. Two servers that are taken for
//! two nodes of one store must be found out.

mod ask;
mod choose;
mod recorder;
mod verdict;

use std::time::Duration;

use kvstore_client::Client;
use kvstore_types::Key;
use rand::Rng as _;
use tokio::time::Instant;

use crate::cli::Setup;
use crate::linear;
use crate::server::{Launch, Server};
use crate::summary::{Report, say};
pub(crate) use recorder::{Plan, Recording};
pub(crate) use verdict::{Needs, Span, Tally};

/// Tasks that ask at the same time, and the keys that they ask for: few, so that they meet.
const TASKS: u32 = 12;
const KEYS: usize = 4;
const PAUSE_MAX: Duration = Duration::from_millis(4);

/// Faults of each kind within a history.
const KILLS: usize = 3;
const STOPS: usize = 3;

/// Between two faults the load runs this long.
const BETWEEN_MS: std::ops::Range<u64> = 300..1_200;

/// A stopped server is woken after this long: some requests outlast it, none is given up.
const STOPPED_MS: std::ops::Range<u64> = 100..1_500;

const NEEDS: Needs = Needs { successes: 1_000, in_trouble: 100 };

/// Histories between two lines of progress.
const TOLD_EVERY: u32 = 10;

pub(crate) async fn run(setup: &Setup, histories: u32) -> anyhow::Result<Report> {
    let mut faults = Vec::new();
    two_stores_are_found_out(setup, &mut faults).await?;
    let mut tally = Tally::default();
    let mut launch = Launch::new(&setup.binary, setup.scratch.join("histories"), setup.scratch.join("histories.log"));
    launch.listen = format!("127.0.0.1:{}", kvstore_testkit::free_port()?);
    let mut server = launch.start().await?;
    for history in 1..=histories {
        let plan = plan(vec![server.client.clone()], history)?;
        let recording = Recording::start(plan);
        let from = recording.now();
        server = break_it(&launch, server).await?;
        let span = Span { from, to: recording.now() };
        let record = recording.end().await;
        tally.add(record.judge(&[span], NEEDS, &setup.scratch.join(format!("history-{history}.txt")), &mut faults));
        if !faults.is_empty() {
            break;
        }
        if history % TOLD_EVERY == 0 {
            say(&format!("histories: {history} of {histories}"));
        }
    }
    server.stop().await?;
    let counted = format!(
        "{}; in each {KILLS} kills and {STOPS} stops; each has an order that explains it; two stores posing as one were found out",
        tally.text()
    );
    Ok(Report::of(faults, counted))
}

/// A plan for keys that no other history names, of this run or another.
pub(crate) fn plan(clients: Vec<Client>, history: u32) -> anyhow::Result<Plan> {
    let run: u32 = rand::random();
    let keys = (0..KEYS).map(|key| Key::new(&format!("history-{run:08x}-{history}/key-{key}"))).collect::<Result<Vec<_>, _>>()?;
    Ok(Plan { clients, keys, tasks: TASKS, pause_max: PAUSE_MAX })
}

/// Kills and stops the server in a random order, with load between.
async fn break_it(launch: &Launch, mut server: Server) -> anyhow::Result<Server> {
    let (mut kills, mut stops) = (KILLS, STOPS);
    while kills + stops > 0 {
        tokio::time::sleep(random(BETWEEN_MS)).await;
        if rand::rng().random_range(0..kills + stops) < kills {
            kills -= 1;
            server.kill().await?;
            server = launch.start().await?;
        } else {
            stops -= 1;
            server.pause()?;
            tokio::time::sleep(random(STOPPED_MS)).await;
            server.resume()?;
        }
    }
    tokio::time::sleep(random(BETWEEN_MS)).await;
    Ok(server)
}

/// A wait of a random length within these milliseconds.
pub(crate) fn random(milliseconds: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rand::rng().random_range(milliseconds))
}

/// Operations that are enough for two stores to contradict each other, and how long that may take.
const TELLING: usize = 400;
const TELLING_MAX: Duration = Duration::from_secs(20);

/// The checker must refuse what two separate stores answer to clients who take them for one.
async fn two_stores_are_found_out(setup: &Setup, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for name in ["apart-1", "apart-2"] {
        servers.push(Launch::new(&setup.binary, setup.scratch.join(name), setup.scratch.join(format!("{name}.log"))).start().await?);
    }
    let recording = Recording::start(plan(servers.iter().map(|server| server.client.clone()).collect(), 0)?);
    let deadline = Instant::now() + TELLING_MAX;
    while recording.answered() < TELLING {
        anyhow::ensure!(Instant::now() < deadline, "two servers answered {} requests in {TELLING_MAX:?}", recording.answered());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if linear::check(&recording.end().await.operations).is_empty() {
        faults.push("two separate stores passed for one: the checker is broken".to_owned());
    }
    for server in servers {
        server.stop().await?;
    }
    Ok(())
}

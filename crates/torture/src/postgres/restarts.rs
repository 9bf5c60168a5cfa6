//! PostgreSQL is killed and restarted under load again and again, and something beside it breaks each time too: what the journal says
//! must be there.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::bed::{Bed, Database};
use super::trouble::Trouble;
use crate::round::{ALL_KINDS_MAX, Rounds};
use crate::summary::{Report, say};
use crate::workload::Load;
use crate::{histories, observe};

/// The load runs this long, at random between the two, before the first fault and between two faults.
const LOAD_MS: std::ops::Range<u64> = 200..1_200;

/// A fault lasts this long.
const LASTING_MS: std::ops::Range<u64> = 100..1_500;

/// Progress is told once in so many cycles.
const TOLD_EVERY: u32 = 10;

/// What happened so far.
#[derive(Default)]
struct Cycles {
    rounds: Rounds,
    happened: BTreeMap<Trouble, u32>,
    /// Requests acknowledged while something beside PostgreSQL was broken.
    amid: u64,
    /// The longest time from PostgreSQL's start to the last of all kinds of writes.
    slowest: Duration,
}

pub(super) async fn run(bed: &mut Bed, restarts: u32) -> anyhow::Result<Report> {
    let mut cycles = Cycles::default();
    if let Some(client) = bed.clients().first() {
        observe::clear(client).await?;
    }
    for cycle in 1..=restarts {
        cycles.cycle(bed, cycle).await?;
        if !cycles.rounds.faults.is_empty() {
            break;
        }
        if cycle % TOLD_EVERY == 0 {
            say(&format!("restarts: {cycle} of {restarts}, {} requests acknowledged", cycles.rounds.counts.total()));
        }
    }
    cycles.report(bed, restarts)
}

impl Cycles {
    async fn cycle(&mut self, bed: &mut Bed, cycle: u32) -> anyhow::Result<()> {
        let clients = bed.clients();
        let load = self.rounds.load(&clients);
        Rounds::until_all_kinds(&load, histories::random(LOAD_MS)).await?;
        let beside = match (cycle % 3, &bed.database) {
            (0, _) | (1, Database::Given) => Trouble::one_of(&Trouble::NODES)?,
            (1, Database::Own(_)) => Trouble::AnswersLost,
            _ => Trouble::one_of(&Trouble::REDIS)?,
        };
        let before = load.shared.counts.total();
        self.happen(bed, beside).await?;
        self.amid += load.shared.counts.total() - before;
        tokio::time::sleep(histories::random(LOAD_MS)).await;
        if matches!(bed.database, Database::Own(_)) {
            self.happen(bed, if cycle % 4 < 2 { Trouble::PostgresKilled } else { Trouble::PostgresRestarted }).await?;
        }
        self.recover(&load).await?;
        let ops = self.rounds.drained(load).await?;
        let reader = clients.get(cycle as usize % clients.len().max(1));
        if let Some(reader) = reader {
            self.rounds.check(reader, cycle, &ops).await?;
        }
        let repeated = self.rounds.take_repeats();
        if let Some(reader) = reader {
            self.rounds.check(reader, cycle, &repeated).await?;
        }
        Ok(())
    }

    async fn happen(&mut self, bed: &mut Bed, trouble: Trouble) -> anyhow::Result<()> {
        trouble.happen(bed, LASTING_MS).await?;
        *self.happened.entry(trouble).or_default() += 1;
        Ok(())
    }

    /// Everything must come back by itself.
    async fn recover(&mut self, load: &Load) -> anyhow::Result<()> {
        let began = Instant::now();
        Rounds::until_all_kinds_since(load, &load.shared.counts.copy(), ALL_KINDS_MAX).await?;
        self.slowest = self.slowest.max(began.elapsed());
        Ok(())
    }

    fn report(mut self, bed: &Bed, restarts: u32) -> anyhow::Result<Report> {
        let of = |trouble: &Trouble| self.happened.get(trouble).copied().unwrap_or_default();
        let database = of(&Trouble::PostgresKilled) + of(&Trouble::PostgresRestarted);
        if matches!(bed.database, Database::Own(_)) && database < restarts && self.rounds.faults.is_empty() {
            self.rounds.faults.push(format!("PostgreSQL was to be restarted {restarts} times, and was {database} times"));
        }
        if self.amid == 0 {
            self.rounds.faults.push("nothing was acknowledged while something beside PostgreSQL was broken".to_owned());
        }
        let happened: Vec<String> = self.happened.iter().map(|(trouble, times)| format!("{trouble} {times} times")).collect();
        let since = if matches!(bed.database, Database::Own(_)) { "PostgreSQL's start" } else { "the end of a fault" };
        let counted = format!(
            "{}; all kinds of writes back within {:.2?} of {since}; {}; {} of them while something beside it was broken",
            happened.join(", "),
            self.slowest,
            self.rounds.text(),
            self.amid
        );
        Ok(Report::of(self.rounds.faults, counted))
    }
}

//! Histories through both nodes while Redis, PostgreSQL, nodes and links break, checked for linearizability.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::time::Instant;

use super::bed::{Bed, Cache, Database};
use super::trouble::Trouble;
use crate::histories::{Needs, Recording, Span, Tally, plan, random};
use crate::summary::{Report, say};

/// A history takes this long at least.
const HISTORY: Duration = Duration::from_secs(20);

/// A fault lasts this long, and the load runs on its own so long between two.
const LASTING_MS: std::ops::Range<u64> = 300..2_500;
const BETWEEN_MS: std::ops::Range<u64> = 300..1_500;

const NEEDS: Needs = Needs { successes: 1_000, in_trouble: 100 };

/// Histories between two lines of progress.
const TOLD_EVERY: u32 = 10;

pub(super) async fn run(bed: &mut Bed, cache: Cache, histories: u32, keep: &Path) -> anyhow::Result<Report> {
    let (mut faults, mut tally, mut happened) = (Vec::new(), Tally::default(), BTreeMap::new());
    for history in 1..=histories {
        let recording = Recording::start(plan(bed.clients(), history)?);
        let spans = break_it(bed, &planned(bed, cache, history)?, &recording, &mut happened).await?;
        let record = recording.end().await;
        tally.add(record.judge(&spans, NEEDS, &keep.join(format!("history-{history}.txt")), &mut faults));
        if !faults.is_empty() {
            break;
        }
        if history % TOLD_EVERY == 0 {
            say(&format!("histories: {history} of {histories}"));
        }
    }
    let happened: Vec<String> = happened.iter().map(|(trouble, times)| format!("{trouble} {times} times")).collect();
    Ok(Report::of(faults, format!("{}; {}; each has an order that explains it", tally.text(), happened.join(", "))))
}

/// What goes wrong in a history: everything that can go wrong with Redis, if there is a cache, and something else too.
fn planned(bed: &Bed, cache: Cache, history: u32) -> anyhow::Result<Vec<Trouble>> {
    let mut troubles = if cache == Cache::Off { Trouble::NODES.to_vec() } else { Trouble::REDIS.to_vec() };
    troubles.push(match (&bed.database, history % 3) {
        (Database::Given, _) | (_, 0) => Trouble::one_of(&Trouble::NODES)?,
        (Database::Own(_), _) => Trouble::one_of(&Trouble::POSTGRES)?,
    });
    troubles.shuffle(&mut rand::rng());
    Ok(troubles)
}

async fn break_it(
    bed: &mut Bed,
    troubles: &[Trouble],
    recording: &Recording,
    happened: &mut BTreeMap<Trouble, u32>,
) -> anyhow::Result<Vec<Span>> {
    let began = Instant::now();
    let mut spans = Vec::new();
    for trouble in troubles {
        tokio::time::sleep(random(BETWEEN_MS)).await;
        let from = recording.now();
        trouble.happen(bed, LASTING_MS).await?;
        spans.push(Span { from, to: recording.now() });
        *happened.entry(*trouble).or_default() += 1;
    }
    tokio::time::sleep(HISTORY.saturating_sub(began.elapsed()).max(random(BETWEEN_MS))).await;
    Ok(spans)
}

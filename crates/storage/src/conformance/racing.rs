//! Cases of C10: conditions are decided where the write is ordered, so that races have one winner.

use kvstore_types::{Kind, Outcome};

use super::{
    Stop,
    bed::{Bed, at, delete, if_absent, if_present, put, refused},
    check::{cases, ensure, ensure_eq},
};

cases! {
    of_racing_creators_one_wins: ["C10"],
    of_racing_updates_of_a_revision_one_wins: ["C10"],
    of_racing_deletes_one_wins: ["C10"],
    counting_by_revision_loses_no_update: ["C2", "C10"],
    transfers_keep_their_sum: ["C1", "C10"],
    of_two_batches_that_each_need_what_the_other_takes_one_is_applied: ["C2", "C10"],
    a_failing_batch_takes_no_other_down: ["C11"],
}

/// Writers in a race. More than fit one after the other between two looks of a committer.
const WRITERS: usize = 32;

async fn of_racing_creators_one_wins(bed: Bed) -> Result<(), Stop> {
    for round in 0..10 {
        let key = format!("key-{round}");
        let outcomes = bed
            .race(WRITERS, |bed, task| {
                let item = if_absent(put(&key, task.to_string()));
                async move { bed.write(vec![item]).await }
            })
            .await?;
        let winner = only_winner(&outcomes)?;
        ensure_eq!(bed.value(&key).await?, Some(winner.to_string().into_bytes()), "the value of the winner");
        let header = bed.header(&key).await?;
        for outcome in outcomes.into_iter().filter(|outcome| matches!(outcome, Outcome::ConditionFailed(_))) {
            let failed = refused(outcome)?;
            ensure!(failed.len() == 1 && failed[0].current == header, "a loser is told of the winner's entry: {failed:?}");
        }
    }
    Ok(())
}

async fn of_racing_updates_of_a_revision_one_wins(bed: Bed) -> Result<(), Stop> {
    let mut known = bed.put("key", "start").await?;
    for round in 0..10_u64 {
        let revision = known.revision;
        let outcomes = bed
            .race(WRITERS, |bed, task| async move { bed.write(vec![at(revision, put("key", format!("{round}-{task}")))]).await })
            .await?;
        let winner = only_winner(&outcomes)?;
        let value = bed.value("key").await?;
        ensure_eq!(value, Some(format!("{round}-{winner}").into_bytes()), "the value of the winner");
        let Some(header) = bed.header("key").await? else { return Err(Stop::Failed("the key is gone".into())) };
        ensure_eq!(header.version, known.version + 1, "one update in round {round}");
        known = header;
    }
    Ok(())
}

/// Write skew: each batch writes one key on a condition about another, which the other batch writes.
async fn of_two_batches_that_each_need_what_the_other_takes_one_is_applied(bed: Bed) -> Result<(), Stop> {
    for round in 0..50 {
        let keys = [format!("x{round}"), format!("y{round}")];
        let outcomes = bed
            .race(2, |bed, task| {
                // Deletes an absent key, which changes nothing, and so rests on its absence alone.
                let items = vec![if_absent(delete(&keys[task])), put(&keys[1 - task], "taken")];
                async move { bed.write(items).await }
            })
            .await?;
        only_winner(&outcomes)?;
    }
    Ok(())
}

async fn of_racing_deletes_one_wins(bed: Bed) -> Result<(), Stop> {
    for round in 0..10 {
        bed.put("key", round.to_string()).await?;
        let outcomes = bed.race(WRITERS, |bed, _| async move { bed.write(vec![if_present(delete("key"))]).await }).await?;
        only_winner(&outcomes)?;
        ensure_eq!(bed.get("key").await?, None, "the key after its deletion");
    }
    Ok(())
}

/// The position of the one batch that was applied.
fn only_winner(outcomes: &[Outcome]) -> Result<usize, Stop> {
    let winners: Vec<_> =
        outcomes.iter().enumerate().filter(|(_, outcome)| matches!(outcome, Outcome::Applied(_))).map(|(at, _)| at).collect();
    ensure!(winners.len() == 1, "one of {} racing writers is applied, found {winners:?}", outcomes.len());
    let losers = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::ConditionFailed(_))).count();
    ensure_eq!(losers, outcomes.len() - 1, "all others fail by their condition");
    Ok(winners[0])
}

async fn counting_by_revision_loses_no_update(bed: Bed) -> Result<(), Stop> {
    const EACH: u64 = 20;
    bed.put("counter", "0").await?;
    bed.race(8, |bed, _| async move {
        for _ in 0..EACH {
            add_one(&bed).await?;
        }
        Ok(())
    })
    .await?;
    ensure_eq!(bed.value("counter").await?, Some((8 * EACH).to_string().into_bytes()), "the counter");
    ensure_eq!(bed.header("counter").await?.map(|header| header.version), Some(8 * EACH + 1), "its version");
    Ok(())
}

async fn add_one(bed: &Bed) -> Result<(), Stop> {
    loop {
        let Some(entry) = bed.get("counter").await? else { return Err(Stop::Failed("the counter is gone".into())) };
        let count: u64 = String::from_utf8_lossy(&entry.value.unwrap_or_default()).parse()?;
        if let Outcome::Applied(_) = bed.write(vec![at(entry.header.revision, put("counter", (count + 1).to_string()))]).await? {
            return Ok(());
        }
    }
}

async fn transfers_keep_their_sum(bed: Bed) -> Result<(), Stop> {
    const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];
    bed.apply(ACCOUNTS.iter().map(|key| put(key, "100")).collect()).await?;
    let movers = tokio::spawn({
        let bed = bed.clone();
        async move { bed.race(6, |bed, task| async move { transfer(&bed, task).await }).await }
    });
    let mut looks = 0;
    while !movers.is_finished() || looks == 0 {
        let read = bed.get_many(&ACCOUNTS).await?;
        let mut sum = 0_i64;
        for entry in read.into_iter().flatten() {
            sum += String::from_utf8_lossy(&entry.value.unwrap_or_default()).parse::<i64>()?;
        }
        ensure!(sum == 400 || !bed.has_common_snapshot(), "the sum of all accounts in one snapshot is {sum}");
        looks += 1;
    }
    let moved: usize = super::bed::joined(movers).await?.into_iter().sum();
    ensure!(moved > 0, "some transfers were applied");
    let mut sum = 0_i64;
    for key in ACCOUNTS {
        sum += String::from_utf8_lossy(&bed.value(key).await?.unwrap_or_default()).parse::<i64>()?;
    }
    ensure_eq!(sum, 400, "the sum of all accounts at the end");
    bed.shown_with_snapshots()
}

/// Moves 1 from an account to the next, 25 times, each guarded by both revisions. Says how many went through.
async fn transfer(bed: &Bed, task: usize) -> Result<usize, Stop> {
    let names = ["a", "b", "c", "d"];
    let (from, to) = (names[task % 4], names[(task + 1) % 4]);
    let mut moved = 0;
    for _ in 0..25 {
        let read: Vec<_> = bed.get_many(&[from, to]).await?.into_iter().flatten().collect();
        ensure_eq!(read.len(), 2, "both accounts are there");
        let mut items = Vec::new();
        for (entry, (key, by)) in read.iter().zip([(from, -1), (to, 1)]) {
            let amount: i64 = String::from_utf8_lossy(entry.value.as_deref().unwrap_or_default()).parse()?;
            items.push(at(entry.header.revision, put(key, (amount + by).to_string())));
        }
        moved += usize::from(matches!(bed.write(items).await?, Outcome::Applied(_)));
    }
    Ok(moved)
}

async fn a_failing_batch_takes_no_other_down(bed: Bed) -> Result<(), Stop> {
    bed.put("taken", "x").await?;
    let outcomes = bed
        .race(64, |bed, task| async move {
            let own = put(&format!("own-{task}"), task.to_string());
            let items = if task % 3 == 0 { vec![own, if_absent(put("taken", "y"))] } else { vec![own] };
            bed.write(items).await
        })
        .await?;
    for (task, outcome) in outcomes.into_iter().enumerate() {
        let value = bed.value(&format!("own-{task}")).await?;
        if task % 3 == 0 {
            let failed = refused(outcome)?;
            ensure!(failed.len() == 1 && failed[0].index == 1, "task {task} is told which item failed: {failed:?}");
            ensure_eq!(value, None, "the key of the failed batch {task}");
        } else {
            let done = super::bed::applied(outcome)?;
            ensure_eq!(done.items.first().map(|item| item.kind), Some(Kind::Created), "the kind of batch {task}");
            ensure_eq!(value, Some(task.to_string().into_bytes()), "the key of batch {task}");
        }
    }
    Ok(())
}

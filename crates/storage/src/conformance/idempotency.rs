//! Cases of C19 to C21: repeats under an idempotency key.

use kvstore_types::{Kind, Outcome, limits::IDEMPOTENCY_KEPT_SECONDS};

use super::{
    Stop,
    bed::{Bed, applied, delete, if_absent, if_present, put, put_ttl, refused},
    check::{cases, ensure, ensure_eq},
};

cases! {
    a_repeat_gets_the_first_answer: ["C19"],
    a_repeat_does_not_evaluate_its_conditions_again: ["C19"],
    a_repeat_after_an_expiry_gets_the_first_answer: ["C19", "C17"],
    other_mutations_under_a_key_are_a_mismatch: ["C20"],
    only_applied_outcomes_are_remembered: ["C20"],
    of_racing_repeats_one_is_applied: ["C19", "C21"],
    of_racing_mismatches_one_side_is_applied: ["C20", "C21"],
    records_survive_a_reopening: ["C21", "C22"],
    records_end_after_a_day: ["C21"],
    a_replay_does_not_prolong_its_record: ["C21"],
}

/// The outcome of a repeat: the first answer, marked as a repeat.
fn replay_of(first: &Outcome) -> Result<Outcome, Stop> {
    let mut done = applied(first.clone())?;
    ensure!(!done.replayed, "the first answer is no repeat");
    done.replayed = true;
    Ok(Outcome::Applied(done))
}

async fn a_repeat_gets_the_first_answer(bed: Bed) -> Result<(), Stop> {
    bed.put("b", "0").await?;
    bed.put("c", "0").await?;
    let requests = [
        ("put", vec![put("a", "1")]),
        ("update", vec![put("a", "2")]),
        ("ttl", vec![put_ttl("t", "1", 60)]),
        ("batch", vec![put("n", "1"), put("b", "1"), delete("c"), delete("none"), put("large", vec![7; 10_000])]),
        ("delete", vec![delete("a")]),
    ];
    let mut firsts = Vec::new();
    for (key, items) in &requests {
        firsts.push(bed.write_once(items.clone(), key).await?);
    }
    bed.put("n", "later").await?;
    bed.put("a", "later").await?;
    let before = bed.contents().await?;
    for round in 0..2 {
        for ((key, items), first) in requests.iter().zip(&firsts) {
            ensure_eq!(bed.write_once(items.clone(), key).await?, replay_of(first)?, "repeat {round} of {key}");
        }
        ensure_eq!(bed.contents().await?, before, "the contents after round {round} of repeats");
        bed.advance(5);
    }
    Ok(())
}

async fn a_repeat_does_not_evaluate_its_conditions_again(bed: Bed) -> Result<(), Stop> {
    let create = vec![if_absent(put("a", "1"))];
    let first = bed.write_once(create.clone(), "create").await?;
    ensure_eq!(bed.write_once(create.clone(), "create").await?, replay_of(&first)?, "a repeat whose condition no longer holds");
    let remove = vec![if_present(delete("a"))];
    let removed = bed.write_once(remove.clone(), "remove").await?;
    ensure_eq!(bed.write_once(remove, "remove").await?, replay_of(&removed)?, "a repeat of a conditional delete");
    ensure_eq!(bed.write_once(create, "create").await?, replay_of(&first)?, "a repeat whose condition would hold again");
    ensure_eq!(bed.get("a").await?, None, "the key stays deleted");
    Ok(())
}

async fn a_repeat_after_an_expiry_gets_the_first_answer(bed: Bed) -> Result<(), Stop> {
    let items = vec![put_ttl("key", "1", 10)];
    let first = bed.write_once(items.clone(), "once").await?;
    bed.advance(20);
    for round in 0..50 {
        bed.advance(1);
        ensure_eq!(bed.write_once(items.clone(), "once").await?, replay_of(&first)?, "repeat {round}, long after the expiry");
        ensure_eq!(bed.get("key").await?, None, "the key stays expired");
    }
    Ok(())
}

async fn other_mutations_under_a_key_are_a_mismatch(bed: Bed) -> Result<(), Stop> {
    let first = bed.write_once(vec![put_ttl("key", "1", 60)], "once").await?;
    let before = bed.contents().await?;
    let others = [
        ("value", vec![put_ttl("key", "2", 60)]),
        ("key", vec![put_ttl("kez", "1", 60)]),
        ("time to live", vec![put_ttl("key", "1", 61)]),
        ("no time to live", vec![put("key", "1")]),
        ("condition", vec![if_present(put_ttl("key", "1", 60))]),
        ("kind", vec![delete("key")]),
        ("more items", vec![put_ttl("key", "1", 60), put("more", "1")]),
        ("an empty value", vec![put_ttl("key", "", 60)]),
        ("where key and value part", vec![put_ttl("ke", "y1", 60)]),
    ];
    for (differs, items) in others {
        ensure_eq!(bed.write_once(items, "once").await?, Outcome::IdempotencyMismatch, "another request by its {differs}");
        ensure_eq!(bed.contents().await?, before, "the contents after a mismatch by its {differs}");
    }
    ensure_eq!(bed.write_once(vec![put_ttl("key", "1", 60)], "once").await?, replay_of(&first)?, "the first request again");
    let done = applied(bed.write_once(vec![put_ttl("key", "1", 60)], "twice").await?)?;
    ensure!(!done.replayed && done.items[0].kind == Kind::Updated, "the same request under another key is a new one: {done:?}");
    Ok(())
}

async fn only_applied_outcomes_are_remembered(bed: Bed) -> Result<(), Stop> {
    let update = vec![if_present(put("key", "1"))];
    refused(bed.write_once(update.clone(), "update").await?)?;
    ensure_eq!(bed.write_once(vec![delete("key")], "delete").await?, Outcome::Unchanged, "a delete of an absent key");
    bed.put("key", "0").await?;
    let done = applied(bed.write_once(update, "update").await?)?;
    ensure!(!done.replayed, "a request that failed before is evaluated anew");
    // The key was used only for what was not applied, so other mutations may take it.
    let done = applied(bed.write_once(vec![delete("key"), delete("none")], "delete").await?)?;
    ensure!(!done.replayed && done.items[0].kind == Kind::Deleted, "a delete that changed nothing is evaluated anew: {done:?}");
    ensure_eq!(bed.write_once(vec![put("key", "x")], "delete").await?, Outcome::IdempotencyMismatch, "another request under its key");
    Ok(())
}

async fn of_racing_repeats_one_is_applied(bed: Bed) -> Result<(), Stop> {
    for round in 0..20 {
        let idempotency = format!("once-{round}");
        let outcomes = bed
            .race(16, |bed, _| {
                let idempotency = idempotency.clone();
                async move { bed.write_once(vec![put("key", "x"), put("other", "y")], &idempotency).await }
            })
            .await?;
        let answers = outcomes.into_iter().map(applied).collect::<Result<Vec<_>, _>>()?;
        let firsts: Vec<_> = answers.iter().filter(|done| !done.replayed).collect();
        ensure_eq!(firsts.len(), 1, "first answers among racing repeats");
        for done in &answers {
            ensure_eq!((&done.items, done.revision, done.stamp), (&firsts[0].items, firsts[0].revision, firsts[0].stamp), "a repeat");
        }
        ensure_eq!(bed.header("key").await?.map(|header| header.version), Some(round + 1), "updates after round {round}");
    }
    Ok(())
}

async fn of_racing_mismatches_one_side_is_applied(bed: Bed) -> Result<(), Stop> {
    for round in 0..20 {
        let idempotency = format!("once-{round}");
        let outcomes = bed
            .race(16, |bed, task| {
                let idempotency = idempotency.clone();
                async move { bed.write_once(vec![put("key", format!("side {}", task % 2))], &idempotency).await }
            })
            .await?;
        let Some(value) = bed.value("key").await? else { return Err(Stop::Failed("no side was applied".into())) };
        let winner = usize::from(value == b"side 1");
        for (task, outcome) in outcomes.iter().enumerate() {
            let agrees = match outcome {
                Outcome::Applied(_) => task % 2 == winner,
                Outcome::IdempotencyMismatch => task % 2 != winner,
                _ => false,
            };
            ensure!(agrees, "task {task} got {outcome:?} while side {winner} won");
        }
        ensure_eq!(bed.header("key").await?.map(|header| header.version), Some(round + 1), "updates after round {round}");
    }
    Ok(())
}

async fn records_survive_a_reopening(bed: Bed) -> Result<(), Stop> {
    let items = vec![put("key", "1"), put_ttl("large", vec![1; 5000], 60), delete("none")];
    let first = bed.write_once(items.clone(), "once").await?;
    let before = bed.contents().await?;
    let mut bed = bed;
    for round in 0..2 {
        bed = bed.reopen().await?;
        ensure_eq!(bed.write_once(items.clone(), "once").await?, replay_of(&first)?, "a repeat after reopening {round}");
        ensure_eq!(bed.write_once(vec![delete("key")], "once").await?, Outcome::IdempotencyMismatch, "another request");
        ensure_eq!(bed.contents().await?, before, "the contents after reopening {round}");
    }
    Ok(())
}

/// Moves the clock to where store time is this many microseconds before the end of a record.
fn approach_end(bed: &Bed, first: &Outcome, micros: i64) -> Result<(), Stop> {
    let end = applied(first.clone())?.stamp.plus_seconds(IDEMPOTENCY_KEPT_SECONDS);
    bed.set_clock(kvstore_types::Timestamp::from_micros(end.as_micros() - micros));
    Ok(())
}

async fn records_end_after_a_day(bed: Bed) -> Result<(), Stop> {
    let first = bed.write_once(vec![put("key", "1")], "once").await?;
    approach_end(&bed, &first, 1)?;
    ensure_eq!(bed.write_once(vec![put("key", "1")], "once").await?, replay_of(&first)?, "a repeat at the last moment");
    approach_end(&bed, &first, 0)?;
    let second = bed.write_once(vec![put("key", "1")], "once").await?;
    let done = applied(second.clone())?;
    ensure!(!done.replayed && done.items[0].kind == Kind::Updated, "a repeat a day later is a new request: {done:?}");
    // The new record counts from its own stamp, whatever becomes of the old one.
    bed.advance(IDEMPOTENCY_KEPT_SECONDS / 2);
    ensure_eq!(bed.write_once(vec![put("key", "1")], "once").await?, replay_of(&second)?, "a repeat of the new request");
    approach_end(&bed, &second, 0)?;
    let done = applied(bed.write_once(vec![put("key", "other")], "once").await?)?;
    ensure!(!done.replayed, "the key is free for another request");
    Ok(())
}

async fn a_replay_does_not_prolong_its_record(bed: Bed) -> Result<(), Stop> {
    let first = bed.write_once(vec![put("key", "1")], "once").await?;
    for hour in 1..24 {
        bed.advance(3600);
        bed.put("other", format!("{hour}")).await?;
        ensure_eq!(bed.write_once(vec![put("key", "1")], "once").await?, replay_of(&first)?, "a repeat after {hour} hours");
    }
    approach_end(&bed, &first, 0)?;
    ensure!(!applied(bed.write_once(vec![put("key", "1")], "once").await?)?.replayed, "the record ended a day after the first request");
    Ok(())
}

//! Cases of C18 below a store: what is due, and what reclaiming may touch.

use kvstore_types::{Kind, Timestamp, limits::IDEMPOTENCY_KEPT_SECONDS};

use super::{EngineBed, START, engine_cases, proposal};
use crate::{
    Durability, EngineError, Proposal, ReadTier, Reclaimable,
    conformance::{
        Stop,
        bed::{applied, delete, if_present, pattern, put, put_ttl, refused},
        check::{ensure, ensure_eq},
    },
};

engine_cases! {
    expired_entries_are_due_oldest_first: ["C17", "C18"],
    reclaiming_removes_the_named_entries_alone: ["C18", "E1"],
    meta_changes_with_a_reclaiming: ["E2"],
    reclaiming_uses_no_revision: ["C13", "C18"],
    a_reclaimed_key_starts_a_new_life: ["C12", "C13", "C18"],
    hints_from_before_a_reclaiming_are_not_trusted: ["C18", "E1"],
    records_that_count_are_not_reclaimed: ["C18", "C21"],
    what_is_due_survives_a_reopening: ["C17", "C18", "E1"],
}

fn later(seconds: u64) -> Timestamp {
    START.plus_seconds(seconds)
}

fn due_keys(bed: &EngineBed, now: Timestamp, limit: usize) -> Result<Vec<String>, Stop> {
    Ok(bed.engine.due(now, limit)?.into_iter().map(|due| due.key.as_str().to_owned()).collect())
}

fn expired_entries_are_due_oldest_first(bed: EngineBed) -> Result<(), Stop> {
    for (key, ttl) in [("c", 30), ("a", 20), ("d", 10), ("b", 40)] {
        bed.apply(vec![put_ttl(key, "x", ttl)])?;
    }
    bed.put("lasting", "x")?;
    // These had an expiry that no longer counts.
    bed.apply(vec![put_ttl("cleared", "x", 5), put_ttl("deleted", "x", 5), put_ttl("moved", "x", 5)])?;
    bed.apply(vec![put("cleared", "y"), delete("deleted"), put_ttl("moved", "y", 1_000)])?;
    ensure_eq!(due_keys(&bed, START, 10)?, Vec::<String>::new(), "due at the start");
    ensure_eq!(due_keys(&bed, later(31), 10)?, ["d", "a", "c"].map(str::to_owned).to_vec(), "due after 31 s");
    ensure_eq!(due_keys(&bed, later(100), 2)?, ["d", "a"].map(str::to_owned).to_vec(), "the two oldest after 100 s");
    let due = bed.engine.due(later(100), 1)?;
    ensure_eq!(due.first().map(|due| due.revision), Some(bed.revision("d")?), "the revision named");
    let expiry = bed.get("d")?.and_then(|entry| entry.header.expires_at).unwrap_or_default();
    ensure_eq!(due_keys(&bed, expiry, 10)?, vec!["d".to_owned()], "due at the moment of expiry");
    ensure_eq!(due_keys(&bed, Timestamp::from_micros(expiry.as_micros() - 1), 10)?, Vec::<String>::new(), "due just before it");
    Ok(())
}

fn reclaim(bed: &EngineBed, due: &[Reclaimable], now: Timestamp) -> Result<usize, Stop> {
    Ok(bed.engine.reclaim(due, now, &[("reclaimed", b"here")], Durability::Synced)?)
}

fn meta_changes_with_a_reclaiming(bed: EngineBed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("key", "x", 10)])?;
    ensure_eq!(bed.engine.meta("reclaimed")?, None, "meta before");
    let due = bed.engine.due(later(11), 10)?;
    ensure_eq!(reclaim(&bed, &due, later(11))?, 1, "entries that went");
    ensure_eq!(bed.engine.meta("reclaimed")?.as_deref(), Some(&b"here"[..]), "meta of the reclaiming");
    Ok(())
}

fn reclaiming_removes_the_named_entries_alone(bed: EngineBed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("small", "x", 10), put_ttl("large", pattern(50_000), 10), put_ttl("again", pattern(5000), 10)])?;
    bed.apply(vec![put_ttl("left", "x", 10), put_ttl("live", "x", 1_000)])?;
    let mut due: Vec<_> = bed.engine.due(later(11), 10)?.into_iter().filter(|due| due.key.as_str() != "left").collect();
    ensure_eq!(due.len(), 3, "due, less the one that stays");
    // One lives again since it was found due; one is named though it is not due; one never was.
    let again = bed.engine.apply(&[proposal(vec![put("again", "y")], None)?], later(11), &[], Durability::Synced)?.remove(0)?;
    applied(again)?;
    due.push(Reclaimable { revision: bed.revision("live")?, ..due[0].clone() });
    due.push(Reclaimable { key: kvstore_types::Key::new("never")?, ..due[0].clone() });
    due.push(Reclaimable { key: kvstore_types::Key::new("live")?, revision: bed.revision("live")? });
    ensure_eq!(reclaim(&bed, &due, later(11))?, 2, "entries that went");
    // Before store time reached their expiry, readers still saw them; looking there shows what is stored.
    let stored: Vec<_> = bed.contents_at(START)?.iter().map(|entry| entry.key.as_str().to_owned()).collect();
    ensure_eq!(stored, ["again", "left", "live"].map(str::to_owned).to_vec(), "what is stored");
    ensure_eq!(bed.value("again")?.as_deref(), Some(&b"y"[..]), "the entry that lives again");
    ensure_eq!(reclaim(&bed, &due, later(11))?, 0, "entries that went at a repeat");
    ensure_eq!(due_keys(&bed, later(11), 10)?, vec!["left".to_owned()], "what is still due");
    Ok(())
}

fn reclaiming_uses_no_revision(bed: EngineBed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("a", "x", 10)])?;
    let before = bed.engine.position();
    ensure_eq!(reclaim(&bed, &bed.engine.due(later(20), 10)?, later(20))?, 1, "entries that went");
    let after = bed.engine.position();
    ensure_eq!(after.revision, before.revision, "the revision after reclaiming");
    ensure!(after.stamp >= later(20), "the stamp after reclaiming, {:?}, is not before its proposal", after.stamp);
    let done = bed.apply(vec![put("b", "x")])?;
    ensure!(done.stamp > after.stamp && done.revision > before.revision, "a write after it goes on: {done:?}");
    Ok(())
}

fn a_reclaimed_key_starts_a_new_life(bed: EngineBed) -> Result<(), Stop> {
    let mut last = bed.apply(vec![put_ttl("a", pattern(5000), 10)])?;
    for round in 1..4 {
        let now = last.stamp.plus_seconds(10);
        ensure_eq!(reclaim(&bed, &bed.engine.due(now, 10)?, now)?, 1, "entries that went in round {round}");
        let done = bed.apply(vec![put_ttl("a", pattern(5000), 10)])?;
        ensure_eq!((done.items[0].kind, done.items[0].header.map(|header| header.version)), (Kind::Created, Some(1)), "a new life");
        ensure!(done.revision > last.revision && done.stamp > last.stamp, "it comes after the old: {done:?}");
        last = done;
    }
    Ok(())
}

fn hints_from_before_a_reclaiming_are_not_trusted(bed: EngineBed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("a", pattern(5000), 10), put("b", "x")])?;
    let Proposal { batch, .. } = proposal(vec![put("a", "new"), if_present(put("b", "y"))], None)?;
    let hints = match bed.engine.hints(&batch, ReadTier::Memory) {
        Err(EngineError::WouldBlock) => bed.engine.hints(&batch, ReadTier::Disk)?,
        near => near?,
    };
    ensure_eq!(reclaim(&bed, &bed.engine.due(later(20), 10)?, later(20))?, 1, "entries that went");
    // Proposed at a time when the hinted entry would still live: store time says otherwise.
    let outcomes = bed.engine.apply(&[Proposal { batch, hints: Some(hints) }], START, &[], Durability::Synced)?;
    let done = applied(outcomes.into_iter().next().ok_or_else(|| Stop::Failed("no outcome".into()))??)?;
    ensure_eq!(done.items.iter().map(|item| item.kind).collect::<Vec<_>>(), vec![Kind::Created, Kind::Updated], "the kinds");
    ensure_eq!(bed.value("a")?.as_deref(), Some(&b"new"[..]), "the value");
    Ok(())
}

fn records_that_count_are_not_reclaimed(bed: EngineBed) -> Result<(), Stop> {
    let once = || vec![put_ttl("a", "x", 10)];
    let first = applied(bed.group(vec![(once(), Some("once"))], &[])?.remove(0))?;
    let end = first.stamp.plus_seconds(IDEMPOTENCY_KEPT_SECONDS);
    let just_before = Timestamp::from_micros(end.as_micros() - 10);
    reclaim(&bed, &bed.engine.due(just_before, 10)?, just_before)?;
    ensure!(applied(bed.group(vec![(once(), Some("once"))], &[])?.remove(0))?.replayed, "a repeat after the entry was reclaimed");
    reclaim(&bed, &[], end)?;
    let again = applied(bed.group(vec![(once(), Some("once"))], &[])?.remove(0))?;
    ensure!(!again.replayed, "a repeat after the record ended");
    Ok(())
}

fn what_is_due_survives_a_reopening(bed: EngineBed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("a", pattern(5000), 10), put_ttl("b", "x", 20), put("c", "x")])?;
    let bed = bed.reopen()?;
    let due = bed.engine.due(later(100), 10)?;
    ensure_eq!(due_keys(&bed, later(100), 10)?, ["a", "b"].map(str::to_owned).to_vec(), "due after reopening");
    ensure_eq!(reclaim(&bed, &due, later(100))?, 2, "entries that went");
    let bed = bed.reopen()?;
    ensure_eq!(due_keys(&bed, later(100), 10)?, Vec::<String>::new(), "due after reclaiming and reopening");
    ensure_eq!(bed.contents()?.len(), 1, "what is stored");
    refused(bed.group(vec![(vec![if_present(put("a", "1"))], None)], &[])?.remove(0))?;
    Ok(())
}

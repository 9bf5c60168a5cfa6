//! Cases of E1 and E2: groups, hints and meta.

use std::sync::Arc;

use kvstore_types::{Kind, Outcome, Revision};

use super::{EngineBed, START, engine_cases, proposal};
use crate::{
    Durability, EngineError, Proposal, ReadTier,
    conformance::{
        Stop,
        bed::{applied, at, delete, if_absent, if_present, pattern, put, refused},
        check::{ensure, ensure_eq},
    },
};

engine_cases! {
    a_group_is_evaluated_in_its_order: ["E1", "C2"],
    a_repeat_within_a_group_gets_the_first_answer: ["E1", "C21"],
    a_group_leaves_its_position: ["E1", "C13", "C14"],
    meta_changes_with_its_group: ["E2"],
    a_group_without_batches_is_a_tick: ["E2", "C16"],
    meta_is_there_after_reopening: ["E1", "E2", "C14"],
    old_hints_are_not_trusted: ["E1", "C10"],
    old_hints_are_not_trusted_however_much_came_after: ["E1", "C10"],
    reads_in_memory_agree_with_reads_from_disk: ["E1", "C4"],
    a_group_is_whole_to_readers: ["E1", "C4"],
}

fn a_group_is_evaluated_in_its_order(bed: EngineBed) -> Result<(), Stop> {
    let base = bed.put("base", "0")?.revision;
    let outcomes = bed.group(
        vec![
            (vec![if_absent(put("a", "1"))], None),
            (vec![if_absent(put("a", "2")), put("untouched", "2")], None),
            (vec![at(Revision(base.0 + 1), put("a", pattern(5000)))], None),
            (vec![if_present(delete("a"))], None),
            (vec![delete("a")], None),
            (vec![put("a", "3"), put("b", "3")], None),
            (vec![at(base, put("base", "1"))], None),
            (vec![at(base, put("base", "2"))], None),
        ],
        &[],
    )?;
    ensure_eq!(outcomes.len(), 8, "an outcome for each batch");
    let kind = |at: usize| applied(outcomes[at].clone()).map(|done| (done.revision.0 - base.0, done.items[0].kind));
    ensure_eq!(kind(0)?, (1, Kind::Created), "the first put");
    ensure_eq!(refused(outcomes[1].clone())?.len(), 1, "failed items of the second put");
    ensure_eq!(kind(2)?, (2, Kind::Updated), "the update under the first put's revision: no revision was used in between");
    ensure_eq!(kind(3)?, (3, Kind::Deleted), "the delete");
    ensure_eq!(outcomes[4], Outcome::Unchanged, "the second delete");
    ensure_eq!(kind(5)?, (4, Kind::Created), "the put after the delete");
    ensure_eq!(kind(6)?, (5, Kind::Updated), "the put under a known revision");
    refused(outcomes[7].clone())?;
    let stamps: Vec<_> = outcomes.iter().filter_map(|outcome| applied(outcome.clone()).ok()).map(|done| done.stamp).collect();
    ensure!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "stamps grow within a group: {stamps:?}");
    ensure_eq!(bed.value("a")?.as_deref(), Some(&b"3"[..]), "a in the end");
    ensure_eq!(bed.value("base")?.as_deref(), Some(&b"1"[..]), "base in the end");
    ensure_eq!(bed.get("untouched")?, None, "the failed batch's other key");
    ensure_eq!(bed.contents()?.len(), 3, "entries in the end");
    Ok(())
}

fn a_repeat_within_a_group_gets_the_first_answer(bed: EngineBed) -> Result<(), Stop> {
    let outcomes = bed.group(
        vec![
            (vec![if_absent(put("a", "1"))], Some("once")),
            (vec![if_absent(put("a", "1"))], Some("once")),
            (vec![put("a", "2")], Some("once")),
            (vec![if_present(put("none", "x"))], Some("later")),
            (vec![put("none", "x")], Some("later")),
        ],
        &[],
    )?;
    let (first, repeat) = (applied(outcomes[0].clone())?, applied(outcomes[1].clone())?);
    ensure!(!first.replayed && repeat.replayed, "the second is a repeat: {outcomes:?}");
    ensure_eq!((repeat.revision, repeat.stamp, &repeat.items), (first.revision, first.stamp, &first.items), "the repeat's answer");
    ensure_eq!(outcomes[2], Outcome::IdempotencyMismatch, "another request under the key");
    refused(outcomes[3].clone())?;
    ensure!(!applied(outcomes[4].clone())?.replayed, "a failed batch leaves its key free for the next member");
    ensure_eq!(bed.get("a")?.map(|entry| entry.header.version), Some(1), "the version");
    Ok(())
}

fn a_group_leaves_its_position(bed: EngineBed) -> Result<(), Stop> {
    let mut last = bed.engine.position();
    ensure_eq!(last.revision, Revision(0), "the revision of a new engine");
    for round in 0..5 {
        let outcomes = bed.group(vec![(vec![put("a", "1")], None), (vec![put("b", "1")], None), (vec![delete("c")], None)], &[])?;
        let done = applied(outcomes[1].clone())?;
        let position = bed.engine.position();
        ensure_eq!((position.revision, position.stamp), (done.revision, done.stamp), "the position after round {round}");
        ensure!(position.revision > last.revision && position.stamp > last.stamp, "it goes on: {position:?} after {last:?}");
        last = position;
        bed.group(vec![(vec![if_absent(put("a", "1"))], None), (vec![delete("c")], None)], &[])?;
        ensure_eq!(bed.engine.position().revision, last.revision, "the revision after a group that changed nothing");
    }
    let bed = bed.reopen()?;
    ensure_eq!(bed.engine.position().revision, last.revision, "the revision after reopening");
    ensure!(bed.engine.position().stamp >= last.stamp, "the stamp after reopening");
    Ok(())
}

fn meta_changes_with_its_group(bed: EngineBed) -> Result<(), Stop> {
    ensure_eq!(bed.engine.meta("applied")?, None, "meta that no group carried");
    bed.group(vec![(vec![put("a", "1")], None)], &[("applied", b"1"), ("members", b"\x00\xff")])?;
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"1"[..]), "meta of the first group");
    bed.group(vec![(vec![put("a", "2")], None)], &[("applied", b"2")])?;
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"2"[..]), "meta of the second group");
    ensure_eq!(bed.engine.meta("members")?.as_deref(), Some(&b"\x00\xff"[..]), "meta that the second group did not carry");
    bed.group(vec![(vec![if_absent(put("a", "3"))], None)], &[("applied", b"3")])?;
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"3"[..]), "meta of a group that changed no key");
    bed.group(vec![], &[("applied", b"4")])?;
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"4"[..]), "meta of a group without batches");
    ensure_eq!(bed.contents()?.len(), 1, "entries: meta is none");
    Ok(())
}

fn a_group_without_batches_is_a_tick(bed: EngineBed) -> Result<(), Stop> {
    let done = bed.apply(vec![put("a", "1")])?;
    let at = done.stamp.plus_seconds(60);
    bed.engine.apply(&[], at, &[("applied", b"1")], Durability::Synced)?;
    let position = bed.engine.position();
    ensure_eq!((position.revision, position.stamp), (done.revision, at), "the position after a tick");
    bed.engine.apply(&[], START, &[("applied", b"2")], Durability::Synced)?;
    ensure_eq!(bed.engine.position().stamp, at, "the stamp after a tick from the past");
    Ok(())
}

fn meta_is_there_after_reopening(bed: EngineBed) -> Result<(), Stop> {
    let mut bed = bed;
    for round in 1..=3_u8 {
        let done = applied(bed.group(vec![(vec![put("a", [round])], Some(&format!("once-{round}")))], &[("round", &[round])])?.remove(0))?;
        bed = bed.reopen()?;
        ensure_eq!(bed.engine.meta("round")?.as_deref(), Some(&[round][..]), "meta after reopening");
        ensure_eq!(bed.value("a")?.as_deref(), Some(&[round][..]), "the key of the same group");
        let position = bed.engine.position();
        ensure_eq!((position.revision, position.stamp), (done.revision, done.stamp), "the position of the same group");
        let again = bed.group(vec![(vec![put("a", [round])], Some(&format!("once-{round}")))], &[])?.remove(0);
        ensure!(applied(again)?.replayed, "the record of the same group");
    }
    Ok(())
}

/// A proposal whose hints are taken now.
fn hinted(bed: &EngineBed, item: kvstore_types::Item) -> Result<Proposal, Stop> {
    let Proposal { batch, .. } = proposal(vec![item], None)?;
    let hints = match bed.engine.hints(&batch, ReadTier::Memory) {
        Err(EngineError::WouldBlock) => bed.engine.hints(&batch, ReadTier::Disk)?,
        near => near?,
    };
    Ok(Proposal { batch, hints: Some(hints) })
}

fn apply_one(bed: &EngineBed, proposal: Proposal) -> Result<Outcome, Stop> {
    Ok(bed.engine.apply(&[proposal], START, &[], Durability::Synced)?.remove(0)?)
}

fn old_hints_are_not_trusted(bed: EngineBed) -> Result<(), Stop> {
    bed.put("other", "x")?;
    let create = hinted(&bed, if_absent(put("a", "hinted")))?;
    bed.put("a", "1")?;
    refused(apply_one(&bed, create)?)?;

    let update = hinted(&bed, put("a", "2"))?;
    bed.apply(vec![delete("a")])?;
    ensure_eq!(applied(apply_one(&bed, update)?)?.items[0].kind, Kind::Created, "an update whose key was deleted since its hint");

    // The change since the hint is in the same group.
    let (first, second) = (hinted(&bed, put("b", "1"))?, hinted(&bed, if_absent(put("b", "2")))?);
    let outcomes = bed.engine.apply(&[first, second], START, &[], Durability::Synced)?;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
    applied(outcomes[0].clone())?;
    refused(outcomes[1].clone())?;

    let fresh = hinted(&bed, put("b", "3"))?;
    ensure_eq!(applied(apply_one(&bed, fresh)?)?.items[0].header.map(|header| header.version), Some(2), "a fresh hint does");
    Ok(())
}

fn old_hints_are_not_trusted_however_much_came_after(bed: EngineBed) -> Result<(), Stop> {
    bed.put("a", "1")?;
    let (update, create) = (hinted(&bed, if_present(put("a", "2")))?, hinted(&bed, if_absent(put("b", "2")))?);
    bed.apply(vec![delete("a"), put("b", "1")])?;
    for part in 0..5 {
        bed.apply((0..4096).map(|number| put(&format!("filler-{part}-{number}"), "x")).collect())?;
    }
    refused(apply_one(&bed, update)?)?;
    refused(apply_one(&bed, create)?)?;
    Ok(())
}

fn reads_in_memory_agree_with_reads_from_disk(bed: EngineBed) -> Result<(), Stop> {
    use kvstore_types::{Key, Projection};
    for round in 0..20_usize {
        for (number, size) in [0, 100, 4096, 4097, 30_000].into_iter().enumerate() {
            let name = format!("key-{number}");
            let item = if round % 5 == number { delete(&name) } else { put(&name, pattern(size + round)) };
            bed.group(vec![(vec![item], None)], &[])?;
            let key = Key::new(&name)?;
            for projection in [Projection::Header, Projection::Full] {
                let disk = bed.engine.get(&key, projection, START, ReadTier::Disk)?;
                match bed.engine.get(&key, projection, START, ReadTier::Memory) {
                    Ok(memory) => ensure_eq!(memory, disk, "{name}, {projection:?}, in round {round}"),
                    Err(EngineError::WouldBlock) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let entry = bed.engine.get(&key, Projection::Full, START, ReadTier::Disk)?;
            ensure_eq!(
                bed.engine.get_many(std::slice::from_ref(&key), START)?,
                vec![entry.clone()],
                "{name} by a read of many in round {round}"
            );
            ensure_eq!(bed.contents()?.into_iter().find(|found| found.key == key), entry, "{name} in a page in round {round}");
        }
    }
    Ok(())
}

fn a_group_is_whole_to_readers(bed: EngineBed) -> Result<(), Stop> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let keys: Vec<_> = ["a", "b", "c", "d"].iter().map(|key| kvstore_types::Key::new(key)).collect::<Result<_, _>>()?;
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (engine, done, keys) = (Arc::clone(&bed.engine), Arc::clone(&done), keys.clone());
        move || -> Result<u64, Stop> {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) || looks == 0 {
                let found = engine.get_many(&keys, START)?;
                let values: Vec<_> = found.into_iter().map(|entry| entry.and_then(|entry| entry.value)).collect();
                ensure!(values.windows(2).all(|pair| pair[0] == pair[1]), "a group is whole to a reader: {values:?}");
                looks += 1;
            }
            Ok(looks)
        }
    });
    let mut written = Ok(());
    for round in 0..300_u32 {
        // Four batches, one group: one write to every reader.
        let group = ["a", "b", "c", "d"].map(|key| (vec![put(key, round.to_string())], None)).to_vec();
        written = bed.group(group, &[]).map(drop);
        if written.is_err() {
            break;
        }
    }
    done.store(true, Ordering::SeqCst);
    let looks = reader.join().map_err(|_| Stop::Failed("the reader panicked".into()))??;
    written?;
    ensure!(looks > 0, "the reader looked");
    Ok(())
}

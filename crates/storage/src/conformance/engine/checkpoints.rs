//! Cases of E3: checkpoints, and replacing contents by them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kvstore_types::{Key, Kind};

use super::{EngineBed, START, engine_cases, proposal};
use crate::{
    Durability, EngineError, Proposal, ReadTier,
    conformance::{
        Stop,
        bed::{applied, delete, if_absent, pattern, put, put_ttl, refused},
        check::{ensure, ensure_eq},
    },
};

engine_cases! {
    a_checkpoint_brings_everything_back: ["E3"],
    a_checkpoint_is_not_written_over_what_exists: ["E3"],
    a_checkpoint_that_cannot_be_opened_changes_nothing: ["E3"],
    replaced_contents_are_there_after_reopening: ["E3"],
    hints_from_before_a_replacement_are_not_trusted: ["E3", "C10"],
    readers_see_the_old_contents_or_the_new: ["E3", "C4"],
}

fn a_checkpoint_brings_everything_back(bed: EngineBed) -> Result<(), Stop> {
    let once = vec![put("small", "1"), put("large", pattern(50_000)), put_ttl("mortal", pattern(5000), 10)];
    bed.group(vec![(once.clone(), Some("once"))], &[("applied", b"7")])?;
    bed.apply(vec![put("gone", "1")])?;
    bed.apply(vec![delete("gone")])?;
    let (contents, position) = (bed.contents()?, bed.engine.position());
    let path = bed.fixture.new_path();
    bed.engine.checkpoint(&path)?;

    bed.group(vec![(vec![put("small", "2"), delete("large"), put("new", pattern(9000))], Some("twice"))], &[("applied", b"8")])?;
    // Warm whatever cache there is: it must be swapped with the rest.
    for key in ["small", "large", "new", "mortal"] {
        drop((bed.get(key)?, bed.get(key)?));
    }
    bed.engine.replace(&path)?;
    for entry in &contents {
        ensure_eq!(bed.get(entry.key.as_str())?, Some(entry.clone()), "a key that the checkpoint holds");
    }
    ensure_eq!(bed.get("new")?, None, "a key written after the checkpoint");
    ensure_eq!(bed.contents()?, contents, "the contents of the checkpoint");
    ensure_eq!(bed.engine.position(), position, "its position");
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"7"[..]), "its meta");
    ensure_eq!(bed.engine.due(START.plus_seconds(11), 10)?.len(), 1, "expired entries to reclaim");
    let outcomes = bed.group(vec![(once, Some("once")), (vec![put("small", "3")], Some("twice"))], &[])?;
    ensure!(applied(outcomes[0].clone())?.replayed, "its idempotency records");
    ensure!(!applied(outcomes[1].clone())?.replayed, "no record made after it");
    ensure_eq!(bed.get("small")?.map(|entry| entry.header.version), Some(2), "it can be written");
    Ok(())
}

fn a_checkpoint_is_not_written_over_what_exists(bed: EngineBed) -> Result<(), Stop> {
    bed.put("a", "1")?;
    let path = bed.fixture.new_path();
    bed.engine.checkpoint(&path)?;
    bed.put("a", "2")?;
    ensure!(bed.engine.checkpoint(&path).is_err(), "a second checkpoint at the same path");
    bed.engine.replace(&path)?;
    ensure_eq!(bed.value("a")?.as_deref(), Some(&b"1"[..]), "what the first checkpoint holds");
    Ok(())
}

fn a_checkpoint_that_cannot_be_opened_changes_nothing(bed: EngineBed) -> Result<(), Stop> {
    bed.put("a", pattern(5000))?;
    let before = bed.contents()?;
    ensure!(bed.engine.replace(&bed.fixture.new_path()).is_err(), "a checkpoint that is not there");
    ensure_eq!(bed.contents()?, before, "the contents after the failed replacement");
    ensure_eq!(bed.put("a", "2")?.version, 2, "it can be written");
    Ok(())
}

fn replaced_contents_are_there_after_reopening(bed: EngineBed) -> Result<(), Stop> {
    bed.group(vec![(vec![put("a", "1"), put("large", pattern(50_000))], None)], &[("applied", b"1")])?;
    let path = bed.fixture.new_path();
    bed.engine.checkpoint(&path)?;
    let (contents, position) = (bed.contents()?, bed.engine.position());
    bed.group(vec![(vec![put("a", "2"), put("b", "2")], None)], &[("applied", b"2")])?;
    bed.engine.replace(&path)?;
    let bed = bed.reopen()?;
    ensure_eq!(bed.contents()?, contents, "the contents after reopening");
    ensure_eq!(bed.engine.position(), position, "the position after reopening");
    ensure_eq!(bed.engine.meta("applied")?.as_deref(), Some(&b"1"[..]), "the meta after reopening");
    bed.put("c", "3")?;
    let bed = bed.reopen()?;
    ensure_eq!(bed.value("c")?.as_deref(), Some(&b"3"[..]), "a write after the replacement, reopened");
    Ok(())
}

fn hints_from_before_a_replacement_are_not_trusted(bed: EngineBed) -> Result<(), Stop> {
    bed.put("old", "1")?;
    let path = bed.fixture.new_path();
    bed.engine.checkpoint(&path)?;
    bed.apply(vec![put("new", "1"), delete("old")])?;
    for _ in 0..5 {
        bed.put("filler", "x")?;
    }
    let hinted = |item| -> Result<Proposal, Stop> {
        let Proposal { batch, .. } = proposal(vec![item], None)?;
        let hints = match bed.engine.hints(&batch, ReadTier::Memory) {
            Err(EngineError::WouldBlock) => bed.engine.hints(&batch, ReadTier::Disk)?,
            near => near?,
        };
        Ok(Proposal { batch, hints: Some(hints) })
    };
    let group = [hinted(put("new", "2"))?, hinted(if_absent(put("old", "2")))?];
    bed.engine.replace(&path)?;
    let outcomes = bed.engine.apply(&group, START, &[], Durability::Synced)?.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure_eq!(applied(outcomes[0].clone())?.items[0].kind, Kind::Created, "a key that the checkpoint does not hold");
    refused(outcomes[1].clone())?;
    Ok(())
}

fn readers_see_the_old_contents_or_the_new(bed: EngineBed) -> Result<(), Stop> {
    let names = ["a", "b", "c"];
    let write = |round: u8| names.map(|key| put(key, [round])).to_vec();
    bed.apply(write(1))?;
    let keys: Vec<_> = names.iter().map(|key| Key::new(key)).collect::<Result<_, _>>()?;
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (engine, done) = (Arc::clone(&bed.engine), Arc::clone(&done));
        move || -> Result<(), Stop> {
            let mut looks = 0;
            while !done.load(Ordering::SeqCst) || looks == 0 {
                let values: Vec<_> = engine.get_many(&keys, START)?.into_iter().map(|entry| entry.and_then(|entry| entry.value)).collect();
                let whole = values.windows(2).all(|pair| pair[0] == pair[1]) && values.iter().all(Option::is_some);
                ensure!(whole, "one state of all keys: {values:?}");
                looks += 1;
            }
            Ok(())
        }
    });
    let replaced = (2..8_u8).try_for_each(|round| -> Result<(), Stop> {
        let path = bed.fixture.new_path();
        bed.engine.checkpoint(&path)?;
        bed.apply(write(round))?;
        ensure_eq!(bed.value("a")?.as_deref(), Some(&[round][..]), "the value before the replacement");
        bed.engine.replace(&path)?;
        ensure_eq!(bed.value("a")?.as_deref(), Some(&[1][..]), "the value after replacement {round}");
        Ok(())
    });
    done.store(true, Ordering::SeqCst);
    reader.join().map_err(|_| Stop::Failed("the reader panicked".into()))??;
    replaced
}

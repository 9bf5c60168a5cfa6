//! Cases of C26: a checkpoint holds what was acknowledged, whole batches only, and lies still. A store that makes none says so, and
//! its cases are skipped.

use std::io::Read;

use kvstore_types::Entry;

use super::{
    Stop,
    bed::{Bed, delete, pattern, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};
use crate::{Checkpoint, StoreError};

cases! {
    a_checkpoint_holds_what_was_acknowledged_and_lies_still: ["C26"],
    a_checkpoint_taken_under_writes_is_one_state: ["C26", "C1"],
}

async fn checkpoint(bed: &Bed) -> Result<Checkpoint, Stop> {
    match bed.store.checkpoint().await {
        Err(StoreError::NotSupported(_)) => Err(Stop::Skipped("the store makes no checkpoints")),
        made => Ok(made?),
    }
}

async fn a_checkpoint_holds_what_was_acknowledged_and_lies_still(bed: Bed) -> Result<(), Stop> {
    let once = vec![put("small", "1"), put("large", pattern(50_000)), put_ttl("mortal", pattern(5000), 1_000)];
    bed.write_once(once.clone(), "once").await?;
    bed.apply(vec![put("small", "2"), put("gone", "1")]).await?;
    bed.delete("gone").await?;
    let (before, revision) = (bed.contents().await?, bed.store.applied_revision());
    let made = checkpoint(&bed).await?;
    ensure!(made.position().revision >= revision, "it says that it ends at {}, and {revision} was applied", made.position().revision);
    ensure!(!made.identity().is_empty() && !made.files().is_empty(), "it names its store and its files");

    bed.apply(vec![put("small", "3"), put("large", pattern(9_000)), put("late", "1"), delete("mortal")]).await?;
    for file in made.files() {
        let mut bytes = Vec::new();
        made.open(file)?.read_to_end(&mut bytes)?;
        ensure_eq!(bytes.len() as u64, file.bytes, "the length of {}", file.name);
    }
    let copy = bed.copy(made).await?;
    ensure_eq!(copy.contents().await?, before, "the contents of the copy");
    ensure_eq!(copy.store.applied_revision(), revision, "its revision");
    ensure_eq!(copy.write_once(once.clone(), "once").await?, bed.write_once(once, "once").await?, "the answer to a repeat");
    ensure!(copy.put("small", "4").await?.revision > revision, "it can be written");
    ensure_eq!(bed.value("small").await?.as_deref(), Some(&b"3"[..]), "the store that it was taken from");
    Ok(())
}

async fn a_checkpoint_taken_under_writes_is_one_state(bed: Bed) -> Result<(), Stop> {
    drop(checkpoint(&bed).await?);
    let writing = bed.keep_writing(|bed, round| async move {
        let mut large = round.to_be_bytes().to_vec();
        large.resize(6_000, 7);
        bed.apply(vec![put("left", round.to_be_bytes()), put("right", large)]).await.map(drop)
    });
    // Something must have been acknowledged before the first look.
    while bed.value("left").await?.is_none() {
        tokio::task::yield_now().await;
    }
    let revision = |entry: Option<&Entry>| entry.map(|entry| entry.header.revision);
    for look in 0..4 {
        let before = revision(bed.get("left").await?.as_ref());
        let copy = bed.copy(checkpoint(&bed).await?).await?;
        let found = copy.get_many(&["left", "right"]).await?;
        let [left, right] = [0, 1].map(|at| found.get(at).and_then(Option::as_ref));
        ensure!(revision(left) >= before, "look {look} misses {before:?}, which was acknowledged: {left:?}");
        ensure_eq!(revision(left), revision(right), "revisions of one batch in look {look}");
        let value = |entry: Option<&Entry>| entry.and_then(|entry| entry.value.as_ref()?.get(..8).map(<[u8]>::to_vec));
        ensure_eq!(value(left), value(right), "values of one batch in look {look}");
    }
    writing.end().await
}

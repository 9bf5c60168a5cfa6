//! Cases of C12 to C16: versions, revisions and stamps.

use std::collections::BTreeSet;

use kvstore_types::{Kind, Outcome, Timestamp};

use super::{
    Stop,
    bed::{Bed, delete, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};

cases! {
    a_version_counts_the_updates_of_one_life: ["C12", "C13"],
    a_key_that_expired_starts_a_new_life: ["C12", "C13", "C17"],
    revisions_are_never_shared_by_batches: ["C13"],
    revisions_and_stamps_go_on_after_reopening: ["C14"],
    deleting_absent_keys_changes_nothing: ["C15"],
    updated_at_grows_while_the_clock_stands: ["C16"],
    updated_at_grows_while_the_clock_goes_back: ["C16"],
    stamps_follow_the_clock_forward: ["C16"],
}

async fn a_version_counts_the_updates_of_one_life(bed: Bed) -> Result<(), Stop> {
    let mut last = bed.put("other", "x").await?;
    for life in 0..3 {
        for version in 1..=5_u64 {
            let header = bed.put("key", format!("{life}-{version}")).await?;
            ensure_eq!(header.version, version, "the version in life {life}");
            ensure!(header.revision > last.revision, "revision {} in life {life} is after {}", header.revision, last.revision);
            ensure_eq!(bed.header("key").await?, Some(header), "the header read in life {life}");
            last = header;
        }
        let done = super::bed::applied(bed.delete("key").await?)?;
        ensure!(done.revision > last.revision, "a delete has a revision of its own");
        last.revision = done.revision;
    }
    Ok(())
}

async fn a_key_that_expired_starts_a_new_life(bed: Bed) -> Result<(), Stop> {
    let mut last = bed.apply(vec![put_ttl("key", "0", 5)]).await?;
    for life in 1..5 {
        // A second more than the time to live: stamps may run ahead of the clock.
        bed.advance(6);
        let done = bed.apply(vec![put_ttl("key", life.to_string(), 5)]).await?;
        let item = done.items[0];
        ensure_eq!(item.kind, Kind::Created, "the kind of the write of life {life}");
        let header = item.header.map(|header| (header.version, header.created_at));
        ensure_eq!(header, Some((1, done.stamp)), "version and creation in life {life}");
        ensure!(done.revision > last.revision, "revision {} in life {life} is after {}", done.revision, last.revision);
        last = done;
    }
    Ok(())
}

async fn revisions_are_never_shared_by_batches(bed: Bed) -> Result<(), Stop> {
    let revisions = bed
        .race(16, |bed, task| async move {
            let mut own = Vec::new();
            for round in 0..20 {
                let done = bed.apply(vec![put(&format!("{task}"), round.to_string()), put("shared", round.to_string())]).await?;
                own.push(done.revision);
            }
            Ok(own)
        })
        .await?;
    for (task, own) in revisions.iter().enumerate() {
        ensure!(own.windows(2).all(|pair| pair[0] < pair[1]), "the revisions of task {task} grow: {own:?}");
    }
    let all: BTreeSet<_> = revisions.into_iter().flatten().collect();
    ensure_eq!(all.len(), 16 * 20, "distinct revisions");
    ensure_eq!(bed.header("shared").await?.map(|header| header.version), Some(16 * 20), "updates of the shared key");
    Ok(())
}

async fn revisions_and_stamps_go_on_after_reopening(bed: Bed) -> Result<(), Stop> {
    let mut bed = bed;
    let mut last = bed.apply(vec![put("key", "0")]).await?;
    for round in 0..3 {
        // The last revision may be known from nothing but the position: the entry that it wrote is gone.
        let deleted = super::bed::applied(bed.delete("key").await?)?;
        ensure!(deleted.revision > last.revision, "a delete comes after the put");
        last = deleted;
        bed.turn_back(3600);
        bed = bed.reopen().await?;
        let done = bed.apply(vec![put("key", round.to_string())]).await?;
        ensure!(done.revision > last.revision, "revision {} after reopening, {} before", done.revision, last.revision);
        ensure!(done.stamp > last.stamp, "stamp {:?} after reopening, {:?} before", done.stamp, last.stamp);
        ensure!(bed.store.applied_revision() >= done.revision, "the applied revision is told");
        last = done;
    }
    Ok(())
}

async fn deleting_absent_keys_changes_nothing(bed: Bed) -> Result<(), Stop> {
    bed.put("there", "1").await?;
    bed.put("gone", "1").await?;
    bed.delete("gone").await?;
    let (before, revision) = (bed.contents().await?, bed.store.applied_revision());
    for items in [vec![delete("never")], vec![delete("gone")], vec![delete("never"), delete("gone")]] {
        ensure_eq!(bed.write(items).await?, Outcome::Unchanged, "deletes of absent keys alone");
    }
    ensure_eq!(bed.contents().await?, before, "the contents");
    ensure_eq!(bed.store.applied_revision(), revision, "the applied revision");
    let done = bed.apply(vec![delete("never"), delete("there")]).await?;
    let kinds: Vec<_> = done.items.iter().map(|item| (item.kind, item.header)).collect();
    ensure_eq!(kinds, vec![(Kind::Missing, None), (Kind::Deleted, None)], "one absent key beside one that was there");
    Ok(())
}

async fn updated_at_grows_while_the_clock_stands(bed: Bed) -> Result<(), Stop> {
    let first = bed.put("key", "0").await?;
    ensure_eq!(first.created_at, first.updated_at, "the times of a new key");
    let mut last = first;
    for round in 1..100_u64 {
        let header = bed.put("key", round.to_string()).await?;
        ensure!(header.updated_at > last.updated_at, "{:?} after {:?} in round {round}", header.updated_at, last.updated_at);
        ensure_eq!(header.created_at, first.created_at, "created_at in round {round}");
        last = header;
    }
    Ok(())
}

async fn updated_at_grows_while_the_clock_goes_back(bed: Bed) -> Result<(), Stop> {
    let first = bed.put("key", "0").await?;
    let mut last = first;
    for round in 1..20 {
        bed.turn_back(round * 600);
        let header = bed.put("key", round.to_string()).await?;
        ensure!(header.updated_at > last.updated_at, "{:?} after {:?} in round {round}", header.updated_at, last.updated_at);
        ensure_eq!(header.created_at, first.created_at, "created_at in round {round}");
        last = header;
    }
    bed.set_clock(Timestamp::ZERO);
    let header = bed.put("key", "at the epoch").await?;
    ensure!(header.updated_at > last.updated_at, "a clock at the epoch changes nothing");
    bed.delete("key").await?;
    let anew = bed.put("key", "anew").await?;
    ensure!(anew.created_at > header.updated_at, "a key created anew is younger than what was deleted");
    Ok(())
}

async fn stamps_follow_the_clock_forward(bed: Bed) -> Result<(), Stop> {
    for round in 0..20 {
        bed.advance(60);
        let header = bed.put("key", round.to_string()).await?;
        ensure!(header.updated_at >= bed.now(), "the stamp {:?} is not before the clock {:?}", header.updated_at, bed.now());
        let late = header.updated_at.as_micros() - bed.now().as_micros();
        ensure!(late < 1_000_000, "the stamp is {late} us ahead of the clock");
    }
    Ok(())
}

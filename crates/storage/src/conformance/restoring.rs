//! Cases of C27: entries that come back with their metadata.

use std::sync::Arc;

use bytes::Bytes;
use kvstore_types::{Header, RestoreBatch, RestoreItem, RestoreOutcome, Revision, Timestamp, limits::CLOCK_JUMP_SECONDS_MAX};

use super::{
    Stop,
    bed::{Bed, delete, key_of, pattern, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};

cases! {
    restored_entries_are_as_they_were: ["C27", "C24"],
    what_is_written_after_a_restore_comes_after_it: ["C27", "C13", "C16"],
    a_restore_stops_where_something_else_was_written: ["C27"],
    a_repeated_restore_changes_nothing: ["C27"],
    a_key_that_holds_another_entry_stops_the_whole_restore: ["C27", "C1"],
    expired_entries_are_restored_as_absent: ["C27", "C17"],
    entries_from_the_far_future_are_refused: ["C27"],
    restored_entries_survive_a_reopening: ["C27", "C14"],
}

fn item(bed: &Bed, key: &str, revision: u64, value: Vec<u8>) -> Result<RestoreItem, Stop> {
    let now = bed.now().as_micros();
    let header = Header {
        version: revision % 7 + 1,
        revision: Revision(revision),
        created_at: Timestamp::from_micros(now - 5_000_000_000),
        updated_at: Timestamp::from_micros(now - 1_000_000_000 + i64::try_from(revision).unwrap_or(0)),
        expires_at: None,
        value_len: 0,
    };
    Ok(RestoreItem::new(key_of(key)?, header, Bytes::from(value))?)
}

async fn restore(bed: &Bed, expected: Revision, items: Vec<RestoreItem>) -> Result<RestoreOutcome, Stop> {
    Ok(bed.store.restore(Arc::new(RestoreBatch::new(expected, items)?)).await?)
}

/// Restores entries that must be taken.
async fn restored(bed: &Bed, expected: Revision, items: Vec<RestoreItem>) -> Result<Revision, Stop> {
    match restore(bed, expected, items).await? {
        RestoreOutcome::Restored { applied } => Ok(applied),
        other => Err(Stop::Failed(format!("expected the entries to be restored, found {other:?}"))),
    }
}

/// What the store holds, as items.
async fn contents(bed: &Bed) -> Result<Vec<RestoreItem>, Stop> {
    let entries = bed.contents().await?.into_iter();
    Ok(entries.map(|entry| RestoreItem { key: entry.key, header: entry.header, value: entry.value.unwrap_or_default() }).collect())
}

async fn restored_entries_are_as_they_were(bed: Bed) -> Result<(), Stop> {
    let mut expiring = item(&bed, "c", 300, b"soon".to_vec())?;
    expiring.header.expires_at = Some(bed.now().plus_seconds(1_000));
    let first = vec![item(&bed, "a", 500, b"1".to_vec())?, item(&bed, "b", 2, pattern(50_000))?];
    let second = vec![expiring, item(&bed, "d", 4, Vec::new())?];
    let applied = restored(&bed, Revision(0), first.clone()).await?;
    ensure_eq!(applied, Revision(500), "the revision after the first batch");
    ensure_eq!(restored(&bed, applied, second.clone()).await?, Revision(500), "the revision after a batch of older entries");
    ensure_eq!(contents(&bed).await?, [first.clone(), second].concat(), "the contents");
    for item in &first {
        ensure_eq!(bed.header(item.key.as_str()).await?, Some(item.header), "the header of {:?}", item.key);
    }
    bed.advance(1_001);
    ensure_eq!(bed.get("c").await?, None, "the entry that expired since");
    Ok(())
}

async fn what_is_written_after_a_restore_comes_after_it(bed: Bed) -> Result<(), Stop> {
    // Read before: what was known of the key must not be taken for what is there now.
    ensure_eq!(bed.get("a").await?, None, "the key before");
    let mut ahead = item(&bed, "a", 40, b"1".to_vec())?;
    ahead.header.updated_at = bed.now().plus_seconds(60);
    let before = ahead.header;
    ensure_eq!(restored(&bed, Revision(0), vec![ahead]).await?, Revision(40), "the revision after it");
    ensure_eq!(bed.store.applied_revision(), Revision(40), "the applied revision");
    let after = bed.put("a", "2").await?;
    ensure_eq!(after.version, before.version + 1, "the version of an update");
    ensure_eq!(after.created_at, before.created_at, "the creation of an update");
    ensure!(after.revision > before.revision, "revision {} comes after {}", after.revision, before.revision);
    ensure!(after.updated_at > before.updated_at, "{:?} comes after {:?}", after.updated_at, before.updated_at);
    Ok(())
}

async fn a_restore_stops_where_something_else_was_written(bed: Bed) -> Result<(), Stop> {
    let applied = restored(&bed, Revision(0), vec![item(&bed, "a", 9, b"1".to_vec())?]).await?;
    for expected in [Revision(0), applied.next()] {
        let outcome = restore(&bed, expected, vec![item(&bed, "b", 5, b"2".to_vec())?]).await?;
        ensure_eq!(outcome, RestoreOutcome::Moved { applied }, "a batch that expects {expected}");
    }
    bed.put("other", "x").await?;
    bed.delete("other").await?;
    let outcome = restore(&bed, applied, vec![item(&bed, "b", 5, b"2".to_vec())?]).await?;
    ensure!(matches!(outcome, RestoreOutcome::Moved { applied: now } if now > applied), "a batch after another write: {outcome:?}");
    ensure_eq!(bed.get("b").await?, None, "what the refused batches held");
    Ok(())
}

async fn a_repeated_restore_changes_nothing(bed: Bed) -> Result<(), Stop> {
    let batch = vec![item(&bed, "a", 9, b"1".to_vec())?, item(&bed, "b", 7, b"2".to_vec())?];
    let applied = restored(&bed, Revision(0), batch.clone()).await?;
    let before = contents(&bed).await?;
    // Sent again by a caller who does not know what became of it: under the revision of then, and under the one of now.
    for expected in [Revision(0), applied] {
        ensure_eq!(restored(&bed, expected, batch.clone()).await?, applied, "the answer to a repeat that expects {expected}");
    }
    let mut more = batch;
    more.push(item(&bed, "c", 8, b"3".to_vec())?);
    ensure_eq!(restored(&bed, applied, more).await?, applied, "the answer where some are there");
    let after = contents(&bed).await?;
    ensure_eq!(after.get(..2), Some(&before[..]), "what was there");
    ensure_eq!(after.len(), 3, "entries");
    Ok(())
}

async fn a_key_that_holds_another_entry_stops_the_whole_restore(bed: Bed) -> Result<(), Stop> {
    let there = bed.put("b", "x").await?;
    let batch = vec![item(&bed, "a", 90, b"1".to_vec())?, item(&bed, "b", 70, b"2".to_vec())?];
    match restore(&bed, there.revision, batch).await? {
        RestoreOutcome::Occupied(failed) => {
            let named: Vec<_> = failed.iter().map(|failed| (failed.index, failed.current)).collect();
            ensure_eq!(named, vec![(1, Some(there))], "the items named");
        }
        other => return Err(Stop::Failed(format!("expected the key to be occupied, found {other:?}"))),
    }
    ensure_eq!(bed.get("a").await?, None, "the other entry of the batch");
    ensure_eq!(bed.store.applied_revision(), there.revision, "the applied revision");
    Ok(())
}

async fn expired_entries_are_restored_as_absent(bed: Bed) -> Result<(), Stop> {
    let mut gone = item(&bed, "gone", 90, pattern(5_000))?;
    gone.header.expires_at = Some(Timestamp::from_micros(bed.now().as_micros() - 1));
    let batch = vec![gone, item(&bed, "there", 70, b"2".to_vec())?];
    let applied = restored(&bed, Revision(0), batch.clone()).await?;
    ensure_eq!(applied, Revision(90), "the revision of an entry that nobody sees counts too");
    ensure_eq!(super::bed::keys(&bed.contents().await?), vec!["there"], "the keys");
    ensure_eq!(restored(&bed, Revision(0), batch).await?, applied, "the answer to a repeat, reclaimed or not");
    let anew = bed.apply(vec![put_ttl("gone", "new", 100)]).await?;
    ensure!(anew.revision > applied, "a new life comes after the old one: {anew:?}");
    ensure_eq!(anew.items[0].header.map(|header| header.version), Some(1), "the version of a new life");
    Ok(())
}

async fn entries_from_the_far_future_are_refused(bed: Bed) -> Result<(), Stop> {
    let mut ahead = item(&bed, "b", 3, b"1".to_vec())?;
    ahead.header.updated_at = bed.now().plus_seconds(CLOCK_JUMP_SECONDS_MAX + 60);
    let outcome = restore(&bed, Revision(0), vec![item(&bed, "a", 2, b"1".to_vec())?, ahead]).await?;
    ensure_eq!(outcome, RestoreOutcome::Ahead(vec![1]), "the outcome");
    ensure_eq!(bed.contents().await?.len(), 0, "entries");
    Ok(())
}

async fn restored_entries_survive_a_reopening(bed: Bed) -> Result<(), Stop> {
    let batch = vec![item(&bed, "a", 90, pattern(5_000))?, item(&bed, "b", 70, b"2".to_vec())?];
    restored(&bed, Revision(0), batch.clone()).await?;
    let bed = bed.reopen().await?;
    ensure_eq!(contents(&bed).await?, batch, "the contents");
    let deleted = super::bed::applied(bed.write(vec![delete("a"), put("c", "3")]).await?)?;
    ensure!(deleted.revision > Revision(90), "revisions go on: {deleted:?}");
    Ok(())
}

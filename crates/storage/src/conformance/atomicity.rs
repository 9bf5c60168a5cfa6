//! Cases of C1, C2: a batch is whole, and outcomes are those of `evaluate`.

use std::{collections::BTreeMap, sync::Arc};

use kvstore_types::{
    Entry, Header, IdempotencyRecord, Item, KeyRange, Kind, Outcome, Revision, Scan, Timestamp, WriteBatch, evaluate,
    limits::BATCH_ITEMS_MAX,
};

use super::{
    Stop,
    bed::{Bed, applied, at, delete, if_absent, if_present, put, put_ttl, refused},
    check::{cases, ensure, ensure_eq},
};

cases! {
    a_batch_is_applied_as_a_whole: ["C1", "C13"],
    a_failed_condition_leaves_the_whole_batch_undone: ["C1", "C11"],
    the_largest_batch_is_applied: ["C1", "C24"],
    readers_see_no_part_of_a_batch: ["C1", "C4", "C9"],
    pages_show_no_part_of_a_batch: ["C1", "C4", "C5"],
    outcomes_are_those_of_evaluate: ["C2", "C12", "C15"],
    a_write_is_ordered_after_those_acknowledged_before_it: ["C2"],
    crossing_batches_are_applied_one_after_the_other: ["C1", "C2"],
}

async fn a_batch_is_applied_as_a_whole(bed: Bed) -> Result<(), Stop> {
    bed.put("old", "1").await?;
    bed.put("gone", "1").await?;
    let items = vec![put("new", "a"), put("old", "b"), delete("gone"), delete("never")];
    let done = bed.apply(items).await?;
    let kinds: Vec<_> = done.items.iter().map(|item| item.kind).collect();
    ensure_eq!(kinds, vec![Kind::Created, Kind::Updated, Kind::Deleted, Kind::Missing], "the kinds in the order of the items");
    let read = bed.get_many(&["new", "old", "gone", "never"]).await?;
    let headers: Vec<_> = read.iter().map(|entry| entry.as_ref().map(|entry| entry.header)).collect();
    let told: Vec<_> = done.items.iter().map(|item| item.header).collect();
    ensure_eq!(headers, told, "the headers read against those acknowledged");
    for header in headers.into_iter().flatten() {
        ensure_eq!((header.revision, header.updated_at), (done.revision, done.stamp), "revision and stamp are the batch's");
    }
    Ok(())
}

async fn a_failed_condition_leaves_the_whole_batch_undone(bed: Bed) -> Result<(), Stop> {
    bed.put("kept", "1").await?;
    bed.put("guard", "1").await?;
    let before = bed.contents().await?;
    for failing in [if_absent(put("guard", "2")), if_present(put("none", "2")), at(Revision(u64::MAX), delete("guard"))] {
        // The failing item comes first, last and between: none of the others may slip through.
        let others = [put("kept", "2"), put("fresh", "2"), delete("kept")];
        for position in 0..=2 {
            let mut items = vec![others[position % 3].clone(), others[(position + 1) % 3].clone()];
            items.dedup_by(|a, b| a.key == b.key);
            items.insert(position.min(items.len()), failing.clone());
            refused(bed.write(items).await?)?;
            ensure_eq!(bed.contents().await?, before, "the contents after a batch that failed at {position}");
        }
    }
    Ok(())
}

async fn the_largest_batch_is_applied(bed: Bed) -> Result<(), Stop> {
    let items: Vec<_> = (0..BATCH_ITEMS_MAX).map(|number| put(&format!("key-{number:05}"), number.to_string())).collect();
    let done = bed.apply(items).await?;
    ensure_eq!(done.items.len(), BATCH_ITEMS_MAX, "outcomes");
    let contents = bed.contents().await?;
    ensure_eq!(contents.len(), BATCH_ITEMS_MAX, "entries");
    for (number, entry) in contents.iter().enumerate() {
        ensure_eq!(entry.key.as_str(), format!("key-{number:05}"), "the key at {number}");
        ensure_eq!(entry.value.as_deref(), Some(number.to_string().as_bytes()), "the value of {}", entry.key);
        ensure_eq!(entry.header.revision, done.revision, "the revision of {}", entry.key);
    }
    Ok(())
}

/// Keys that the same batches overwrite under readers.
const SHARED: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Writes the number of the round under all shared keys; one more key is there in even rounds alone.
async fn write_round(bed: Bed, round: u64) -> Result<(), Stop> {
    let mut items: Vec<_> = SHARED.iter().map(|key| put(key, round.to_string())).collect();
    items.push(if round.is_multiple_of(2) { put("even", round.to_string()) } else { delete("even") });
    bed.apply(items).await.map(drop)
}

/// What a reader found in one snapshot: all of a batch, or nothing of it.
fn check_snapshot<'a>(values: impl IntoIterator<Item = (&'a str, Option<(Revision, Vec<u8>)>)>) -> Result<Option<Revision>, Stop> {
    let found: BTreeMap<_, _> = values.into_iter().collect();
    let first = found.get("a").cloned().flatten();
    for key in SHARED {
        ensure_eq!(found.get(key).cloned().flatten(), first, "{key} in one snapshot with a, all of it: {found:?}");
    }
    let even = found.get("even").cloned().flatten();
    let round = first.as_ref().map(|(_, value)| String::from_utf8_lossy(value).parse::<u64>()).transpose()?;
    let expected = first.clone().filter(|_| round.is_some_and(|round| round % 2 == 0));
    ensure_eq!(even, expected, "the key that only even rounds hold, in round {round:?}");
    Ok(first.map(|(revision, _)| revision))
}

async fn readers_see_no_part_of_a_batch(bed: Bed) -> Result<(), Stop> {
    let keys = [&SHARED[..], &["even"]].concat();
    let mut last = Revision(0);
    let mut writing = bed.keep_writing(write_round);
    while writing.next_look().is_some() {
        let read = bed.get_many(&keys).await?;
        let states = read.into_iter().map(|entry| entry.map(|entry| (entry.header.revision, entry.value.unwrap_or_default().to_vec())));
        if bed.has_common_snapshot() {
            let revision = check_snapshot(keys.iter().copied().zip(states))?.unwrap_or(last);
            ensure!(revision >= last, "a later read showed revision {revision} after {last}");
            last = revision;
        }
    }
    writing.end().await?;
    pages_are_whole(&bed).await?;
    bed.shown_with_snapshots()
}

/// Checks all that is there, in both directions.
async fn pages_are_whole(bed: &Bed) -> Result<(), Stop> {
    for reverse in [false, true] {
        let page = bed.scan(&Scan { reverse, ..Scan::of(KeyRange::all()) }).await?;
        check_page(&page.entries)?;
    }
    Ok(())
}

fn check_page(entries: &[Entry]) -> Result<(), Stop> {
    let state = |entry: &Entry| (entry.header.revision, entry.value.clone().unwrap_or_default().to_vec());
    check_snapshot(entries.iter().map(|entry| (entry.key.as_str(), Some(state(entry))))).map(drop)
}

async fn pages_show_no_part_of_a_batch(bed: Bed) -> Result<(), Stop> {
    let mut writing = bed.keep_writing(write_round);
    while let Some(number) = writing.next_look() {
        let page = bed.scan(&Scan { reverse: number % 2 == 1, ..Scan::of(KeyRange::all()) }).await?;
        if bed.has_common_snapshot() {
            check_page(&page.entries)?;
        }
    }
    writing.end().await?;
    pages_are_whole(&bed).await?;
    bed.shown_with_snapshots()
}

/// What a store is: headers, records, and the last revision and stamp. Evaluates without any store.
#[derive(Default)]
struct Model {
    headers: BTreeMap<String, Header>,
    records: BTreeMap<String, IdempotencyRecord>,
}

impl Model {
    /// Evaluates a batch under the revision and stamp that the store says it gave it.
    fn write(&mut self, batch: &WriteBatch, revision: Revision, stamp: Timestamp) -> Outcome {
        let current: Vec<_> = batch.items().iter().map(|item| self.headers.get(item.key.as_str()).copied()).collect();
        let record = batch.idempotency().and_then(|(key, _)| self.records.get(key.as_str()));
        let evaluation = evaluate(batch, &current, record, revision, stamp);
        for change in &evaluation.changes {
            let key = change.item.key.as_str().to_owned();
            match change.after {
                Some((header, _)) => self.headers.insert(key, header),
                None => self.headers.remove(&key),
            };
        }
        if let (Some((key, _)), Some(record)) = (batch.idempotency(), evaluation.record) {
            self.records.insert(key.as_str().to_owned(), record);
        }
        evaluation.outcome
    }
}

async fn outcomes_are_those_of_evaluate(bed: Bed) -> Result<(), Stop> {
    let r = |revision: u64| Revision(revision);
    let histories: Vec<(Vec<Item>, Option<&str>)> = vec![
        (vec![delete("a")], None),
        (vec![put("a", "1")], Some("one")),
        (vec![put("a", "1")], Some("one")),
        (vec![put("a", "2")], Some("one")),
        (vec![if_absent(put("a", "2")), put("b", "2")], None),
        (vec![if_present(put("a", "2")), put_ttl("b", "2", 5)], Some("two")),
        (vec![at(r(u64::MAX), put("a", "3")), if_absent(put("b", "3")), if_present(delete("c"))], Some("three")),
        (vec![delete("c"), delete("a")], Some("three")),
        (vec![delete("c"), delete("a")], Some("three")),
        (vec![delete("c"), delete("a")], None),
        (vec![if_absent(put("a", "4")), if_absent(delete("c"))], None),
        (vec![if_present(delete("b"))], None),
        (vec![if_present(delete("b"))], None),
    ];
    let mut model = Model::default();
    for (step, (items, idempotency)) in histories.into_iter().enumerate() {
        let batch = super::bed::batch(items, idempotency)?;
        let outcome = bed.store.write(Arc::clone(&batch)).await?;
        let (revision, stamp) = match &outcome {
            Outcome::Applied(done) => (done.revision, done.stamp),
            _ => (Revision(u64::MAX), bed.now()),
        };
        ensure_eq!(outcome, model.write(&batch, revision, stamp), "the outcome of step {step}");
        for key in ["a", "b", "c"] {
            ensure_eq!(bed.header(key).await?, model.headers.get(key).copied(), "the header of {key} after step {step}");
        }
    }
    Ok(())
}

async fn a_write_is_ordered_after_those_acknowledged_before_it(bed: Bed) -> Result<(), Stop> {
    let mut last = bed.put("key", "0").await?;
    for round in 1..=50_u64 {
        let others = bed.race(4, |bed, task| async move { bed.put(&format!("other-{task}"), "x").await }).await?;
        ensure_eq!(others.len(), 4, "the other writers' answers");
        let header = bed.put("key", round.to_string()).await?;
        ensure!(header.revision > last.revision, "revision {} came after {}", header.revision, last.revision);
        ensure!(header.updated_at > last.updated_at, "stamp {:?} came after {:?}", header.updated_at, last.updated_at);
        ensure_eq!(header.version, last.version + 1, "the version after round {round}");
        last = header;
    }
    Ok(())
}

async fn crossing_batches_are_applied_one_after_the_other(bed: Bed) -> Result<(), Stop> {
    let done = bed
        .race(12, |bed, task| async move {
            let mut revisions = Vec::new();
            for round in 0..20 {
                let value = format!("{task}-{round}");
                let (first, second) = if task % 2 == 0 { ("left", "right") } else { ("right", "left") };
                let done = applied(bed.write(vec![put(first, value.clone()), put(second, value)]).await?)?;
                let versions: Vec<_> = done.items.iter().filter_map(|item| item.header).map(|header| header.version).collect();
                ensure!(versions.len() == 2 && versions[0] == versions[1], "both keys were written by the same batches: {versions:?}");
                revisions.push((versions[0], done.revision));
            }
            Ok(revisions)
        })
        .await?;
    let mut order: Vec<_> = done.into_iter().flatten().collect();
    order.sort_unstable();
    let versions: Vec<_> = order.iter().map(|(version, _)| *version).collect();
    ensure_eq!(versions, (1..=240).collect::<Vec<u64>>(), "each batch was one update of both keys");
    ensure!(order.windows(2).all(|pair| pair[0].1 < pair[1].1), "revisions grow with versions: {order:?}");
    let read = bed.get_many(&["left", "right"]).await?;
    let ends: Vec<_> = read.into_iter().flatten().map(|entry| (entry.header, entry.value)).collect();
    ensure!(ends.len() == 2 && ends[0] == ends[1], "both keys end with the last batch: {ends:?}");
    Ok(())
}

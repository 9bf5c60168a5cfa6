//! Cases of C4, C8, C9: what a read sees, and in what order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use kvstore_types::{Consistency, Entry, KeyRange, Projection, Scan};

use super::{
    Stop,
    bed::{Bed, key_of, keys, pattern, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};

cases! {
    an_empty_store_answers: ["C5", "C9"],
    every_kind_of_read_sees_an_acknowledged_write: ["C4"],
    reads_are_never_behind_an_acknowledged_write: ["C4"],
    a_stale_read_shows_the_applied_revision: ["C4"],
    header_reads_agree_with_full_reads: ["C8"],
    reads_of_many_keys_keep_the_order_asked_for: ["C9"],
    reads_of_many_keys_are_one_snapshot: ["C9"],
}

async fn an_empty_store_answers(bed: Bed) -> Result<(), Stop> {
    ensure_eq!(bed.get("a").await?, None, "an absent key");
    ensure_eq!(bed.get_many(&["a", "b"]).await?, vec![None, None], "absent keys");
    ensure_eq!(bed.get_many(&[]).await?, Vec::<Option<Entry>>::new(), "no keys");
    for reverse in [false, true] {
        let page = bed.scan(&Scan { reverse, ..Scan::of(KeyRange::all()) }).await?;
        ensure!(page.entries.is_empty() && page.next.is_none(), "a page of an empty store: {page:?}");
    }
    Ok(())
}

async fn every_kind_of_read_sees_an_acknowledged_write(bed: Bed) -> Result<(), Stop> {
    for round in 0..100_usize {
        // Sizes on both sides of what is stored inline, and every third round the key goes.
        let value = pattern([0, 10, 4096, 4097, 20_000][round % 5]);
        let header = bed.put("key", value.clone()).await?;
        let entry = Entry { key: key_of("key")?, header, value: Some(value.into()) };
        see(&bed, Some(&entry), round).await?;
        see(&bed, Some(&entry), round).await?;
        if round % 3 == 0 {
            super::bed::applied(bed.delete("key").await?)?;
            see(&bed, None, round).await?;
        }
    }
    Ok(())
}

async fn see(bed: &Bed, expected: Option<&Entry>, round: usize) -> Result<(), Stop> {
    let expected = expected.cloned();
    ensure_eq!(bed.get("key").await?, expected, "a read in round {round}");
    ensure_eq!(bed.get_many(&["key"]).await?, vec![expected.clone()], "a read of many in round {round}");
    ensure_eq!(bed.contents().await?, expected.clone().into_iter().collect::<Vec<_>>(), "a page in round {round}");
    let header = bed.store.read(&key_of("key")?, Projection::Header, Consistency::Linearizable).await?;
    ensure_eq!(header.map(|entry| entry.header), expected.map(|entry| entry.header), "a header in round {round}");
    Ok(())
}

async fn reads_are_never_behind_an_acknowledged_write(bed: Bed) -> Result<(), Stop> {
    const WRITES: u64 = 400;
    let (acknowledged, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = tokio::spawn({
        let (bed, acknowledged, ended) = (bed.clone(), Arc::clone(&acknowledged), Arc::clone(&ended));
        async move {
            let written = write_numbers(&bed, WRITES, &acknowledged).await;
            ended.store(true, Ordering::SeqCst);
            written
        }
    });
    let readers = bed.race(4, |bed, reader| {
        let (acknowledged, ended) = (Arc::clone(&acknowledged), Arc::clone(&ended));
        async move {
            let (mut last, mut over) = (0, false);
            while !over {
                over = ended.load(Ordering::SeqCst);
                let least = acknowledged.load(Ordering::SeqCst).max(last);
                let entry = match reader {
                    0 => bed.get("key").await?,
                    1 => bed.get_many(&["key"]).await?.into_iter().next().flatten(),
                    2 => bed.scan(&Scan::of(KeyRange::all())).await?.entries.into_iter().next(),
                    _ => bed.store.read(&key_of("key")?, Projection::Header, Consistency::Linearizable).await?,
                };
                let seen = entry.map_or(0, |entry| entry.header.version);
                ensure!(seen >= least, "reader {reader} saw version {seen} after {least} was acknowledged or seen");
                last = seen;
                // A reader that never waits would keep the writer off a single-threaded runtime.
                tokio::task::yield_now().await;
            }
            Ok(())
        }
    });
    let read = readers.await;
    super::bed::joined(writer).await?;
    read.map(drop)
}

async fn write_numbers(bed: &Bed, writes: u64, acknowledged: &AtomicU64) -> Result<(), Stop> {
    for number in 1..=writes {
        let header = bed.put("key", number.to_string()).await?;
        ensure_eq!(header.version, number, "the version of write {number}");
        acknowledged.store(number, Ordering::SeqCst);
    }
    Ok(())
}

async fn a_stale_read_shows_the_applied_revision(bed: Bed) -> Result<(), Stop> {
    for round in 0..50_u64 {
        let header = bed.put("key", round.to_string()).await?;
        while bed.store.applied_revision() < header.revision {
            tokio::task::yield_now().await;
        }
        let read = bed.store.read(&key_of("key")?, Projection::Full, Consistency::Stale).await?;
        ensure_eq!(read.map(|entry| entry.header), Some(header), "a stale read at applied revision {}", header.revision);
        ensure!(bed.store.status().applied >= header.revision, "the status of round {round} tells the applied revision");
        if !bed.has_store_wide_order() {
            continue;
        }
        let page = bed.store.scan(&Scan::of(KeyRange::all()), Consistency::Stale).await?;
        ensure!(page.applied >= header.revision, "a stale page tells the revision it shows");
    }
    bed.store.probe().await?;
    if !bed.has_store_wide_order() {
        return Err(Stop::Weaker("revisions have no order in the whole store, so a stale read tells none that it shows"));
    }
    Ok(())
}

async fn header_reads_agree_with_full_reads(bed: Bed) -> Result<(), Stop> {
    let sizes = [0, 1, 4095, 4096, 4097, 100_000];
    for (at, size) in sizes.iter().enumerate() {
        let item = if at % 2 == 0 { put(&format!("{size}"), pattern(*size)) } else { put_ttl(&format!("{size}"), pattern(*size), 100) };
        bed.apply(vec![item]).await?;
    }
    let full = bed.contents().await?;
    let bare: Vec<_> = full.iter().map(|entry| Entry { value: None, ..entry.clone() }).collect();
    for reverse in [false, true] {
        let mut expected = bare.clone();
        if reverse {
            expected.reverse();
        }
        let scan = Scan { projection: Projection::Header, reverse, ..Scan::of(KeyRange::all()) };
        ensure_eq!(bed.entries(scan).await?, expected, "a page of headers, reverse: {reverse}");
    }
    for entry in &full {
        let value = entry.value.as_ref().map(|value| value.len() as u64);
        ensure_eq!(value, Some(entry.header.value_len), "the length of the value of {}", entry.key);
        // Header first, in case a full read warms a cache that the header read would then be answered from; and once more after it.
        for _ in 0..2 {
            let header = bed.store.read(&entry.key, Projection::Header, Consistency::Linearizable).await?;
            ensure_eq!(header, Some(Entry { value: None, ..entry.clone() }), "the header of {}", entry.key);
            ensure_eq!(bed.get(entry.key.as_str()).await?, Some(entry.clone()), "the entry of {}", entry.key);
        }
    }
    Ok(())
}

async fn reads_of_many_keys_keep_the_order_asked_for(bed: Bed) -> Result<(), Stop> {
    bed.apply(vec![put("a", "1"), put("b", pattern(5000)), put("é", "3")]).await?;
    let asked = ["é", "none", "b", "a", "b", "also none", "é"];
    let read = bed.get_many(&asked).await?;
    ensure_eq!(read.len(), asked.len(), "an answer for each key");
    for (key, entry) in asked.iter().zip(read) {
        ensure_eq!(entry, bed.get(key).await?, "the answer for {key}");
    }
    let all: Vec<_> = (0..1000).map(|number| format!("many-{number:04}")).collect();
    bed.apply(all.iter().filter(|key| key.ends_with('7')).map(|key| put(key, "x")).collect()).await?;
    let names: Vec<_> = all.iter().rev().map(String::as_str).collect();
    let found: Vec<_> = bed.get_many(&names).await?.into_iter().flatten().collect();
    let expected: Vec<_> = names.iter().copied().filter(|key| key.ends_with('7')).collect();
    ensure_eq!(keys(&found), expected, "the keys that are there, in the order asked for");
    Ok(())
}

async fn reads_of_many_keys_are_one_snapshot(bed: Bed) -> Result<(), Stop> {
    // The writer only ever moves a token from one key to the other: a snapshot holds exactly one.
    async fn move_token(bed: Bed, round: u64) -> Result<(), Stop> {
        let (from, to) = if round.is_multiple_of(2) { ("left", "right") } else { ("right", "left") };
        bed.apply(vec![super::bed::delete(from), put(to, "token")]).await.map(drop)
    }
    bed.put("left", "token").await?;
    let mut writing = bed.keep_writing(move_token);
    while writing.next_look().is_some() {
        let found = bed.get_many(&["left", "right"]).await?.into_iter().flatten().count();
        ensure!(found == 1 || !bed.has_common_snapshot(), "{found} tokens in one snapshot");
    }
    writing.end().await?;
    let found = bed.get_many(&["left", "right"]).await?.into_iter().flatten().count();
    ensure_eq!(found, 1, "tokens at the end");
    bed.shown_with_snapshots()
}

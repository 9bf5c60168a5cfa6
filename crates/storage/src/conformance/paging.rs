//! Cases of C5, C6: a page is bounded, and pages that follow each other neither skip nor repeat.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use kvstore_types::{
    KeyRange, Projection, Scan,
    limits::{BATCH_ITEMS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, SCAN_RECORDS_MAX},
};

use super::{
    Stop,
    bed::{Bed, delete, keys, pattern, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};

cases! {
    a_page_ends_at_its_limit: ["C5"],
    a_full_page_has_a_next_only_where_more_follows: ["C5"],
    a_page_ends_at_its_bytes: ["C5"],
    a_page_ends_at_its_scan_budget: ["C5", "C6", "C17"],
    a_page_is_one_snapshot: ["C5"],
    pages_add_up_to_the_range: ["C6"],
    pages_go_on_after_their_cursor_was_deleted: ["C6"],
    paging_is_exact_under_writes: ["C5", "C6"],
}

fn everything() -> Scan {
    Scan::of(KeyRange::all())
}

async fn put_numbered(bed: &Bed, count: usize) -> Result<Vec<String>, Stop> {
    let names: Vec<_> = (0..count).map(|number| format!("key-{number:05}")).collect();
    for part in names.chunks(BATCH_ITEMS_MAX) {
        bed.apply(part.iter().map(|key| put(key, key.as_bytes())).collect()).await?;
    }
    Ok(names)
}

async fn a_page_ends_at_its_limit(bed: Bed) -> Result<(), Stop> {
    let names = put_numbered(&bed, PAGE_ENTRIES_MAX + 5).await?;
    for limit in [1, 2, 99, PAGE_ENTRIES_MAX] {
        let page = bed.scan(&Scan { limit, ..everything() }).await?;
        ensure_eq!(keys(&page.entries), names.iter().take(limit).map(String::as_str).collect::<Vec<_>>(), "a page of {limit}");
        ensure_eq!(page.next.as_ref().map(|key| key.as_str()), names.get(limit - 1).map(String::as_str), "its cursor");
        let page = bed.scan(&Scan { limit, reverse: true, ..everything() }).await?;
        ensure_eq!(keys(&page.entries), names.iter().rev().take(limit).map(String::as_str).collect::<Vec<_>>(), "reverse, {limit}");
    }
    Ok(())
}

async fn a_full_page_has_a_next_only_where_more_follows(bed: Bed) -> Result<(), Stop> {
    bed.apply(["a", "b", "c", "x/1", "x/2", "y"].map(|key| put(key, "v")).to_vec()).await?;
    for reverse in [false, true] {
        for (range, held) in [(KeyRange::all(), 6), (KeyRange::prefix("x/"), 2), (KeyRange::prefix("z"), 0)] {
            for limit in 1..8 {
                let page = bed.scan(&Scan { limit, reverse, ..Scan::of(range.clone()) }).await?;
                ensure_eq!(page.entries.len(), held.min(limit), "entries of {range:?} with limit {limit}");
                ensure_eq!(page.next.is_some(), limit < held, "whether a page of {limit} out of {held} has a next, reverse: {reverse}");
            }
        }
    }
    Ok(())
}

async fn a_page_ends_at_its_bytes(bed: Bed) -> Result<(), Stop> {
    const VALUE: usize = 1 << 20;
    let count = PAGE_BYTES_MAX / VALUE * 2 + 3;
    for number in 0..count {
        bed.put(&format!("{number:03}"), pattern(VALUE + number)).await?;
    }
    for reverse in [false, true] {
        let pages = bed.pages(Scan { reverse, ..everything() }).await?;
        for (at, page) in pages.iter().enumerate() {
            let bytes: usize = page.entries.iter().filter_map(|entry| entry.value.as_ref()).map(|value| value.len()).sum();
            ensure!(bytes <= PAGE_BYTES_MAX || page.entries.len() == 1, "page {at} holds {bytes} bytes of values");
            // It must not end long before its budget either: only the last page may be small.
            ensure!(bytes + VALUE + count >= PAGE_BYTES_MAX || page.next.is_none(), "page {at} ended at {bytes} bytes");
            ensure!(!page.entries.is_empty() || pages.len() == at + 1, "page {at} holds an entry");
        }
        let read: Vec<_> = pages.iter().flat_map(|page| &page.entries).collect();
        ensure_eq!(read.len(), count, "entries in all pages");
        for entry in read {
            let number: usize = entry.key.as_str().parse()?;
            ensure!(entry.value.as_deref() == Some(&pattern(VALUE + number)), "the value of {} came back", entry.key);
        }
        let headers = bed.pages(Scan { reverse, projection: Projection::Header, ..everything() }).await?;
        ensure_eq!(headers.first().map(|page| page.entries.len()), Some(count), "a page of headers, which weigh nothing");
    }
    Ok(())
}

async fn a_page_ends_at_its_scan_budget(bed: Bed) -> Result<(), Stop> {
    let dead = SCAN_RECORDS_MAX + BATCH_ITEMS_MAX;
    bed.put("a-first", "x").await?;
    for part in 0..dead / BATCH_ITEMS_MAX {
        let items = (0..BATCH_ITEMS_MAX).map(|number| put_ttl(&format!("dead-{part:02}-{number:05}"), "x", 1)).collect();
        bed.apply(items).await?;
    }
    bed.put("z-last", "x").await?;
    bed.advance(2);
    for reverse in [false, true] {
        let pages = bed.pages(Scan { reverse, ..everything() }).await?;
        for page in &pages {
            ensure!(!page.entries.is_empty() || page.next.is_some() || pages.len() > 1, "an empty page goes on");
        }
        let mut expected = vec!["a-first", "z-last"];
        if reverse {
            expected.reverse();
        }
        let read: Vec<_> = pages.iter().flat_map(|page| keys(&page.entries)).collect();
        ensure_eq!(read, expected, "what is left among {dead} expired entries, reverse: {reverse}");
        let found = bed.pages(Scan { reverse, ..Scan::of(KeyRange::prefix("dead-")) }).await?;
        ensure!(found.iter().all(|page| page.entries.is_empty()), "a range of expired entries alone is empty");
    }
    Ok(())
}

async fn a_page_is_one_snapshot(bed: Bed) -> Result<(), Stop> {
    // One batch deletes the first key and creates the last, then the other way round: a scan that is not a snapshot finds both or none.
    async fn move_token(bed: Bed, round: u64) -> Result<(), Stop> {
        let (from, to) = if round.is_multiple_of(2) { ("a", "z") } else { ("z", "a") };
        bed.apply(vec![delete(from), put(to, "token")]).await.map(drop)
    }
    bed.apply((0..500).map(|number| put(&format!("m-{number:03}"), pattern(64))).collect()).await?;
    bed.put("a", "token").await?;
    let mut writing = bed.keep_writing(move_token);
    while let Some(number) = writing.next_look() {
        let page = bed.scan(&Scan { reverse: number % 2 == 1, ..everything() }).await?;
        let found = page.entries.len();
        ensure!(found == 501 || !bed.has_common_snapshot(), "{found} entries of a snapshot: the filler and one token");
        let filler = page.entries.iter().filter(|entry| entry.key.as_str().starts_with("m-")).count();
        ensure_eq!(filler, 500, "entries that are there throughout");
    }
    writing.end().await?;
    ensure_eq!(bed.scan(&everything()).await?.entries.len(), 501, "entries at the end");
    bed.shown_with_snapshots()
}

async fn pages_add_up_to_the_range(bed: Bed) -> Result<(), Stop> {
    put_numbered(&bed, 200).await?;
    let whole = bed.scan(&everything()).await?.entries;
    ensure_eq!(whole.len(), 200, "entries in one page");
    for reverse in [false, true] {
        let mut expected = whole.clone();
        if reverse {
            expected.reverse();
        }
        for limit in [1, 2, 3, 7, 100, 199, 200, 201] {
            let pages = bed.pages(Scan { limit, reverse, ..everything() }).await?;
            ensure!(pages.iter().all(|page| page.entries.len() <= limit), "no page is over its limit of {limit}");
            let read: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
            ensure_eq!(read, expected, "all pages of {limit}, reverse: {reverse}");
        }
    }
    Ok(())
}

async fn pages_go_on_after_their_cursor_was_deleted(bed: Bed) -> Result<(), Stop> {
    for reverse in [false, true] {
        let mut names = put_numbered(&bed, 30).await?;
        if reverse {
            names.reverse();
        }
        let mut scan = Scan { limit: 4, reverse, ..everything() };
        let mut read = Vec::new();
        loop {
            let page = bed.scan(&scan).await?;
            read.extend(keys(&page.entries).into_iter().map(str::to_owned));
            let Some(next) = page.next else { break };
            bed.delete(next.as_str()).await?;
            scan.after = Some(next);
        }
        ensure_eq!(read, names, "the keys, with each cursor deleted after its page, reverse: {reverse}");
    }
    Ok(())
}

async fn paging_is_exact_under_writes(bed: Bed) -> Result<(), Stop> {
    const STABLE: usize = 60;
    let stable: Vec<_> = (0..STABLE).map(|number| format!("{number:03}")).collect();
    bed.apply(stable.iter().map(|key| put(key, "0")).collect()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let churn = tokio::spawn({
        let (bed, stop) = (bed.clone(), Arc::clone(&stop));
        async move { churn(&bed, &stop, STABLE).await }
    });
    let checked = page_through(&bed, &stable).await;
    stop.store(true, Ordering::SeqCst);
    let rounds = super::bed::joined(churn).await?;
    checked?;
    ensure!(rounds > 0, "writers wrote while pages were read");
    Ok(())
}

/// Overwrites the stable keys, and creates and deletes keys beside each of them, until it is told to stop.
async fn churn(bed: &Bed, stop: &AtomicBool, stable: usize) -> Result<u64, Stop> {
    let mut round = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        for number in 0..stable {
            let beside = format!("{number:03}-{}", round % 3);
            let item = if (round + number as u64).is_multiple_of(2) { put(&beside, "x") } else { delete(&beside) };
            bed.write(vec![item, put(&format!("{number:03}"), round.to_string())]).await?;
            round += 1;
        }
    }
    Ok(round)
}

async fn page_through(bed: &Bed, stable: &[String]) -> Result<(), Stop> {
    for pass in 0..40_usize {
        let reverse = pass % 2 == 1;
        let limit = [1, 3, 7, 20][pass % 4];
        let read = bed.entries(Scan { limit, reverse, ..everything() }).await?;
        let mut seen: Vec<_> = keys(&read).into_iter().map(str::to_owned).collect();
        if reverse {
            seen.reverse();
        }
        ensure!(seen.windows(2).all(|pair| pair[0] < pair[1]), "keys come in order and once, in pages of {limit}: {seen:?}");
        let kept: Vec<_> = seen.into_iter().filter(|key| !key.contains('-')).collect();
        ensure_eq!(kept, stable, "the keys that exist throughout, in pages of {limit}, reverse: {reverse}");
    }
    Ok(())
}

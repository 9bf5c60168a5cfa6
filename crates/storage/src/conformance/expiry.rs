//! Cases of C17, C18: expiry, and reclaiming that nobody sees.

use kvstore_types::{Consistency, KeyRange, Kind, Outcome, Projection, Scan, Timestamp};

use super::{
    Stop,
    bed::{Bed, at, delete, if_absent, if_present, key_of, keys, pattern, put, put_ttl, refused},
    check::{cases, ensure, ensure_eq},
};

cases! {
    a_key_is_there_until_its_expiry_and_absent_from_then_on: ["C17"],
    an_expired_key_is_absent_to_every_write: ["C17", "C11"],
    a_put_without_a_time_to_live_clears_the_expiry: ["C17"],
    a_new_time_to_live_replaces_the_old: ["C17"],
    an_expired_key_stays_absent_when_the_clock_goes_back: ["C17"],
    an_expiry_survives_a_reopening: ["C17", "C22"],
    a_write_may_end_the_life_of_another_key: ["C16", "C17"],
    a_recreated_key_outlives_the_reclaiming_of_the_old: ["C18"],
    reclaiming_races_with_recreation_unseen: ["C18", "C13"],
    expired_large_values_leave_no_trace: ["C18", "C24"],
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros() - 1)
}

/// Every kind of read agrees on whether the key is there.
async fn is_there(bed: &Bed, key: &str) -> Result<bool, Stop> {
    let there = bed.get(key).await?.is_some();
    let id = key_of(key)?;
    ensure_eq!(bed.get_many(&[key]).await?[0].is_some(), there, "a read of many keys finds {key}");
    for projection in [Projection::Header, Projection::Full] {
        ensure_eq!(bed.store.read(&id, projection, Consistency::Stale).await?.is_some(), there, "{projection:?} finds {key}");
        for reverse in [false, true] {
            let found = bed.entries(Scan { reverse, projection, ..Scan::of(KeyRange::prefix(key)) }).await?;
            ensure_eq!(keys(&found).contains(&key), there, "a page, {projection:?}, reverse: {reverse}, finds {key}");
        }
    }
    Ok(there)
}

async fn expiry_of(bed: &Bed, key: &str) -> Result<Timestamp, Stop> {
    let header = bed.header(key).await?.ok_or_else(|| Stop::Failed(format!("{key} is not there")))?;
    header.expires_at.ok_or_else(|| Stop::Failed(format!("{key} has no expiry")))
}

async fn a_key_is_there_until_its_expiry_and_absent_from_then_on(bed: Bed) -> Result<(), Stop> {
    for (key, size) in [("small", 10), ("large", 10_000)] {
        let done = bed.apply(vec![put_ttl(key, pattern(size), 10)]).await?;
        let expiry = expiry_of(&bed, key).await?;
        ensure_eq!(expiry, done.stamp.plus_seconds(10), "the expiry counts from the stamp");
        ensure!(is_there(&bed, key).await?, "{key} is there at first");
        bed.set_clock(just_before(expiry));
        ensure!(is_there(&bed, key).await?, "{key} is there a microsecond before its expiry");
        bed.set_clock(expiry);
        ensure!(!is_there(&bed, key).await?, "{key} is absent at its expiry");
        bed.advance(1_000_000);
        ensure!(!is_there(&bed, key).await?, "{key} is absent long after");
    }
    Ok(())
}

async fn an_expired_key_is_absent_to_every_write(bed: Bed) -> Result<(), Stop> {
    for key in ["absent", "present", "revision", "delete", "put"] {
        bed.apply(vec![put_ttl(key, "old", 10)]).await?;
    }
    let revision = bed.header("revision").await?.map(|header| header.revision).unwrap_or_default();
    bed.set_clock(expiry_of(&bed, "put").await?);
    for item in [if_present(put("present", "new")), at(revision, put("revision", "new")), if_present(delete("present"))] {
        let failed = refused(bed.write(vec![item]).await?)?;
        ensure!(failed.len() == 1 && failed[0].current.is_none(), "no expired entry is shown as current: {failed:?}");
    }
    ensure_eq!(bed.delete("delete").await?, Outcome::Unchanged, "a delete of an expired key");
    for item in [if_absent(put("absent", "new")), put("put", "new")] {
        let done = bed.apply(vec![item]).await?;
        ensure_eq!(done.items[0].kind, Kind::Created, "a put over an expired key");
        ensure_eq!(done.items[0].header.map(|header| (header.version, header.created_at)), Some((1, done.stamp)), "a new life");
    }
    ensure_eq!(keys(&bed.contents().await?), vec!["absent", "put"], "what is there in the end");
    Ok(())
}

async fn a_put_without_a_time_to_live_clears_the_expiry(bed: Bed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("key", "1", 10)]).await?;
    let header = bed.put("key", "2").await?;
    ensure_eq!((header.version, header.expires_at), (2, None), "version and expiry");
    bed.advance(1_000);
    ensure!(is_there(&bed, "key").await?, "the key is there after the expiry that was cleared");
    bed.put("other", "x").await?;
    ensure_eq!(bed.header("key").await?, Some(header), "its header");
    Ok(())
}

async fn a_new_time_to_live_replaces_the_old(bed: Bed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("longer", "1", 10), put_ttl("shorter", "1", 100)]).await?;
    bed.advance(5);
    bed.apply(vec![put_ttl("longer", "2", 100), put_ttl("shorter", "2", 10)]).await?;
    bed.advance(20);
    ensure!(is_there(&bed, "longer").await?, "the first expiry no longer counts");
    ensure!(!is_there(&bed, "shorter").await?, "the second expiry counts");
    bed.advance(100);
    ensure!(!is_there(&bed, "longer").await?, "the second expiry counts");
    Ok(())
}

async fn an_expired_key_stays_absent_when_the_clock_goes_back(bed: Bed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("read", "1", 10), put_ttl("written", "1", 10)]).await?;
    bed.set_clock(expiry_of(&bed, "written").await?);
    ensure!(!is_there(&bed, "read").await?, "the key is absent at its expiry");
    bed.turn_back(3600);
    ensure!(!is_there(&bed, "read").await?, "it stays absent to reads, though the clock went back");
    let done = bed.apply(vec![if_absent(put("written", "2"))]).await?;
    ensure_eq!(done.items[0].kind, Kind::Created, "it stays absent to writes, though the clock went back");
    refused(bed.write(vec![if_present(put("read", "2"))]).await?)?;
    Ok(())
}

async fn an_expiry_survives_a_reopening(bed: Bed) -> Result<(), Stop> {
    bed.apply(vec![put_ttl("key", "1", 10), put_ttl("later", "1", 1_000), put("lasting", "1")]).await?;
    let (before, expiry) = (bed.contents().await?, expiry_of(&bed, "key").await?);
    let bed = bed.reopen().await?;
    ensure_eq!(bed.contents().await?, before, "the contents after reopening");
    bed.set_clock(expiry);
    ensure!(!is_there(&bed, "key").await?, "the key is absent at its expiry");
    bed.put("marker", "x").await?;
    let bed = bed.reopen().await?;
    bed.turn_back(3600);
    // The marker's stamp is past the expiry and was saved, so store time can't be before it.
    ensure!(!is_there(&bed, "key").await?, "the key stays absent after reopening, though the clock went back");
    refused(bed.write(vec![if_present(put("key", "2"))]).await?)?;
    ensure_eq!(keys(&bed.contents().await?), vec!["lasting", "later", "marker"], "what is there in the end");
    Ok(())
}

async fn a_write_may_end_the_life_of_another_key(bed: Bed) -> Result<(), Stop> {
    // Stamps run ahead of a clock that stands: so many writes at one instant carry store time past the expiry.
    bed.apply(vec![put_ttl("key", "1", 1)]).await?;
    bed.set_clock(just_before(expiry_of(&bed, "key").await?));
    ensure!(is_there(&bed, "key").await?, "the key is there a microsecond before its expiry");
    bed.put("other", "1").await?;
    let stamp = bed.put("other", "2").await?.updated_at;
    let seen = bed.header("key").await?;
    if !bed.has_store_wide_order() {
        // There only the clock ends a life. What reads say, writes say too.
        let outcome = bed.write(vec![if_present(put_ttl("key", "2", 1))]).await?;
        ensure_eq!(matches!(outcome, Outcome::Applied(_)), seen.is_some(), "whether a write finds what a read finds: {outcome:?}");
        return Err(Stop::Weaker("the stamp of one key does not move the time of another"));
    }
    ensure!(seen.is_none() || stamp < expiry_after(seen), "the key is absent once a stamp {stamp:?} reached its expiry");
    refused(bed.write(vec![if_present(put("key", "2"))]).await?)?;
    Ok(())
}

fn expiry_after(header: Option<kvstore_types::Header>) -> Timestamp {
    header.and_then(|header| header.expires_at).unwrap_or(Timestamp::ZERO)
}

async fn a_recreated_key_outlives_the_reclaiming_of_the_old(bed: Bed) -> Result<(), Stop> {
    let names: Vec<_> = (0..50).map(|number| format!("key-{number:02}")).collect();
    let old = bed.apply(names.iter().map(|key| put_ttl(key, pattern(5000), 5)).collect()).await?;
    bed.advance(6);
    // Half of them live again, without an expiry or with a later one; whatever reclaims the old must not touch these.
    let again = names.iter().step_by(2).enumerate();
    let items = again.map(|(at, key)| if at % 2 == 0 { put(key, "new") } else { put_ttl(key, "new", 1_000_000) });
    let new = bed.apply(items.collect()).await?;
    ensure!(new.revision > old.revision, "revision {} is after {}", new.revision, old.revision);
    let expected = bed.contents().await?;
    ensure_eq!(keys(&expected), names.iter().step_by(2).map(String::as_str).collect::<Vec<_>>(), "the recreated keys");
    ensure!(expected.iter().all(|entry| entry.header.version == 1), "their versions are 1: {expected:?}");
    for look in 0..100 {
        bed.advance(1);
        ensure_eq!(bed.contents().await?, expected, "the contents at look {look}");
        for key in names.iter().skip(1).step_by(2) {
            ensure_eq!(bed.get(key).await?, None, "{key}, which expired, at look {look}");
        }
        ensure_eq!(bed.delete("key-01").await?, Outcome::Unchanged, "the delete of an expired key at look {look}");
    }
    Ok(())
}

async fn reclaiming_races_with_recreation_unseen(bed: Bed) -> Result<(), Stop> {
    bed.race(4, |bed, task| async move {
        let key = format!("key-{task}");
        let mut last = bed.apply(vec![put_ttl(&key, pattern(5000), 1)]).await?;
        for round in 0..60_u64 {
            bed.advance(2);
            ensure_eq!(bed.get(&key).await?, None, "{key} after its expiry in round {round}");
            let done = bed.apply(vec![if_absent(put_ttl(&key, pattern(4000 + round as usize), 1_000_000))]).await?;
            ensure!(done.revision > last.revision, "revision {} is after {}", done.revision, last.revision);
            for _ in 0..5 {
                tokio::task::yield_now().await;
                let entry = bed.get(&key).await?;
                ensure_eq!(entry.as_ref().map(|entry| entry.header), done.items[0].header, "the header of {key} in round {round}");
                let value = entry.and_then(|entry| entry.value);
                ensure_eq!(value.as_deref(), Some(&pattern(4000 + round as usize)[..]), "the value of {key} in round {round}");
            }
            last = bed.apply(vec![put_ttl(&key, pattern(5000), 1)]).await?;
            ensure_eq!(last.items[0].header.map(|header| header.version), Some(2), "the version of the second write of a life");
        }
        Ok(())
    })
    .await?;
    Ok(())
}

async fn expired_large_values_leave_no_trace(bed: Bed) -> Result<(), Stop> {
    for round in 0..5_usize {
        bed.apply(vec![put_ttl("key", pattern(100_000 + round), 1)]).await?;
        bed.advance(2);
        ensure!(!is_there(&bed, "key").await?, "the key is absent in round {round}");
        if round % 2 == 0 {
            bed.put("key", pattern(3)).await?;
            ensure_eq!(bed.value("key").await?, Some(pattern(3)), "a small value in place of a large one that expired");
            bed.delete("key").await?;
        }
    }
    ensure_eq!(bed.contents().await?, vec![], "the contents in the end");
    Ok(())
}

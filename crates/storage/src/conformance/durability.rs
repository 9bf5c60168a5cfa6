//! Cases of C22 to C25: what was acknowledged stays, values come back, and errors tell what happened.

use std::{collections::BTreeMap, sync::Arc};

use kvstore_types::{Entry, Outcome, limits::KEY_CHARS_MAX};

use super::{
    Stop,
    bed::{Bed, applied, batch, delete, pattern, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};
use crate::{State, StoreError};

cases! {
    acknowledged_writes_survive_a_reopening: ["C22", "C14"],
    acknowledged_writes_survive_a_crash: ["C22", "C1"],
    values_come_back_byte_for_byte: ["C24"],
    large_and_small_values_replace_each_other: ["C24"],
    keys_of_full_length_come_back: ["C24", "C3"],
    an_abandoned_write_is_whole_or_absent: ["C1", "C23"],
    shutdown_refuses_writes_as_not_applied: ["C23", "C25"],
    shutdown_under_load_loses_nothing: ["C22", "C23", "C25"],
    reads_find_what_a_shutdown_left: ["C25"],
}

/// Writes of every kind, so that what is left has been put, overwritten, deleted and created anew, in all sizes.
async fn write_history(bed: &Bed) -> Result<Vec<Entry>, Stop> {
    for round in 0..60_usize {
        let size = [0, 20, 4096, 4097, 50_000][round % 5];
        let name = format!("key-{:02}", round % 17);
        let items = match round % 7 {
            3 => vec![delete(&name)],
            5 => vec![put(&name, pattern(size)), put_ttl("with-ttl", pattern(round), 1_000), delete("other")],
            _ => vec![put(&name, pattern(size))],
        };
        bed.write(items).await?;
    }
    bed.contents().await
}

async fn acknowledged_writes_survive_a_reopening(bed: Bed) -> Result<(), Stop> {
    let mut bed = bed;
    for opening in 0..3 {
        let before = write_history(&bed).await?;
        ensure!(before.len() > 10, "the history leaves entries");
        bed = bed.reopen().await?;
        ensure_eq!(bed.contents().await?, before, "the contents after opening {opening}");
        for entry in before {
            ensure_eq!(bed.get(entry.key.as_str()).await?, Some(entry), "an entry after opening {opening}");
        }
    }
    Ok(())
}

async fn acknowledged_writes_survive_a_crash(bed: Bed) -> Result<(), Stop> {
    write_history(&bed).await?;
    let once = vec![put("last", pattern(5000)), put("last-too", "1")];
    let first = bed.write_once(once.clone(), "once").await?;
    let (before, revision) = (bed.contents().await?, applied(first.clone())?.revision);
    let after = bed.crash().await?;
    ensure_eq!(after.contents().await?, before, "the contents after a crash right behind the acknowledgement");
    ensure!(applied(after.write_once(once, "once").await?)?.replayed, "the idempotency record is there after a crash");
    ensure!(after.put("next", "1").await?.revision > revision, "revisions go on after a crash");
    Ok(())
}

async fn values_come_back_byte_for_byte(bed: Bed) -> Result<(), Stop> {
    let mut values: BTreeMap<String, Vec<u8>> =
        [0, 1, 127, 128, 4095, 4096, 4097, 65_536, 1 << 20].into_iter().map(|size| (format!("size-{size}"), pattern(size))).collect();
    values.insert("all bytes".into(), (0..=255).collect());
    values.insert("zeros".into(), vec![0; 5000]);
    values.insert("ones".into(), vec![0xff; 5000]);
    values.insert("not utf-8".into(), vec![0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf5]);
    values.insert("text".into(), "é\u{10ffff}\r\n\t\"".as_bytes().to_vec());
    for (key, value) in &values {
        let header = bed.put(key, value.clone()).await?;
        ensure_eq!(header.value_len, value.len() as u64, "the length told for {key}");
    }
    check_values(&bed, &values).await?;
    match bed.reopen_if_kept().await? {
        Some(bed) => check_values(&bed, &values).await,
        None => Ok(()),
    }
}

async fn check_values(bed: &Bed, values: &BTreeMap<String, Vec<u8>>) -> Result<(), Stop> {
    let names: Vec<_> = values.keys().map(String::as_str).collect();
    let many = bed.get_many(&names).await?;
    let page = bed.contents().await?;
    ensure_eq!(page.len(), values.len(), "entries in all pages");
    for (((key, value), found), listed) in values.iter().zip(many).zip(page) {
        ensure!(bed.value(key).await?.as_ref() == Some(value), "the value of {key} by a read");
        ensure!(found.and_then(|entry| entry.value).as_deref() == Some(&value[..]), "the value of {key} by a read of many");
        ensure!(listed.key.as_str() == key && listed.value.as_deref() == Some(&value[..]), "the value of {key} in a page");
    }
    Ok(())
}

async fn large_and_small_values_replace_each_other(bed: Bed) -> Result<(), Stop> {
    for (round, size) in [0, 1 << 20, 5, 4097, 4096, 4097, 100_000, 0, 4096, 70_000].into_iter().enumerate() {
        let header = bed.put("key", pattern(size)).await?;
        ensure_eq!((header.version, header.value_len), (round as u64 + 1, size as u64), "the header of {size} bytes");
        ensure!(bed.value("key").await? == Some(pattern(size)), "the value of {size} bytes in round {round}");
        let page = bed.contents().await?;
        ensure!(page.len() == 1 && page[0].value.as_deref() == Some(&pattern(size)[..]), "{size} bytes in a page in round {round}");
    }
    bed.delete("key").await?;
    ensure_eq!(bed.get("key").await?, None, "a large value after its deletion");
    bed.put("key", "small").await?;
    ensure_eq!(bed.value("key").await?, Some(b"small".to_vec()), "a small value after that");
    Ok(())
}

async fn keys_of_full_length_come_back(bed: Bed) -> Result<(), Stop> {
    let long: Vec<_> = ["a", "\u{1}", "é", "\u{800}", "\u{10ffff}", "/", " ", "%"].iter().map(|text| text.repeat(KEY_CHARS_MAX)).collect();
    let short = ["\u{1}", "/", "//", ".", "..", "a//b", "batch", "\u{feff}", "\r\n", "\"", "\\", "%2F", "?", "#"].map(str::to_owned);
    let names: Vec<_> = long.into_iter().chain(short).collect();
    for key in &names {
        bed.put(key, key.as_bytes()).await?;
    }
    ensure_eq!(bed.contents().await?.len(), names.len(), "entries");
    for key in &names {
        ensure_eq!(bed.value(key).await?, Some(key.as_bytes().to_vec()), "the value of {key:?}");
    }
    for key in &names {
        applied(bed.delete(key).await?)?;
        ensure_eq!(bed.get(key).await?, None, "the deleted {key:?}");
    }
    ensure_eq!(bed.contents().await?, vec![], "the contents in the end");
    Ok(())
}

async fn an_abandoned_write_is_whole_or_absent(bed: Bed) -> Result<(), Stop> {
    const WRITES: usize = 200;
    let mut running = Vec::new();
    for number in 0..WRITES {
        let items = ["a", "b", "c"].map(|part| put(&format!("{number:03}-{part}"), pattern(100))).to_vec();
        let (store, batch) = (Arc::clone(&bed.store), batch(items, None)?);
        let task = tokio::spawn(async move { store.write(batch).await });
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
        if number % 2 == 0 {
            task.abort();
        }
        running.push(task);
    }
    let mut answers = Vec::new();
    for task in running {
        answers.push(task.await.ok());
    }
    // A write that was taken goes on without its caller: this one comes after all of them.
    bed.put("end", "x").await?;
    for (number, answer) in answers.into_iter().enumerate() {
        let names = ["a", "b", "c"].map(|part| format!("{number:03}-{part}"));
        let found: Vec<_> = bed.get_many(&names.each_ref().map(String::as_str)).await?.into_iter().flatten().collect();
        let revisions: Vec<_> = found.iter().map(|entry| entry.header.revision).collect();
        ensure!(revisions.is_empty() || revisions.len() == 3, "batch {number} is whole or absent: {revisions:?}");
        ensure!(revisions.windows(2).all(|pair| pair[0] == pair[1]), "batch {number} has one revision: {revisions:?}");
        match answer {
            Some(Ok(outcome)) => ensure_eq!(revisions, vec![applied(outcome)?.revision; 3], "batch {number}, which was acknowledged"),
            Some(Err(error)) => ensure!(revisions.is_empty() || !error.is_not_applied(), "batch {number} is there, but got {error}"),
            None => {}
        }
    }
    Ok(())
}

async fn shutdown_refuses_writes_as_not_applied(bed: Bed) -> Result<(), Stop> {
    bed.put("before", "1").await?;
    bed.store.shutdown().await?;
    for items in [vec![put("after", "1")], vec![delete("before")], vec![put("before", "2")]] {
        match bed.store.write(batch(items, None)?).await {
            Ok(outcome) => return Err(Stop::Failed(format!("a write after the shutdown got {outcome:?}"))),
            Err(error) => ensure!(error.is_not_applied(), "a write after the shutdown got {error}, which is not certain"),
        }
    }
    ensure_eq!(bed.store.status().state, State::Stopping, "the state after the shutdown");
    bed.store.shutdown().await?;
    let Some(bed) = bed.reopen_if_kept().await? else { return Ok(()) };
    let found: Vec<_> = bed.contents().await?.into_iter().map(|entry| (entry.key.as_str().to_owned(), entry.value)).collect();
    ensure_eq!(found, vec![("before".to_owned(), Some("1".into()))], "the contents after reopening");
    bed.put("after", "1").await?;
    Ok(())
}

async fn shutdown_under_load_loses_nothing(bed: Bed) -> Result<(), Stop> {
    let writers = tokio::spawn({
        let bed = bed.clone();
        async move { bed.race(8, |bed, task| async move { write_until_refused(&bed, task).await }).await }
    });
    while bed.store.applied_revision().0 < 50 {
        tokio::task::yield_now().await;
    }
    bed.store.shutdown().await?;
    let answers: Vec<_> = super::bed::joined(writers).await?.into_iter().flatten().collect();
    let refused = answers.iter().filter(|(_, answer)| matches!(answer, Err(error) if error.is_not_applied())).count();
    ensure_eq!(refused, 8, "writers that were refused in the end, as not applied");
    let bed = bed.reopen().await?;
    let found: BTreeMap<_, _> = bed.contents().await?.into_iter().map(|entry| (entry.key.as_str().to_owned(), entry.header)).collect();
    for (key, answer) in answers {
        match answer {
            Ok(outcome) => {
                let told = applied(outcome)?.items[0].header;
                ensure_eq!(found.get(&key).copied(), told, "{key}, which was acknowledged before the shutdown");
            }
            Err(_) => ensure!(!found.contains_key(&key), "{key}, which was refused, is not there"),
        }
    }
    Ok(())
}

async fn write_until_refused(bed: &Bed, task: usize) -> Result<Vec<(String, Result<Outcome, StoreError>)>, Stop> {
    let mut answers = Vec::new();
    for number in 0.. {
        let key = format!("{task}-{number:06}");
        let answer = bed.store.write(batch(vec![put(&key, pattern(200))], None)?).await;
        let refused = answer.is_err();
        answers.push((key, answer));
        if refused {
            break;
        }
    }
    Ok(answers)
}

async fn reads_find_what_a_shutdown_left(bed: Bed) -> Result<(), Stop> {
    let before = write_history(&bed).await?;
    bed.store.shutdown().await?;
    let bed = bed.reopen().await?;
    ensure_eq!(bed.contents().await?, before, "the contents after a shutdown");
    bed.store.probe().await?;
    ensure_eq!(bed.store.status().state, State::Ready, "the state after reopening");
    Ok(())
}

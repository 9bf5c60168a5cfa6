//! Cases of two nodes on the same data: what one acknowledged the other sees, and of races between them one wins.

use std::collections::BTreeSet;

use kvstore_types::{Kind, Outcome, Revision};

use super::{
    Stop,
    bed::{Bed, applied, at, delete, if_absent, put, put_ttl},
    check::{cases, ensure, ensure_eq},
};

cases! {
    each_node_reads_what_the_other_wrote: ["C4", "C13"],
    of_creators_on_two_nodes_one_wins: ["C2", "C10"],
    counting_on_two_nodes_loses_no_update: ["C2", "C10", "C12", "C13"],
    deletes_and_creations_on_two_nodes_keep_revisions_growing: ["C12", "C13"],
    a_repeat_on_the_other_node_gets_the_first_answer: ["C19", "C21"],
    repeats_that_race_on_two_nodes_are_applied_once: ["C19", "C21"],
    of_two_nodes_that_each_need_what_the_other_takes_one_is_applied: ["C2", "C10"],
    a_key_expires_on_both_nodes_at_once: ["C17"],
    transfers_on_two_nodes_keep_their_sum: ["C1", "C2", "C9"],
}

async fn both(bed: Bed) -> Result<[Bed; 2], Stop> {
    let other = bed.second().await?;
    Ok([bed, other])
}

async fn each_node_reads_what_the_other_wrote(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    let mut last = Revision(0);
    for round in 0..60_usize {
        let (writer, reader) = (&nodes[round % 2], &nodes[(round + 1) % 2]);
        let header = writer.put("key", round.to_string()).await?;
        ensure!(header.revision > last, "revision {} comes after {last}", header.revision);
        last = header.revision;
        ensure_eq!(reader.header("key").await?, Some(header), "what the other node reads in round {round}");
        ensure_eq!(reader.get_many(&["key"]).await?.len(), 1, "an answer");
        ensure_eq!(reader.contents().await?.first().map(|entry| entry.header), Some(header), "its page in round {round}");
        if round % 5 == 4 {
            last = applied(reader.delete("key").await?)?.revision;
            ensure_eq!(writer.get("key").await?, None, "the key that the other node deleted");
        }
    }
    Ok(())
}

async fn of_creators_on_two_nodes_one_wins(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    for round in 0..30 {
        let key = format!("key-{round}");
        let outcomes = nodes[0]
            .race(8, |_, task| {
                let (node, item) = (nodes[task % 2].clone(), if_absent(put(&key, task.to_string())));
                async move { node.write(vec![item]).await }
            })
            .await?;
        let winners = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Applied(_))).count();
        ensure_eq!(winners, 1, "creators of {key} that won");
    }
    Ok(())
}

/// Adds one to a number, if nobody did meanwhile. Says whether it was added.
async fn count(node: &Bed) -> Result<bool, Stop> {
    let Some(entry) = node.get("count").await? else { return Err(Stop::Failed("the count is gone".into())) };
    let number: u64 = String::from_utf8_lossy(&entry.value.unwrap_or_default()).parse()?;
    let outcome = node.write(vec![at(entry.header.revision, put("count", (number + 1).to_string()))]).await?;
    Ok(matches!(outcome, Outcome::Applied(_)))
}

async fn counting_on_two_nodes_loses_no_update(bed: Bed) -> Result<(), Stop> {
    const EACH: u64 = 25;
    let nodes = both(bed).await?;
    nodes[0].put("count", "0").await?;
    let counted = nodes[0].race(6, |_, task| {
        let node = nodes[task % 2].clone();
        async move {
            let mut added = 0;
            while added < EACH {
                added += u64::from(count(&node).await?);
            }
            Ok(())
        }
    });
    counted.await?;
    for node in &nodes {
        ensure_eq!(node.value("count").await?, Some((6 * EACH).to_string().into_bytes()), "the count");
        ensure_eq!(node.header("count").await?.map(|header| header.version), Some(6 * EACH + 1), "its version");
    }
    Ok(())
}

async fn deletes_and_creations_on_two_nodes_keep_revisions_growing(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    let done = nodes[0].race(6, |_, task| {
        let node = nodes[task % 2].clone();
        async move {
            let mut revisions = Vec::new();
            for round in 0..40 {
                let item = if (round + task) % 2 == 0 { put("key", task.to_string()) } else { delete("key") };
                if let Outcome::Applied(done) = node.write(vec![item]).await? {
                    let version = done.items[0].header.map(|header| header.version);
                    ensure!(done.items[0].kind != Kind::Created || version == Some(1), "a new life has version {version:?}");
                    revisions.push(done.revision);
                }
            }
            // Each came after the one before it was acknowledged.
            ensure!(revisions.windows(2).all(|pair| pair[0] < pair[1]), "the revisions of task {task} grow: {revisions:?}");
            Ok(revisions)
        }
    });
    let all: Vec<_> = done.await?.into_iter().flatten().collect();
    ensure_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "distinct revisions");
    Ok(())
}

async fn a_repeat_on_the_other_node_gets_the_first_answer(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    for round in 0..10_usize {
        let (items, once) = (vec![put(&format!("key-{round}"), "1"), delete("none")], format!("once-{round}"));
        let first = applied(nodes[round % 2].write_once(items.clone(), &once).await?)?;
        let again = applied(nodes[(round + 1) % 2].write_once(items, &once).await?)?;
        ensure!(again.replayed && !first.replayed, "the repeat is one");
        ensure_eq!((again.revision, again.stamp, &again.items), (first.revision, first.stamp, &first.items), "the answer");
        let other = nodes[(round + 1) % 2].write_once(vec![put("else", "1")], &once).await?;
        ensure_eq!(other, Outcome::IdempotencyMismatch, "another request under the same key");
    }
    Ok(())
}

async fn repeats_that_race_on_two_nodes_are_applied_once(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    for round in 0..20_u64 {
        let once = format!("once-{round}");
        let outcomes = nodes[0].race(8, |_, task| {
            let (node, once) = (nodes[task % 2].clone(), once.clone());
            async move { applied(node.write_once(vec![put("key", "x")], &once).await?) }
        });
        let firsts = outcomes.await?.iter().filter(|done| !done.replayed).count();
        ensure_eq!(firsts, 1, "first answers in round {round}");
        ensure_eq!(nodes[1].header("key").await?.map(|header| header.version), Some(round + 1), "updates after round {round}");
    }
    Ok(())
}

async fn of_two_nodes_that_each_need_what_the_other_takes_one_is_applied(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    for round in 0..60 {
        let (left, right) = (format!("left-{round}"), format!("right-{round}"));
        // Each creates its own key where the other's is absent: were both applied, no order would explain it.
        let outcomes = nodes[0].race(2, |_, task| {
            let (own, other) = if task == 0 { (&left, &right) } else { (&right, &left) };
            let (node, items) = (nodes[task].clone(), vec![put(own, "x"), if_absent(delete(other))]);
            async move { node.write(items).await }
        });
        let winners = outcomes.await?.iter().filter(|outcome| matches!(outcome, Outcome::Applied(_))).count();
        ensure_eq!(winners, 1, "batches that were applied in round {round}");
    }
    Ok(())
}

async fn a_key_expires_on_both_nodes_at_once(bed: Bed) -> Result<(), Stop> {
    let nodes = both(bed).await?;
    for round in 0..10_usize {
        nodes[round % 2].apply(vec![put_ttl("key", "1", 5)]).await?;
        ensure!(nodes[0].get("key").await?.is_some() && nodes[1].get("key").await?.is_some(), "it is there in round {round}");
        nodes[0].advance(6);
        for node in &nodes {
            ensure_eq!(node.get("key").await?, None, "the key after its expiry in round {round}");
            ensure_eq!(node.get_many(&["key"]).await?, vec![None], "a read of many after its expiry in round {round}");
        }
        let done = nodes[(round + 1) % 2].apply(vec![if_absent(put("key", "new"))]).await?;
        ensure_eq!(done.items[0].kind, Kind::Created, "the write of the other node in round {round}");
    }
    Ok(())
}

/// Moves one from an account to another, if neither changed meanwhile.
async fn transfer(node: &Bed, from: &str, to: &str) -> Result<(), Stop> {
    let read = node.get_many(&[from, to]).await?;
    let mut items = Vec::new();
    for (entry, change) in read.into_iter().flatten().zip([-1, 1]) {
        let balance: i64 = String::from_utf8_lossy(&entry.value.unwrap_or_default()).parse()?;
        items.push(at(entry.header.revision, put(entry.key.as_str(), (balance + change).to_string())));
    }
    node.write(items).await.map(drop)
}

async fn transfers_on_two_nodes_keep_their_sum(bed: Bed) -> Result<(), Stop> {
    const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];
    let nodes = both(bed).await?;
    nodes[0].apply(ACCOUNTS.iter().map(|key| put(key, "100")).collect()).await?;
    let done = nodes[0].race(6, |_, task| {
        let node = nodes[task % 2].clone();
        async move {
            for round in 0..30 {
                transfer(&node, ACCOUNTS[(task + round) % 4], ACCOUNTS[(task + round * 3 + 1) % 4]).await?;
                let mut sum = 0;
                for entry in node.get_many(&ACCOUNTS).await?.into_iter().flatten() {
                    sum += String::from_utf8_lossy(&entry.value.unwrap_or_default()).parse::<i64>()?;
                }
                ensure!(sum == 400 || !node.has_common_snapshot(), "the sum of all accounts in one snapshot is {sum}");
            }
            Ok(())
        }
    });
    done.await?;
    let mut sum = 0_i64;
    for key in ACCOUNTS {
        sum += String::from_utf8_lossy(&nodes[1].value(key).await?.unwrap_or_default()).parse::<i64>()?;
    }
    ensure_eq!(sum, 400, "the sum of all accounts at the end");
    nodes[0].shown_with_snapshots()
}

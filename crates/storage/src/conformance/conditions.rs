//! Cases of C11 and of each condition by itself, one writer at a time.

use kvstore_types::{FailedCondition, Item, Kind, Outcome, Revision};

use super::{
    Stop,
    bed::{Bed, at, delete, if_absent, if_present, put, refused},
    check::{cases, ensure, ensure_eq},
};

cases! {
    each_condition_holds_when_it_should: ["C10", "C11"],
    every_failed_item_is_named: ["C11"],
    a_condition_sees_writes_of_the_same_instant: ["C2", "C10"],
    a_revision_is_a_safe_lock_where_a_version_is_not: ["C10", "C13"],
}

async fn each_condition_holds_when_it_should(bed: Bed) -> Result<(), Stop> {
    let old = bed.put("there", "1").await?.revision;
    let now = bed.put("there", "2").await?.revision;
    type Conditional = fn(Revision, Revision, Item) -> Item;
    let table: [(&str, Conditional, bool, bool); 5] = [
        ("absent", |_, _, item| if_absent(item), false, true),
        ("present", |_, _, item| if_present(item), true, false),
        ("the revision", |_, now, item| at(now, item), true, false),
        ("an older revision", |old, _, item| at(old, item), false, false),
        ("a later revision", |_, now, item| at(Revision(now.0 + 1_000_000), item), false, false),
    ];
    let (mut old, mut now) = (old, now);
    for (name, condition, holds_there, holds_none) in table {
        for deletes in [false, true] {
            let write = |key: &str| if deletes { delete(key) } else { put(key, "3") };
            let before = bed.get("there").await?;
            let outcome = bed.write(vec![condition(old, now, write("there"))]).await?;
            if holds_there {
                let done = super::bed::applied(outcome)?;
                let kind = if deletes { Kind::Deleted } else { Kind::Updated };
                ensure_eq!(done.items.first().map(|item| item.kind), Some(kind), "{name} of a key that is there");
                (old, now) = (bed.put("there", "1").await?.revision, bed.put("there", "2").await?.revision);
            } else {
                let current = before.as_ref().map(|entry| entry.header);
                ensure_eq!(refused(outcome)?, vec![FailedCondition { index: 0, current }], "{name} of a key that is there");
                ensure_eq!(bed.get("there").await?, before, "the key after {name} failed");
            }
            let outcome = bed.write(vec![condition(old, now, write("none"))]).await?;
            match (holds_none, deletes) {
                (false, _) => {
                    ensure_eq!(refused(outcome)?, vec![FailedCondition { index: 0, current: None }], "{name} of an absent key");
                }
                (true, true) => ensure_eq!(outcome, Outcome::Unchanged, "{name} on the delete of an absent key"),
                (true, false) => {
                    ensure_eq!(super::bed::applied(outcome)?.items[0].kind, Kind::Created, "{name} on the put of an absent key");
                    bed.delete("none").await?;
                }
            }
            ensure_eq!(bed.get("none").await?, None, "the absent key after {name}");
        }
    }
    Ok(())
}

async fn every_failed_item_is_named(bed: Bed) -> Result<(), Stop> {
    let (a, c) = (bed.put("a", "1").await?, bed.put("c", "1").await?);
    let before = bed.contents().await?;
    let items = vec![
        if_absent(put("a", "2")),
        if_absent(put("b", "2")),
        at(a.revision, delete("c")),
        if_present(put("d", "2")),
        put("e", "2"),
        at(c.revision, put("f", "2")),
    ];
    let expected = [(0, Some(a)), (2, Some(c)), (3, None), (5, None)].map(|(index, current)| FailedCondition { index, current });
    ensure_eq!(refused(bed.write(items).await?)?, expected.to_vec(), "the failed items, with the entries as they are");
    ensure_eq!(bed.contents().await?, before, "the contents after the failed batch");
    Ok(())
}

async fn a_condition_sees_writes_of_the_same_instant(bed: Bed) -> Result<(), Stop> {
    // The clock stands, and every batch depends on the one before it. Sent at once, they may be committed as one group.
    for round in 0..20 {
        let key = format!("chain-{round}");
        let outcomes = bed
            .race(8, |bed, task| {
                let item = if task % 2 == 0 { if_absent(put(&key, task.to_string())) } else { if_present(delete(&key)) };
                async move { bed.write(vec![item]).await }
            })
            .await?;
        let created = outcomes.iter().step_by(2).filter(|outcome| matches!(outcome, Outcome::Applied(_))).count();
        let deleted = outcomes.iter().skip(1).step_by(2).filter(|outcome| matches!(outcome, Outcome::Applied(_))).count();
        let there = usize::from(bed.get(&key).await?.is_some());
        ensure!(created >= 1, "the first of the creators is applied: {outcomes:?}");
        ensure_eq!(created, deleted + there, "each creation follows the start or a deletion: {outcomes:?}");
    }
    Ok(())
}

async fn a_revision_is_a_safe_lock_where_a_version_is_not(bed: Bed) -> Result<(), Stop> {
    let first = bed.put("lock", "mine").await?;
    bed.delete("lock").await?;
    let second = bed.put("lock", "theirs").await?;
    ensure_eq!(second.version, first.version, "the version of the key created anew");
    ensure!(second.revision > first.revision, "its revision {} is after {}", second.revision, first.revision);
    for item in [put("lock", "mine again"), delete("lock")] {
        let failed = refused(bed.write(vec![at(first.revision, item)]).await?)?;
        ensure_eq!(failed, vec![FailedCondition { index: 0, current: Some(second) }], "a write under the first revision");
    }
    ensure_eq!(bed.value("lock").await?, Some(b"theirs".to_vec()), "the value");
    super::bed::applied(bed.write(vec![at(second.revision, delete("lock"))]).await?)?;
    Ok(())
}

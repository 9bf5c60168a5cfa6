//! Writing a group: snapshot, plan, commit; again where other nodes changed what it rests on; and its members singly where that does
//! not end, or where the database refuses what one of them holds. Every member gets exactly one answer.

use kvstore_types::{
    Outcome, WriteBatch,
    limits::{DATABASE_ATTEMPTS_MAX, DATABASE_LIGHT_ITEMS_MAX, DATABASE_LONE_ATTEMPTS_MAX},
};

use super::{
    Shared,
    commit::{Hold, leave},
    plan::Plan,
    queue::Member,
};
use crate::StoreError;

/// Why an attempt came to nothing. `error` is what to say if it was the last.
pub(super) enum Failure {
    /// Not applied: others changed what it rests on, or the connection broke before the commit was sent. Worth another attempt.
    Again(StoreError),
    /// Not applied: the database refuses it. The other members may be fine.
    Refused(StoreError),
    /// Nothing more can be done: not applied, or unknown.
    Final(StoreError),
}

/// Writes a group and answers its members.
pub(super) async fn write(shared: &Shared, group: Vec<Member>) {
    let mut left = group;
    while !left.is_empty() {
        left = round(shared, left).await;
    }
}

/// Gives the members that were left for the next round; of one round at least the first is answered.
async fn round(shared: &Shared, mut group: Vec<Member>) -> Vec<Member> {
    // Whoever is left of several is written alone after that.
    let is_lone = group.len() == 1;
    let attempts = if is_lone { DATABASE_LONE_ATTEMPTS_MAX } else { DATABASE_ATTEMPTS_MAX };
    let mut last = None;
    for number in 0..attempts {
        group = in_time(group);
        if group.is_empty() {
            return group;
        }
        match attempt(shared, &group, hold(&group, number)).await {
            Ok(outcomes) => return answer(group, outcomes),
            Err(Failure::Again(error)) => last = Some(error),
            Err(Failure::Refused(error)) => {
                last = Some(error);
                break;
            }
            Err(Failure::Final(error)) => {
                refuse(group, &error);
                return Vec::new();
            }
        }
    }
    if !is_lone {
        for member in group {
            Box::pin(write(shared, vec![member])).await;
        }
    } else if let Some(error) = last {
        refuse(group, &error);
    }
    Vec::new()
}

/// Those that may still be written; the others are told that they were not. A write must not take effect long after its caller was told
/// that the outcome is unknown: by then the caller has looked, and gone on.
fn in_time(group: Vec<Member>) -> Vec<Member> {
    let (late, in_time): (Vec<_>, Vec<_>) = group.into_iter().partition(Member::is_late);
    refuse(late, &too_late());
    in_time
}

fn too_late() -> StoreError {
    StoreError::Overloaded("the database took too long to take the write")
}

fn answer(group: Vec<Member>, outcomes: Vec<Option<Outcome>>) -> Vec<Member> {
    let mut left = Vec::new();
    for (member, outcome) in group.into_iter().zip(outcomes) {
        match outcome {
            // A caller that went away does not need its answer.
            Some(outcome) => drop(member.reply.send(Ok(outcome))),
            None => left.push(member),
        }
    }
    left
}

fn refuse(group: Vec<Member>, error: &StoreError) {
    for member in group {
        let _ = member.reply.send(Err(error.clone()));
    }
}

/// A batch that was too late several times holds its rows: where another node's round trips are shorter, it would be too late for ever.
fn hold(group: &[Member], number: u32) -> Hold {
    match group {
        [lone] if number >= DATABASE_ATTEMPTS_MAX && lone.batch.items().len() <= DATABASE_LIGHT_ITEMS_MAX => Hold::Rows,
        _ => Hold::Nothing,
    }
}

async fn attempt(shared: &Shared, group: &[Member], hold: Hold) -> Result<Vec<Option<Outcome>>, Failure> {
    let batches: Vec<&WriteBatch> = group.iter().map(|member| &*member.batch).collect();
    let (lease, snapshot) = shared.snapshot(&batches, hold).await?;
    if group.iter().any(Member::is_late) {
        if lease.is_begun() {
            leave(lease).await;
        }
        return Err(Failure::Again(too_late()));
    }
    let plan = Plan::new(batches.into_iter(), &snapshot);
    if !plan.is_empty() {
        shared.commit(lease, &plan, snapshot.latest_arrival).await?;
    } else if lease.is_begun() {
        leave(lease).await;
    }
    if let Some(applied) = plan.applied {
        shared.note_applied(applied);
    }
    Ok(plan.outcomes)
}

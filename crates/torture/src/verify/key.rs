//! What may be seen of one key, given its history.

use std::time::{Duration, Instant};

use super::{Before, Fault, FaultKind, Reading, Request, Seen, Settled};
use crate::journal::{Answer, Change};
use crate::value;

/// One key's past.
pub(crate) struct History<'a> {
    pub(crate) name: &'a str,
    pub(crate) before: &'a Before,
    pub(crate) requests: &'a [Request<'a>],
    pub(crate) settled: &'a Settled,
    pub(crate) during: Reading,
}

/// How late an expiry may be noticed.
const EXPIRY_SLACK: Duration = Duration::from_secs(2);

/// Entries that live longer than this cannot expire during a run.
const SHORT_LIFE: Duration = Duration::from_secs(60);

impl History<'_> {
    /// Checks what is there of the key now.
    pub(crate) fn check_now(&self, now: Option<&Seen>, faults: &mut Vec<Fault>) {
        match now {
            None => self.check_absent(faults),
            Some(seen) if self.old().is_some_and(|old| old.revision == seen.revision) => self.check_unchanged(seen, faults),
            Some(seen) => self.check_new(seen, faults),
        }
    }

    pub(super) fn fault(&self, kind: FaultKind, detail: String) -> Fault {
        Fault { kind, key: self.name.to_owned(), detail }
    }

    pub(super) fn old(&self) -> Option<&Seen> {
        self.before.contents.get(self.name)
    }

    /// Puts that took effect, with their revisions.
    pub(super) fn puts(&self) -> impl Iterator<Item = (&Request<'_>, u64)> {
        self.requests
            .iter()
            .filter(|request| matches!(request.change(), Some(Change::Put { .. })))
            .filter_map(|request| self.settled.get(&request.op.id).map(|revision| (request, *revision)))
    }

    /// The key holds what it held before.
    fn check_unchanged(&self, seen: &Seen, faults: &mut Vec<Fault>) {
        if self.old().is_some_and(|old| old.value != seen.value) {
            faults.push(self.fault(FaultKind::Corrupt, format!("revision {} has other bytes than before", seen.revision)));
        }
        self.check_superseded(seen.revision, faults);
        if let Some(delete) = self.requests.iter().find(|request| request.is_delete() && request.completed().is_some()) {
            let detail = format!("deleted by operation {}, and there is the value from before", delete.op.id);
            faults.push(self.fault(FaultKind::Resurrected, detail));
        }
    }

    /// The key holds something that was written since.
    fn check_new(&self, seen: &Seen, faults: &mut Vec<Fault>) {
        let Some(author) = self.author(seen) else {
            faults.push(self.stranger(seen));
            return;
        };
        let id = author.op.id;
        if author.op.value(author.item).as_ref() != Some(&seen.value) {
            faults.push(self.fault(FaultKind::Corrupt, format!("the bytes are not those of operation {id}")));
        }
        if matches!(author.op.answer, Answer::NotApplied) {
            faults.push(self.fault(FaultKind::NotAppliedIsThere, format!("operation {id} was answered as not applied")));
        }
        if let Some(highest) = self.before.highest.get(self.name).filter(|highest| **highest >= seen.revision) {
            faults.push(self.fault(FaultKind::Revision, format!("revision {} after {highest}", seen.revision)));
        }
        self.check_superseded(seen.revision, faults);
        self.check_not_deleted(author, faults);
        self.check_not_expired(author, faults);
    }

    fn author(&self, seen: &Seen) -> Option<&Request<'_>> {
        let (op, item) = value::author(&seen.value)?;
        self.requests.iter().find(|request| request.op.id == op && request.item == item)
    }

    fn stranger(&self, seen: &Seen) -> Fault {
        match value::author(&seen.value) {
            // Every request that could have written it was settled by an earlier look.
            Some((op, _)) => {
                self.fault(FaultKind::Resurrected, format!("operation {op} of an earlier time is there, as revision {}", seen.revision))
            }
            None => self.fault(FaultKind::Corrupt, format!("revision {} was written by nobody", seen.revision)),
        }
    }

    /// No write with a greater revision may be missing.
    fn check_superseded(&self, revision: u64, faults: &mut Vec<Fault>) {
        for (request, later) in self.puts().filter(|(_, later)| *later > revision) {
            faults.push(self.missing(request, format!("its revision {later} is later than {revision}, which is there")));
        }
    }

    fn check_not_deleted(&self, author: &Request<'_>, faults: &mut Vec<Fault>) {
        let Some(completed) = author.completed() else {
            return;
        };
        let after = |request: &&Request<'_>| request.is_delete() && request.completed().is_some() && request.op.invoked > completed;
        if let Some(delete) = self.requests.iter().find(after) {
            let detail = format!("operation {} was deleted by operation {}, and is there", author.op.id, delete.op.id);
            faults.push(self.fault(FaultKind::Resurrected, detail));
        }
    }

    fn check_not_expired(&self, author: &Request<'_>, faults: &mut Vec<Fault>) {
        let (Some(Change::Put { ttl: Some(ttl), .. }), Answer::Applied { completed_at, .. }) = (author.change(), author.op.answer) else {
            return;
        };
        // It was seen then or later.
        let age = self.during.began.saturating_duration_since(completed_at);
        if age > ttl + EXPIRY_SLACK {
            faults.push(self.fault(
                FaultKind::Resurrected,
                format!("operation {} is there {age:?} after its answer, with a life of {ttl:?}", author.op.id),
            ));
        }
    }

    /// Everything that was there must have been deleted, or have expired.
    fn check_absent(&self, faults: &mut Vec<Fault>) {
        let removed = self.requests.iter().any(|request| request.may_remove(self.during.ended));
        if let Some(old) = self.old().filter(|old| !removed && !old.expires) {
            faults.push(self.fault(FaultKind::Lost, format!("revision {} was there before, and nothing removed it", old.revision)));
        }
        for (put, revision) in self.puts() {
            if !self.requests.iter().any(|request| self.explains_absence(request, put, revision)) {
                faults.push(self.missing(put, format!("revision {revision} is gone, and nothing removed it")));
            }
        }
    }

    /// Whether `remover` may have come after `put` and left the key absent.
    fn explains_absence(&self, remover: &Request<'_>, put: &Request<'_>, revision: u64) -> bool {
        if !remover.may_remove(self.during.ended) {
            return false;
        }
        if remover.is_delete() {
            return remover.completed().is_none_or(|completed| completed > put.op.invoked);
        }
        self.settled.get(&remover.op.id).is_none_or(|expired| *expired >= revision)
    }

    fn missing(&self, request: &Request<'_>, detail: String) -> Fault {
        let kind = if matches!(request.op.answer, Answer::Unknown) { FaultKind::HalfBatch } else { FaultKind::Lost };
        self.fault(kind, format!("operation {}: {detail}", request.op.id))
    }
}

impl Request<'_> {
    pub(super) fn change(&self) -> Option<Change> {
        self.op.writes.get(self.item).map(|write| write.change)
    }

    pub(super) fn is_delete(&self) -> bool {
        self.change() == Some(Change::Delete)
    }

    /// When it was answered as applied.
    pub(super) fn completed(&self) -> Option<u64> {
        match self.op.answer {
            Answer::Applied { completed, .. } => Some(completed),
            _ => None,
        }
    }

    /// Whether it can have left the key absent by this moment: a delete, or a put that may have expired.
    fn may_remove(&self, by: Instant) -> bool {
        let expired = |ttl: Duration| ttl < SHORT_LIFE && by.saturating_duration_since(self.op.invoked_at) >= ttl;
        match (self.op.answer, self.change()) {
            (Answer::NotApplied, _) | (_, None | Some(Change::Put { ttl: None, .. })) => false,
            (_, Some(Change::Delete)) => true,
            (_, Some(Change::Put { ttl: Some(ttl), .. })) => expired(ttl),
        }
    }
}

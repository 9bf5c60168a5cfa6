//! A Store that wraps a Store and does one thing wrong.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kvstore_storage::{
    Checkpoint, ManualClock, Status, Store, StoreError,
    conformance::{Fixture, Stop},
    open_memory,
};
use kvstore_types::{
    Applied, Condition, Consistency, Entry, Header, Item, Key, Kind, Mutation, Outcome, Page, Projection, RestoreBatch, RestoreOutcome,
    Revision, Scan, WriteBatch,
};
use tokio::sync::Mutex;

use crate::fixtures::START;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    DropsEveryThirdPut,
    ReadsFromAnOldCopy,
    SplitsBatches,
    ShowsHalfABatch,
    ChecksConditionsBeforeOrdering,
    IgnoresConditions,
    NamesOneFailedItem,
    UsesTheVersionAsRevision,
    RenewsCreationTimes,
    AppliesDeletesOfNothing,
    RepeatsTheCursor,
    SkipsAfterTheCursor,
    EndsAfterOnePage,
    AlwaysHasANext,
    JoinsPages,
    OrdersByUtf16,
    ExcludesTheEnd,
    ScansKeyByKey,
    ReadsManyOneByOne,
    SortsReadsOfMany,
    ForgetsTheLengthInHeaders,
    CutsLargeValues,
    IgnoresTimesToLive,
    KeepsAnEarlierExpiry,
    IgnoresIdempotencyKeys,
    RemembersFailures,
    RemembersForEver,
    CallsRefusalsUnknown,
    LosesEverythingAtReopening,
    LosesEverythingInACrash,
    RestoresAsIfWrittenNow,
}

/// The specification on a clock of its own, behind a fault.
pub(super) struct FaultyFixture {
    fault: Fault,
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
}

impl FaultyFixture {
    pub(super) fn of(fault: Fault) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(Faulty::on(clock.clone(), fault));
        Arc::new(Self { fault, clock, store })
    }
}

#[async_trait]
impl Fixture for FaultyFixture {
    fn name(&self) -> &str {
        "a faulty store"
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Stop> {
        Ok(Arc::clone(&self.store))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        let empty = || Arc::new(Faulty::on(self.clock.clone(), self.fault)) as Arc<dyn Store>;
        Ok((self.fault == Fault::LosesEverythingAtReopening).then(empty))
    }

    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        let empty = || Arc::new(Faulty::on(self.clock.clone(), self.fault)) as Arc<dyn Store>;
        Ok((self.fault == Fault::LosesEverythingInACrash).then(empty))
    }
}

struct Faulty {
    fault: Fault,
    inner: Arc<dyn Store>,
    writes: AtomicUsize,
    old: Mutex<HashMap<Key, Option<Entry>>>,
    remembered: Mutex<HashMap<String, Outcome>>,
    /// Items of a batch that are not shown yet.
    late: Mutex<()>,
}

impl Faulty {
    fn on(clock: Arc<ManualClock>, fault: Fault) -> Self {
        let inner = open_memory(clock, None).expect("a thread for the committer");
        let (old, remembered, late) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { fault, inner, writes: AtomicUsize::new(0), old, remembered, late }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// Lets the writers of a case get in between two steps that a correct store does as one.
    async fn dawdle(&self) {
        let before = self.inner.applied_revision();
        for _ in 0..2_000 {
            if self.inner.applied_revision() != before {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn spoil_header(&self, header: &mut Header) {
        match self.fault {
            Fault::UsesTheVersionAsRevision => header.revision = Revision(header.version),
            Fault::RenewsCreationTimes => header.created_at = header.updated_at,
            _ => {}
        }
    }

    fn spoil(&self, mut entry: Entry, projection: Projection) -> Entry {
        self.spoil_header(&mut entry.header);
        match &mut entry.value {
            Some(value) if self.has(Fault::CutsLargeValues) => value.truncate(4096),
            None if self.has(Fault::ForgetsTheLengthInHeaders) && projection == Projection::Header => entry.header.value_len = 0,
            _ => {}
        }
        entry
    }

    fn spoil_applied(&self, mut done: Applied) -> Applied {
        for item in &mut done.items {
            if let Some(header) = &mut item.header {
                self.spoil_header(header);
            }
        }
        if self.has(Fault::UsesTheVersionAsRevision)
            && let Some(header) = done.items.iter().find_map(|item| item.header)
        {
            done.revision = header.revision;
        }
        done
    }

    /// The batch as the faulty store understands it.
    async fn spoil_items(&self, items: &[Item]) -> Result<Vec<Item>, StoreError> {
        let mut spoilt = items.to_vec();
        for item in &mut spoilt {
            let current = self.inner.read(&item.key, Projection::Header, Consistency::Linearizable).await?.map(|entry| entry.header);
            if self.has(Fault::IgnoresConditions) || self.has(Fault::ChecksConditionsBeforeOrdering) {
                item.condition = None;
            }
            // What callers hold is the version of the key: find the revision that it stands for, in whichever life.
            if self.has(Fault::UsesTheVersionAsRevision)
                && let (Some(Condition::Revision(told)), Some(header)) = (item.condition, current)
                && told.0 == header.version
            {
                item.condition = Some(Condition::Revision(header.revision));
            }
            if let Mutation::Put { ttl, .. } = &mut item.mutation {
                if self.has(Fault::IgnoresTimesToLive) {
                    *ttl = None;
                }
                if self.has(Fault::KeepsAnEarlierExpiry)
                    && let (None, Some(header)) = (&ttl, current)
                    && let Some(at) = header.expires_at
                {
                    let left = (at.as_micros() - header.updated_at.as_micros()) / 1_000_000;
                    *ttl = kvstore_types::Ttl::from_seconds(u64::try_from(left).unwrap_or(1)).ok();
                }
            }
        }
        Ok(spoilt)
    }

    async fn condition_fails_now(&self, items: &[Item]) -> Result<bool, StoreError> {
        for item in items {
            let current = self.inner.read(&item.key, Projection::Header, Consistency::Linearizable).await?;
            let holds = match item.condition {
                None => true,
                Some(Condition::Absent) => current.is_none(),
                Some(Condition::Present) => current.is_some(),
                Some(Condition::Revision(revision)) => current.is_some_and(|entry| entry.header.revision == revision),
            };
            if !holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the items one by one, each as a batch of its own, and answers as if they had been one.
    async fn write_apart(&self, batch: &WriteBatch) -> Result<Outcome, StoreError> {
        let mut together: Option<Applied> = None;
        for item in batch.items() {
            match self.inner.write(Arc::new(WriteBatch::one(item.clone(), None))).await? {
                Outcome::Applied(done) => match &mut together {
                    None => together = Some(done),
                    Some(all) => all.items.extend(done.items),
                },
                Outcome::Unchanged => {}
                other => return Ok(other),
            }
            self.dawdle_if_half().await;
        }
        Ok(together.map_or(Outcome::Unchanged, Outcome::Applied))
    }

    async fn dawdle_if_half(&self) {
        if self.has(Fault::ShowsHalfABatch) {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn write_spoilt(&self, batch: &Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        let _one_at_a_time = if self.has(Fault::ShowsHalfABatch) { Some(self.late.lock().await) } else { None };
        if self.has(Fault::ChecksConditionsBeforeOrdering) {
            if self.condition_fails_now(batch.items()).await? {
                return self.inner.write(Arc::clone(batch)).await;
            }
            tokio::task::yield_now().await;
        }
        let items = self.spoil_items(batch.items()).await?;
        let idempotency = batch.idempotency().filter(|_| !self.has(Fault::IgnoresIdempotencyKeys)).map(|(key, _)| key.clone());
        let spoilt = Arc::new(WriteBatch::new(items, idempotency).expect("as valid as the batch that it is made of"));
        let apart = self.has(Fault::SplitsBatches) || self.has(Fault::ShowsHalfABatch);
        let outcome = if apart && spoilt.items().len() > 1 { self.write_apart(&spoilt).await? } else { self.inner.write(spoilt).await? };
        Ok(match outcome {
            Outcome::Applied(done) => Outcome::Applied(self.spoil_applied(done)),
            Outcome::ConditionFailed(mut failed) => {
                if self.has(Fault::NamesOneFailedItem) {
                    failed.truncate(1);
                }
                for current in failed.iter_mut().filter_map(|item| item.current.as_mut()) {
                    self.spoil_header(current);
                }
                Outcome::ConditionFailed(failed)
            }
            Outcome::Unchanged if self.has(Fault::AppliesDeletesOfNothing) => {
                let item = kvstore_types::ItemOutcome { kind: Kind::Missing, header: None };
                let items = vec![item; batch.items().len()];
                Outcome::Applied(Applied { revision: self.inner.applied_revision(), stamp: START, items, replayed: false })
            }
            other => other,
        })
    }

    /// A put that is acknowledged with what it would have done, and not done.
    async fn drop_put(&self, batch: &WriteBatch) -> Result<Option<Outcome>, StoreError> {
        let [Item { key, mutation: Mutation::Put { value, .. }, condition: None }] = batch.items() else { return Ok(None) };
        if !self.has(Fault::DropsEveryThirdPut) || !self.writes.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) {
            return Ok(None);
        }
        let Some(entry) = self.inner.read(key, Projection::Header, Consistency::Linearizable).await? else { return Ok(None) };
        let (revision, stamp) = (self.inner.applied_revision().next(), entry.header.updated_at.next());
        let version = entry.header.version + 1;
        let header = Header { version, revision, updated_at: stamp, value_len: value.len() as u64, ..entry.header };
        let items = vec![kvstore_types::ItemOutcome { kind: Kind::Updated, header: Some(header) }];
        Ok(Some(Outcome::Applied(Applied { revision, stamp, items, replayed: false })))
    }

    fn name_of(batch: &WriteBatch) -> Option<String> {
        batch.idempotency().map(|(key, hash)| format!("{} {:?}", key.as_str(), hash.0))
    }

    async fn remembered(&self, batch: &WriteBatch) -> Option<Outcome> {
        let outcome = self.remembered.lock().await.get(&Self::name_of(batch)?).cloned();
        match outcome? {
            Outcome::Applied(done) => Some(Outcome::Applied(Applied { replayed: true, ..done })),
            other => Some(other),
        }
    }

    async fn remember(&self, batch: &WriteBatch, outcome: &Outcome) {
        let applied = matches!(outcome, Outcome::Applied(_));
        if let Some(name) = Self::name_of(batch)
            && ((self.has(Fault::RemembersFailures) && !applied) || (self.has(Fault::RemembersForEver) && applied))
        {
            self.remembered.lock().await.insert(name, outcome.clone());
        }
    }

    fn spoil_page(&self, mut page: Page, scan: &Scan) -> Page {
        match self.fault {
            Fault::OrdersByUtf16 => {
                page.entries.sort_by(|a, b| a.key.as_str().encode_utf16().cmp(b.key.as_str().encode_utf16()));
                if scan.reverse {
                    page.entries.reverse();
                }
            }
            Fault::ExcludesTheEnd => {
                let end = scan.range.upper();
                page.entries.retain(|entry| Some([entry.key.as_bytes(), &[0]].concat()) != end);
            }
            Fault::RepeatsTheCursor if page.next.is_some() && page.entries.len() > 1 => {
                page.next = page.entries.iter().rev().nth(1).map(|entry| entry.key.clone());
            }
            Fault::SkipsAfterTheCursor if scan.after.is_some() && !page.entries.is_empty() => drop(page.entries.remove(0)),
            Fault::EndsAfterOnePage => page.next = None,
            Fault::AlwaysHasANext => page.next = page.next.or_else(|| page.entries.last().map(|entry| entry.key.clone())),
            _ => {}
        }
        page
    }
}

#[async_trait]
impl Store for Faulty {
    async fn read(&self, key: &Key, projection: Projection, consistency: Consistency) -> Result<Option<Entry>, StoreError> {
        let entry = self.inner.read(key, projection, consistency).await?.map(|entry| self.spoil(entry, projection));
        if self.has(Fault::ReadsFromAnOldCopy) && projection == Projection::Full {
            return Ok(self.old.lock().await.entry(key.clone()).or_insert(entry).clone());
        }
        Ok(entry)
    }

    async fn read_many(&self, keys: &[Key], consistency: Consistency) -> Result<Vec<Option<Entry>>, StoreError> {
        if self.has(Fault::ReadsManyOneByOne) {
            let mut found = Vec::new();
            for key in keys {
                found.push(self.inner.read(key, Projection::Full, consistency).await?);
                self.dawdle().await;
            }
            return Ok(found);
        }
        let mut keys = keys.to_vec();
        if self.has(Fault::SortsReadsOfMany) {
            keys.sort();
        }
        let found = self.inner.read_many(&keys, consistency).await?;
        Ok(found.into_iter().map(|entry| entry.map(|entry| self.spoil(entry, Projection::Full))).collect())
    }

    async fn scan(&self, scan: &Scan, consistency: Consistency) -> Result<Page, StoreError> {
        let mut page = self.inner.scan(scan, consistency).await?;
        if self.has(Fault::JoinsPages)
            && let Some(next) = page.next.take()
        {
            let more = self.inner.scan(&Scan { after: Some(next), ..scan.clone() }, consistency).await?;
            page.entries.extend(more.entries);
            page.next = more.next;
        }
        if self.has(Fault::ScansKeyByKey) {
            self.dawdle().await;
            let mut entries = Vec::new();
            for entry in page.entries {
                entries.extend(self.inner.read(&entry.key, scan.projection, consistency).await?);
            }
            page.entries = entries;
        }
        page.entries = page.entries.into_iter().map(|entry| self.spoil(entry, scan.projection)).collect();
        Ok(self.spoil_page(page, scan))
    }

    async fn write(&self, batch: Arc<WriteBatch>) -> Result<Outcome, StoreError> {
        if let Some(outcome) = self.remembered(&batch).await {
            return Ok(outcome);
        }
        if let Some(outcome) = self.drop_put(&batch).await? {
            return Ok(outcome);
        }
        let outcome = match self.write_spoilt(&batch).await {
            Err(error) if self.has(Fault::CallsRefusalsUnknown) => return Err(StoreError::Unknown(error.to_string())),
            outcome => outcome?,
        };
        self.remember(&batch, &outcome).await;
        Ok(outcome)
    }

    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.inner.checkpoint().await
    }

    async fn restore(&self, batch: Arc<RestoreBatch>) -> Result<RestoreOutcome, StoreError> {
        if self.has(Fault::RestoresAsIfWrittenNow) {
            let items = batch.items().iter().map(|item| Item {
                key: item.key.clone(),
                mutation: Mutation::Put { value: item.value.clone(), ttl: None },
                condition: None,
            });
            self.inner.write(Arc::new(WriteBatch::new(items.collect(), None).expect("as valid as the batch that it is made of"))).await?;
            return Ok(RestoreOutcome::Restored { applied: self.inner.applied_revision() });
        }
        self.inner.restore(batch).await
    }

    fn applied_revision(&self) -> Revision {
        self.inner.applied_revision()
    }

    fn capabilities(&self) -> kvstore_storage::Capabilities {
        self.inner.capabilities()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    async fn probe(&self) -> Result<Duration, StoreError> {
        self.inner.probe().await
    }

    async fn shutdown(&self) -> Result<(), StoreError> {
        self.inner.shutdown().await
    }

    async fn failed(&self) -> String {
        self.inner.failed().await
    }
}

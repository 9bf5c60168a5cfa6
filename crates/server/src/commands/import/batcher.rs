//! `Batcher`: makes batches of what a source gives, on the source's own thread, and hands them over in order.
//!
//! Where a batch ends depends on nothing but the input: when an import is repeated from the end of a batch, the same batches follow.

use foldhash::{HashMap, HashMapExt};
use kvstore_client::EncodedItems;
use kvstore_types::{
    Key,
    limits::{IMPORT_BATCH_BYTES_MAX, IMPORT_BATCH_ITEMS_MAX},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;

use super::state::Stretch;

/// What was done with the input up to some place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Lines, or items of another format.
    pub(super) lines: u64,
    /// Entries that were stored.
    pub(super) entries: u64,
    /// Lines that were wrong and passed over.
    pub(super) skipped: u64,
    /// Entries that had expired, so that there was nothing to store.
    pub(super) expired: u64,
}

/// Items that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: EncodedItems,
    /// What the input consists of: lines, or items of another format.
    pub(super) unit: &'static str,
    /// The line of each item.
    pub(super) lines: Vec<u64>,
    /// Hashes of the keys: batches that share one are not under way together.
    pub(super) keys: Vec<u64>,
    /// The part of the input that it was made from.
    pub(super) stretch: Stretch,
    /// At the end of that part.
    pub(super) totals: Totals,
    /// Bytes of the input file that had been read by then.
    pub(super) read: u64,
}

/// From a source's thread.
#[derive(Debug)]
pub(super) enum Message {
    Batch(Box<Batch>),
    /// A line that can't be stored.
    Fault {
        place: String,
        reason: String,
    },
    /// Something that the user should know.
    Note(String),
    /// The source is at its end, or can't go on.
    End(anyhow::Result<Totals>),
}

/// What to do with a line that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFault {
    Stop,
    Skip,
}

/// Whoever takes the batches has gone: the source should end.
#[derive(Debug, thiserror::Error)]
#[error("the import was ended")]
pub(super) struct Ended;

/// Makes batches.
pub(super) struct Batcher {
    to: Sender<Message>,
    unit: &'static str,
    on_fault: OnFault,
    /// Of two items with one key in a batch: the later one wins, or is a fault.
    duplicates_win: bool,
    pending: Pending,
    /// Where the batch that is being made begins, and where the last line ended.
    from: u64,
    offset: u64,
    totals: Totals,
    /// How much of the input file was read.
    read: Box<dyn Fn() -> u64 + Send>,
}

struct Pending {
    items: EncodedItems,
    lines: Vec<u64>,
    /// The position of each key's item; none where the key's last line had expired. Such lines fill a batch as if they were still
    /// alive: when an import goes on later, its batches begin where they did.
    keys: HashMap<Key, Option<usize>>,
    superseded: Vec<usize>,
    /// Bytes of the lines that these keys come from.
    bytes: usize,
    hasher: blake3::Hasher,
}

impl Pending {
    fn new() -> Self {
        let keys = HashMap::with_capacity(IMPORT_BATCH_ITEMS_MAX);
        Self { items: EncodedItems::default(), lines: Vec::new(), keys, superseded: Vec::new(), bytes: 0, hasher: blake3::Hasher::new() }
    }

    /// Whether a line of so many bytes belongs into the next batch.
    fn is_full(&self, key: &Key, bytes: usize) -> bool {
        let is_another = !self.keys.contains_key(key);
        (is_another && self.keys.len() >= IMPORT_BATCH_ITEMS_MAX) || (!self.keys.is_empty() && self.bytes + bytes > IMPORT_BATCH_BYTES_MAX)
    }

    /// Takes note of a key's last line: what came before it in the batch has no effect.
    fn note(&mut self, key: Key, at: Option<usize>) {
        self.superseded.extend(self.keys.insert(key, at).flatten());
    }
}

/// A line as a source gives it.
pub(super) struct Given<'a> {
    /// Its bytes in the input, line break included.
    pub(super) raw: &'a [u8],
    /// What it comes to.
    pub(super) becomes: Becomes<'a>,
}

pub(super) enum Becomes<'a> {
    Item { key: Key, json: &'a [u8] },
    Expired { key: Key },
    Nothing,
    Fault(String),
}

impl Batcher {
    pub(super) fn new(to: Sender<Message>, on_fault: OnFault, duplicates_win: bool, read: Box<dyn Fn() -> u64 + Send>) -> Self {
        Self { to, unit: "line", on_fault, duplicates_win, pending: Pending::new(), from: 0, offset: 0, totals: Totals::default(), read }
    }

    /// Goes on from a place that was reached before.
    pub(super) fn resume(&mut self, offset: u64, totals: Totals) {
        (self.from, self.offset, self.totals) = (offset, offset, totals);
    }

    /// The input consists of items, not of lines.
    pub(super) fn of_items(mut self) -> Self {
        self.unit = "item";
        self
    }

    /// Tells the user something.
    pub(super) fn note(&self, text: String) -> anyhow::Result<()> {
        self.send(Message::Note(text))
    }

    pub(super) fn stops_at_faults(&self) -> bool {
        self.on_fault == OnFault::Stop
    }

    /// Takes note of bytes of a line that is too long to be held.
    pub(super) fn pass(&mut self, raw: &[u8]) {
        self.pending.hasher.update(raw);
        self.offset += raw.len() as u64;
    }

    /// The number of the next line.
    pub(super) const fn next_line(&self) -> u64 {
        self.totals.lines + 1
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, given: Given<'_>) -> anyhow::Result<()> {
        let mut becomes = given.becomes;
        if let Becomes::Item { key, .. } = &becomes
            && !self.duplicates_win
            && self.pending.keys.contains_key(key)
        {
            becomes = Becomes::Fault(format!("the key {key:?} occurs twice; an entry can be restored once"));
        }
        if let Becomes::Item { key, .. } | Becomes::Expired { key } = &becomes {
            if self.pending.is_full(key, given.raw.len()) {
                self.flush()?;
            }
            self.pending.bytes += given.raw.len();
        }
        let line = self.next_line();
        match becomes {
            Becomes::Fault(reason) if self.stops_at_faults() => {
                // All before the bad line is stored, so that the rest can be imported from there.
                self.flush()?;
                anyhow::bail!("{} {line}: {reason}; mend it, or pass over what can't be stored with --skip-invalid", self.unit);
            }
            Becomes::Fault(reason) => {
                self.totals.skipped += 1;
                self.send(Message::Fault { place: format!("{} {line}", self.unit), reason })?;
            }
            Becomes::Expired { key } => {
                self.totals.expired += 1;
                self.pending.note(key, None);
            }
            Becomes::Nothing => {}
            Becomes::Item { key, json } => {
                let at = self.pending.items.len();
                self.pending.note(key, Some(at));
                self.pending.items.push(json);
                self.pending.lines.push(line);
                self.totals.entries += 1;
            }
        }
        self.totals.lines = line;
        self.pass(given.raw);
        Ok(())
    }

    /// Hands over what there is.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.offset == self.from {
            return Ok(());
        }
        let Pending { mut items, mut lines, keys, mut superseded, hasher, .. } = std::mem::replace(&mut self.pending, Pending::new());
        if !superseded.is_empty() {
            superseded.sort_unstable();
            let stays = |at: usize| superseded.binary_search(&at).is_err();
            items = items.filter(stays);
            let mut at = 0;
            lines.retain(|_| {
                at += 1;
                stays(at - 1)
            });
        }
        let hashes = keys.keys().map(hash).collect();
        let stretch = Stretch { from: self.from, to: self.offset, blake3: hasher.finalize().to_hex().to_string() };
        self.from = self.offset;
        self.send(Message::Batch(Box::new(Batch {
            items,
            unit: self.unit,
            lines,
            keys: hashes,
            stretch,
            totals: self.totals,
            read: (self.read)(),
        })))
    }

    /// Says how the source ended.
    pub(super) fn end(mut self, result: anyhow::Result<()>) {
        let result = result.and_then(|()| self.flush()).map(|()| self.totals);
        // Nobody is left to be told once the import was ended.
        let _ = self.send(Message::End(result));
    }

    fn send(&self, message: Message) -> anyhow::Result<()> {
        self.to.blocking_send(message).map_err(|_| Ended.into())
    }
}

fn hash(key: &Key) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0).hash_one(key.as_bytes())
}

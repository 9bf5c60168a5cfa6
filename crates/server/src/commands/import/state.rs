//! The state of an import: what is certainly stored, so that an import that broke off can go on.
//!
//! Batches after the place that it names may be stored too: they are sent again under the same idempotency keys.

use std::{io, path::Path};

use anyhow::{Context, anyhow, ensure};
use serde::{Deserialize, Serialize};

use super::{super::state_file::StateFile, batcher::Totals, input::Input};

const FORMAT: u32 = 2;

/// The file of an import's state, beside its input.
pub(super) fn beside(input: &Path) -> StateFile {
    StateFile::beside(input, ".import-state")
}

/// All that an import needs in order to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    /// What the idempotency keys of this import begin with.
    pub(super) name: String,
    /// Where the entries went.
    server: String,
    /// Whether entries are restored with their metadata.
    with_metadata: bool,
    /// The first stretch of the input that was stored, and the last.
    head: Option<Stretch>,
    tail: Option<Stretch>,
    /// Where entries are restored: what the last batch was answered with, and the next one expects.
    pub(super) applied_revision: u64,
    /// What came before the end of the last stretch, and how many of its entries the server refused.
    totals: Totals,
    refused: u64,
    /// Where entries are restored: what was refused of the batch after that, whose other entries may be there already.
    passed_over: Option<PassedOver>,
}

/// Entries that the server refused of a batch, before the rest of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PassedOver {
    batch: Stretch,
    lines: Vec<u64>,
}

/// A part of the input, by which it is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) blake3: String,
}

impl State {
    pub(super) fn new(server: &str, with_metadata: bool) -> anyhow::Result<Self> {
        let random = getrandom::u64().map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
        Ok(Self {
            format: FORMAT,
            name: format!("import-{random:016x}"),
            server: server.to_owned(),
            with_metadata,
            head: None,
            tail: None,
            applied_revision: 0,
            totals: Totals::default(),
            refused: 0,
            passed_over: None,
        })
    }

    /// The state of an import that broke off, if there is one.
    pub(super) fn load(file: &StateFile) -> anyhow::Result<Option<Self>> {
        let Some(text) = file.read()? else { return Ok(None) };
        let state: Self = serde_json::from_slice(&text).with_context(|| {
            format!("{} is not the state of an import; name another with --state, or start again without --resume", file.path().display())
        })?;
        ensure!(state.format == FORMAT, "{} was written by another version of kvstore; go on with that one", file.path().display());
        Ok(Some(state))
    }

    pub(super) fn save(&self, file: &StateFile) -> anyhow::Result<()> {
        file.replace(self).with_context(|| format!("can't write {}; name a file that can be written with --state", file.path().display()))
    }

    /// Where in the plain input the next batch begins.
    pub(super) const fn offset(&self) -> u64 {
        match &self.tail {
            Some(tail) => tail.to,
            None => 0,
        }
    }

    /// A stretch is stored, and all before it.
    pub(super) fn reached(&mut self, stretch: Stretch, totals: Totals, refused: u64) {
        self.head.get_or_insert_with(|| stretch.clone());
        self.tail = Some(stretch);
        self.totals = totals;
        self.refused += refused;
        self.passed_over = None;
    }

    /// These lines of a batch were refused, and are passed over from now on.
    ///
    /// It is saved before the rest is sent. When the answer to that gets lost, the rest alone can be sent again: together with what
    /// was refused it would be no repeat of what is there, and be taken for another's write.
    pub(super) fn pass_over(&mut self, batch: &Stretch, lines: impl Iterator<Item = u64>) {
        let before = self.passed_over.take().filter(|passed| passed.batch == *batch).map_or_else(Vec::new, |passed| passed.lines);
        self.passed_over = Some(PassedOver { batch: batch.clone(), lines: before.into_iter().chain(lines).collect() });
    }

    /// The lines of a batch that are passed over.
    pub(super) fn passed_over(&self, batch: &Stretch) -> Vec<u64> {
        self.passed_over.as_ref().filter(|passed| passed.batch == *batch).map_or_else(Vec::new, |passed| passed.lines.clone())
    }

    /// What was read up to there, whatever the server said of it.
    pub(super) const fn read(&self) -> Totals {
        self.totals
    }

    /// What became of it.
    pub(super) fn totals(&self) -> Totals {
        let Totals { entries, skipped, .. } = self.totals;
        Totals { entries: entries.saturating_sub(self.refused), skipped: skipped + self.refused, ..self.totals }
    }

    /// Whether entries are restored with their metadata.
    pub(super) const fn restores(&self) -> bool {
        self.with_metadata
    }

    /// Whether this import may go on: to the same server, in the same way.
    pub(super) fn check(&self, server: &str, with_metadata: bool) -> anyhow::Result<()> {
        ensure!(
            self.server == server,
            "the import that broke off went to {}, not to {server}; go on there, or start again without --resume",
            self.server
        );
        ensure!(
            self.with_metadata == with_metadata,
            "the import that broke off was made {} --with-metadata; go on the same way, or start again without --resume",
            if self.with_metadata { "with" } else { "without" }
        );
        Ok(())
    }

    /// Brings the input to where the import broke off. It must be the input that was imported so far.
    pub(super) fn find_place(&self, input: &mut Input) -> anyhow::Result<()> {
        let (Some(head), Some(tail)) = (&self.head, &self.tail) else { return Ok(()) };
        let mut same = is_next(input, head)?;
        if same && tail.from >= head.to {
            input.skip(tail.from - head.to)?;
            same = is_next(input, tail)?;
        }
        ensure!(
            same,
            "the input is not the one whose import broke off: what was stored from it is not there; start again without --resume"
        );
        Ok(())
    }
}

fn is_next(input: &mut Input, stretch: &Stretch) -> io::Result<bool> {
    let (hash, whole) = input.hash(stretch.to - stretch.from)?;
    Ok(whole && hash.to_hex().as_str() == stretch.blake3)
}

//! The state of an export: what it is of, and how far its file is, so that an export that broke off can go on.

use anyhow::{Context, ensure};
use kvstore_types::Key;
use serde::{Deserialize, Serialize};

use super::super::{progress::Amount, state_file::StateFile};

const FORMAT: u32 = 1;

/// All that an export needs in order to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    format: u32,
    pub(super) plan: Plan,
    /// Whether a file that is there gives way in the end.
    pub(super) replaces: bool,
    pub(super) reached: Reached,
}

/// What is exported, from where, and in which form. Two exports with one plan have the same lines, as long as nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) server: String,
    pub(super) prefix: Option<String>,
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    pub(super) with_metadata: bool,
    /// `none`, `gzip` or `zstd`.
    pub(super) compression: String,
}

/// How far the file is: so much of it is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) entries: u64,
    /// Bytes of lines, before they are compressed.
    pub(super) bytes: u64,
    /// Bytes of the file.
    pub(super) file_bytes: u64,
    /// The key of the last line.
    pub(super) last_key: Option<String>,
}

impl Reached {
    pub(super) const fn amount(&self) -> Amount {
        Amount { entries: self.entries, bytes: self.bytes }
    }

    /// The key after which to go on.
    pub(super) fn after(&self) -> anyhow::Result<Option<Key>> {
        self.last_key
            .as_deref()
            .map(|key| Key::new(key).context("the state of the export is damaged: begin again with --force"))
            .transpose()
    }
}

impl State {
    pub(super) fn new(plan: Plan, replaces: bool) -> Self {
        Self { format: FORMAT, plan, replaces, reached: Reached::default() }
    }

    /// The state of an export that broke off, if there is one.
    pub(super) fn load(file: &StateFile) -> anyhow::Result<Option<Self>> {
        let Some(text) = file.read()? else { return Ok(None) };
        let named = file.path().display();
        let state: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{named} is not the state of an export; begin again with --force in place of --resume"))?;
        ensure!(
            state.format == FORMAT,
            "{named} was written by another version of kvstore; go on with that one, or begin again with --force"
        );
        Ok(Some(state))
    }

    /// Whether this export may go on: lines of another one must not follow.
    pub(super) fn check(&self, plan: &Plan) -> anyhow::Result<()> {
        ensure!(
            self.plan == *plan,
            "the export that broke off was of {}, and this one is of {}; go on with what it was, or begin again with --force in place of --resume",
            self.plan,
            plan
        );
        Ok(())
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.server)?;
        for (flag, value) in [("--prefix", &self.prefix), ("--start", &self.start), ("--end", &self.end)] {
            if let Some(value) = value {
                write!(f, " {flag} {value:?}")?;
            }
        }
        if self.with_metadata {
            f.write_str(" --with-metadata")?;
        }
        if self.compression == "none" { Ok(()) } else { write!(f, ", with {}", self.compression) }
    }
}

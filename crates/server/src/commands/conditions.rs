//! What must hold of a key for a write, and what makes repeating the write safe: the same options wherever one key is written.

use clap::Args;
use kvstore_types::{Condition, IdempotencyKey, Revision};

use super::connect::parse_idempotency_key;

/// The conditions of a put.
#[derive(Debug, Args)]
pub(super) struct PutConditions {
    #[command(flatten)]
    present: Conditions,

    /// Only if the key is not there
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,
}

/// The conditions of any write.
#[derive(Debug, Args)]
pub(super) struct Conditions {
    /// Only if the key has this revision; `*` asks that it is there
    #[arg(long, value_name = "REVISION", value_parser = parse_match)]
    if_match: Option<Condition>,

    /// Makes a repeat safe: the same write under the same key is applied once
    #[arg(long, value_name = "KEY", value_parser = parse_idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,
}

impl PutConditions {
    pub(super) fn condition(&self) -> Option<Condition> {
        if self.if_absent { Some(Condition::Absent) } else { self.present.condition() }
    }

    pub(super) fn idempotency(&self) -> Option<IdempotencyKey> {
        self.present.idempotency()
    }
}

impl Conditions {
    pub(super) const fn condition(&self) -> Option<Condition> {
        self.if_match
    }

    pub(super) fn idempotency(&self) -> Option<IdempotencyKey> {
        self.idempotency_key.clone()
    }
}

fn parse_match(text: &str) -> Result<Condition, String> {
    if text == "*" {
        return Ok(Condition::Present);
    }
    let number = text.trim_matches('"').parse().map_err(|_| "a revision is a whole number, as `kvstore get -o json` shows it; or *")?;
    Ok(Condition::Revision(Revision(number)))
}

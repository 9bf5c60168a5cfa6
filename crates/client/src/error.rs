//! Errors of the client. Each tells what became of a write, so that a caller knows whether it may repeat it.

use std::time::Duration;

use kvstore_types::Revision;
use serde::Deserialize;

use crate::AddressError;

/// What is known of a write that got an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It took no effect, and never will.
    NotApplied,
    /// It may have taken effect, or may yet: read before repeating it, or repeat it under its idempotency key.
    Unknown,
}

/// A call to the server failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The address or token can't be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No connection: the request was not sent.
    #[error("can't reach the server at {url}: {reason}")]
    Connect {
        /// The server.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The connection broke, or the answer did not come in time, after the request was sent.
    #[error("the answer from {url} did not arrive: {reason}")]
    Interrupted {
        /// The server.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A condition of the write did not hold.
    #[error("{}", problem.detail)]
    ConditionFailed {
        /// What the server said; for a batch its `errors` point at the items.
        problem: Box<Problem>,
        /// The revision that the key has now, if it is there (writes of one key).
        current: Option<Revision>,
    },
    /// The server refused the request (4xx). Sending it again unchanged is of no use.
    #[error("{problem}")]
    Refused {
        /// What the server said.
        problem: Box<Problem>,
    },
    /// The server can't or could not do it (5xx).
    #[error("{problem}")]
    Failed {
        /// What the server said.
        problem: Box<Problem>,
        /// What it said of the write; unknown where it said nothing.
        outcome: WriteOutcome,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The answer is not one that kvstore gives.
    #[error("the answer does not follow kvstore's contract: {0}; is another server, or a proxy that rewrites paths, at this URL?")]
    BadAnswer(String),
}

impl ClientError {
    /// What became of the write that got this error.
    #[must_use]
    pub const fn outcome(&self) -> WriteOutcome {
        match self {
            Self::Address(_) | Self::Connect { .. } | Self::ConditionFailed { .. } | Self::Refused { .. } => WriteOutcome::NotApplied,
            Self::Failed { outcome, .. } => *outcome,
            Self::Interrupted { .. } | Self::BadAnswer(_) => WriteOutcome::Unknown,
        }
    }

    /// Whether the same request may succeed later. Repeating a write is safe only if its outcome is
    /// [`NotApplied`](WriteOutcome::NotApplied) or it has an idempotency key.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Interrupted { .. } => true,
            Self::Failed { problem, .. } => matches!(problem.status, 502..=504),
            _ => false,
        }
    }

    /// The HTTP status of the answer, if there was one that could be read.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::ConditionFailed { problem, .. } | Self::Refused { problem } | Self::Failed { problem, .. } => Some(problem.status),
            _ => None,
        }
    }
}

/// A problem document (RFC 9457) as the server sends it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Problem {
    /// The kind of problem, as a URI reference.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence that a person can act on.
    #[serde(default)]
    pub detail: String,
    /// Single faults, each with its place in the request.
    #[serde(default)]
    pub errors: Vec<Fault>,
    /// `not_applied` or `unknown`, on a 5xx to a write.
    #[serde(default)]
    pub outcome: Option<String>,
    /// By which the server's log can be searched.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// One fault in a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// A JSON pointer into the request, or the name of a parameter or header.
    #[serde(default)]
    pub pointer: Option<String>,
    /// What is wrong there.
    #[serde(default)]
    pub detail: String,
}

/// Faults that a message names; the rest are counted.
const FAULTS_SHOWN: usize = 5;

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{said} (HTTP {}", self.status)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")?;
        for fault in self.errors.iter().take(FAULTS_SHOWN) {
            write!(f, "\n  {}: {}", fault.pointer.as_deref().unwrap_or("-"), fault.detail)?;
        }
        if self.errors.len() > FAULTS_SHOWN {
            write!(f, "\n  and {} more", self.errors.len() - FAULTS_SHOWN)?;
        }
        Ok(())
    }
}

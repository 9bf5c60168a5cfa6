//! `Told`: an error in words for the user that still knows what it was, and errors in the form that programs read.

use kvstore_client::ClientError;
use serde::Serialize;

use crate::exit::{Exit, Fatal};

/// What a program tells errors apart by.
#[derive(Debug, Clone, Serialize)]
struct Facts {
    /// The kind of problem that the server named, or one of ours.
    kind: String,
    /// The HTTP status, where there was an answer.
    status: Option<u16>,
    title: Option<String>,
    request_id: Option<String>,
}

impl Facts {
    fn own(kind: &str) -> Self {
        Self { kind: kind.to_owned(), status: None, title: None, request_id: None }
    }

    fn of(error: &ClientError) -> Self {
        match error {
            ClientError::Address(_) => Self::own("bad-address"),
            ClientError::Connect { .. } => Self::own("unreachable"),
            ClientError::Interrupted { .. } => Self::own("no-answer"),
            ClientError::BadAnswer(_) => Self::own("bad-answer"),
            ClientError::ConditionFailed { problem, .. } | ClientError::Refused { problem } | ClientError::Failed { problem, .. } => {
                let kind = problem.kind.rsplit(':').next().filter(|kind| !kind.is_empty()).unwrap_or("failed");
                let title = Some(problem.title.clone()).filter(|title| !title.is_empty());
                Self { kind: kind.to_owned(), status: Some(problem.status), title, request_id: problem.request_id.clone() }
            }
        }
    }

    fn of_exit(exit: Exit) -> Self {
        match exit {
            Exit::Absent => Self { status: Some(404), ..Self::own("key-not-found") },
            Exit::DataDir => Self::own("directory"),
            Exit::Damaged => Self::own("damaged"),
            Exit::StoreFailed => Self::own("store-failed"),
            Exit::Listen => Self::own("listen"),
            Exit::Killed => Self::own("cut-short"),
            Exit::Ok | Exit::Error => Self::own("error"),
        }
    }
}

/// An error of a request, in words for the user.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Told {
    text: String,
    facts: Facts,
}

impl Told {
    /// Tells an error of the client with this text.
    pub(crate) fn of(error: &ClientError, text: String) -> anyhow::Error {
        Self { text, facts: Facts::of(error) }.into()
    }

    /// Tells an error with more words. What it was is still known.
    pub(crate) fn again(error: &anyhow::Error, text: String) -> anyhow::Error {
        match error.downcast_ref::<Self>() {
            Some(told) => Self { text, facts: told.facts.clone() }.into(),
            None => anyhow::Error::msg(text),
        }
    }
}

/// An error as a line of JSON, and its exit code.
#[derive(Serialize)]
pub(crate) struct Document {
    event: &'static str,
    #[serde(flatten)]
    facts: Facts,
    detail: String,
    exit: u8,
}

impl Document {
    pub(crate) fn of(error: &anyhow::Error, exit: Exit) -> Self {
        let told = error.downcast_ref::<Told>().map(|told| told.facts.clone());
        let facts = told.or_else(|| error.downcast_ref::<Fatal>().map(|fatal| Facts::of_exit(fatal.exit())));
        Self { event: "error", facts: facts.unwrap_or_else(|| Facts::own("error")), detail: format!("{error:#}"), exit: exit as u8 }
    }
}

//! `Problem`: every error that leaves the server (RFC 9457), and the one table that maps errors of the service to it.
//!
//! What went wrong inside is kept as `cause`, logged once with the request id by the layer, and never sent.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use kvstore_service::{ServiceError, StoreError};
use kvstore_types::limits::PROBLEM_ERRORS_MAX;
use serde::Serialize;

use crate::{body::full, respond::Response};

/// What the type of every problem begins with.
pub(crate) const TYPE_PREFIX: &str = "urn:kvstore:problem:";

/// Kinds of problems. Each has a status, a type and a title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    BadKey,
    BadQuery,
    BadJson,
    BadItems,
    BadCondition,
    Unauthorized,
    UnknownPath,
    KeyNotFound,
    MethodNotAllowed,
    BodyTimeout,
    HeadTimeout,
    BackupUnderWay,
    PreconditionFailed,
    TooLarge,
    UriTooLong,
    MediaType,
    WrongHost,
    IdempotencyMismatch,
    HeadTooLarge,
    Internal,
    NotSupported,
    Overloaded,
    Unavailable,
    OutcomeUnknown,
    NoSpace,
}

impl Kind {
    /// All of them, in the order of their statuses.
    #[rustfmt::skip]
    pub(crate) const ALL: [Self; 26] = [
        Self::BadRequest, Self::BadKey, Self::BadQuery, Self::BadJson, Self::BadItems, Self::BadCondition, Self::Unauthorized,
        Self::UnknownPath, Self::KeyNotFound, Self::MethodNotAllowed, Self::BodyTimeout, Self::HeadTimeout, Self::BackupUnderWay,
        Self::PreconditionFailed, Self::TooLarge, Self::UriTooLong, Self::MediaType, Self::WrongHost, Self::IdempotencyMismatch, Self::HeadTooLarge,
        Self::Internal, Self::NotSupported, Self::Overloaded, Self::Unavailable, Self::OutcomeUnknown, Self::NoSpace,
    ];

    /// The problem's type, without what all types begin with.
    pub(crate) const fn slug(self) -> &'static str {
        self.row().1
    }

    /// Status, slug and title.
    #[rustfmt::skip]
    pub(crate) const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest          => (StatusCode::BAD_REQUEST, "bad-request", "The request can't be understood"),
            Self::BadKey              => (StatusCode::BAD_REQUEST, "bad-key", "The key is not valid"),
            Self::BadQuery            => (StatusCode::BAD_REQUEST, "bad-query", "A query parameter is not valid"),
            Self::BadJson             => (StatusCode::BAD_REQUEST, "bad-json", "The body is not valid JSON"),
            Self::BadItems            => (StatusCode::BAD_REQUEST, "bad-body", "The body does not have the form that the operation takes"),
            Self::BadCondition        => (StatusCode::BAD_REQUEST, "bad-condition", "A condition is not valid"),
            Self::Unauthorized        => (StatusCode::UNAUTHORIZED, "unauthorized", "A valid token is needed"),
            Self::UnknownPath         => (StatusCode::NOT_FOUND, "unknown-path", "There is nothing at this path"),
            Self::KeyNotFound         => (StatusCode::NOT_FOUND, "key-not-found", "The key does not exist"),
            Self::MethodNotAllowed    => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not take this method"),
            Self::BodyTimeout         => (StatusCode::REQUEST_TIMEOUT, "body-timeout", "The body did not arrive in time"),
            Self::HeadTimeout         => (StatusCode::REQUEST_TIMEOUT, "head-timeout", "The head did not arrive in time"),
            Self::BackupUnderWay      => (StatusCode::CONFLICT, "backup-under-way", "Another backup is under way"),
            Self::PreconditionFailed  => (StatusCode::PRECONDITION_FAILED, "precondition-failed", "A condition did not hold"),
            Self::TooLarge            => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is over a limit"),
            Self::UriTooLong          => (StatusCode::URI_TOO_LONG, "uri-too-long", "The request's target is too long"),
            Self::MediaType           => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body has a media type that the operation does not take"),
            Self::WrongHost           => (StatusCode::MISDIRECTED_REQUEST, "wrong-host", "The request is for another host"),
            Self::IdempotencyMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-mismatch", "The idempotency key was used for another request"),
            Self::HeadTooLarge        => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", "The head is too large"),
            Self::Internal            => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed"),
            Self::NotSupported        => (StatusCode::NOT_IMPLEMENTED, "not-supported", "This store can't do that"),
            Self::Overloaded          => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The server is overloaded"),
            Self::Unavailable         => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The server can't serve this now"),
            Self::OutcomeUnknown      => (StatusCode::GATEWAY_TIMEOUT, "outcome-unknown", "The outcome of the write is unknown"),
            Self::NoSpace             => (StatusCode::INSUFFICIENT_STORAGE, "no-space", "There is no disk space for the write"),
        }
    }
}

/// What is known of a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WriteOutcome {
    NotApplied,
    Unknown,
}

/// One fault of a request's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    /// A JSON pointer (RFC 6901) into the body.
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

/// Faults found so far; only the first are kept, all are counted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
    count: usize,
}

impl Faults {
    pub(crate) fn push(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.count += 1;
        if self.list.len() < PROBLEM_ERRORS_MAX {
            self.list.push(Fault { pointer: pointer.into(), detail: detail.into() });
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }
}

/// An error on its way to the client. One pointer wide, so that results stay small.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    detail: Cow<'static, str>,
    faults: Faults,
    outcome: Option<WriteOutcome>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<WriteOutcome>,
    request_id: &'a str,
}

impl Problem {
    /// A problem; `detail` is one sentence that a person can act on.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, detail: detail.into(), faults: Faults::default(), outcome: None, headers: Vec::new(), cause: None }))
    }

    /// A problem with a list of faults.
    pub(crate) fn with_faults(kind: Kind, faults: Faults) -> Self {
        let detail = match faults.list.first() {
            Some(only) if faults.count == 1 => {
                format!("{}: {}.", if only.pointer.is_empty() { "The body" } else { &only.pointer }, only.detail)
            }
            _ if faults.count > faults.list.len() => {
                format!("The body has {} faults; the first {} are listed.", faults.count, faults.list.len())
            }
            _ => format!("The body has {} faults; see errors.", faults.count),
        };
        let mut problem = Self::new(kind, detail);
        problem.0.faults = faults;
        problem
    }

    /// 503: nothing was done; come back in a second.
    pub(crate) fn overloaded(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Overloaded, detail).retry_later()
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Closes the connection after the answer: the rest of the request is not read.
    pub(crate) fn close(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    pub(crate) fn retry_later(self) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(crate) fn outcome(mut self, outcome: WriteOutcome) -> Self {
        self.0.outcome = Some(outcome);
        self
    }

    fn cause(mut self, cause: impl ToString) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// A handler panicked. Whether a write was applied is not known.
    pub(crate) fn panicked(message: &str) -> Self {
        Self::new(Kind::Internal, "The server failed on this request; report it with the request id.")
            .outcome(WriteOutcome::Unknown)
            .cause(format!("a handler panicked: {message}"))
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.kind.row().0
    }

    /// What the log gets, if anything went wrong inside.
    pub(crate) fn logged_cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The answer. `is_write` decides whether a 5xx says what became of the write.
    pub(crate) fn into_answer(self, request_id: &str, is_write: bool) -> Response {
        let inner = *self.0;
        let (status, slug, title) = inner.kind.row();
        let outcome = inner.outcome.or(Some(WriteOutcome::NotApplied)).filter(|_| is_write && status.is_server_error());
        let document = Document {
            r#type: format!("{TYPE_PREFIX}{slug}"),
            title,
            status: status.as_u16(),
            detail: &inner.detail,
            errors: &inner.faults.list,
            outcome,
            request_id,
        };
        let bytes = serde_json::to_vec(&document).unwrap_or_else(|_| b"{}".to_vec());
        let mut response = Response::new(full(Bytes::from(bytes)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in inner.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let outcome = if error.is_not_applied() { WriteOutcome::NotApplied } else { WriteOutcome::Unknown };
        let problem = match &error {
            ServiceError::ValueTooLarge { item, .. } => {
                let mut faults = Faults::default();
                faults.push(item.map_or_else(|| "/value".to_owned(), |index| format!("/items/{index}/value")), error.to_string());
                Self::with_faults(Kind::TooLarge, faults)
            }
            ServiceError::TooManyKeys { .. } => Self::new(Kind::BadItems, error.to_string()),
            ServiceError::IdempotencyMismatch => Self::new(
                Kind::IdempotencyMismatch,
                "This idempotency key was used before with another payload; send a new key with a new request.",
            ),
            ServiceError::Overloaded(what) => Self::overloaded(format!("The server is overloaded: {what}; try again later.")),
            ServiceError::BackupUnderWay => {
                Self::new(Kind::BackupUnderWay, "A backup is under way already; wait for its end, or end its client, and try again.")
            }
            ServiceError::Store(store) => from_store(store),
        };
        problem.outcome(outcome)
    }
}

fn from_store(error: &StoreError) -> Problem {
    match error {
        StoreError::Overloaded(what) => Problem::overloaded(format!("The store is overloaded: {what}; try again later.")),
        StoreError::Unavailable(_) => {
            Problem::new(Kind::Unavailable, "The store is unavailable; try again later.").retry_later().cause(error)
        }
        StoreError::Stopping => Problem::new(Kind::Unavailable, "The server is shutting down; try again later.").retry_later(),
        StoreError::NoSpace { floor_bytes } => Problem::new(
            Kind::NoSpace,
            format!("Free disk space is below {floor_bytes} bytes; delete keys or make room on the disk. Deletes are still taken."),
        ),
        StoreError::ReadOnly => Problem::new(
            Kind::NoSpace,
            "The server was started on a full disk and only reads; make room on the disk, then restart the server.",
        ),
        StoreError::Unknown(_) => Problem::new(
            Kind::OutcomeUnknown,
            "The write may have been applied or not; read the key before repeating it, or repeat it under its idempotency key.",
        )
        .cause(error),
        StoreError::Damaged(_) => {
            Problem::new(Kind::Internal, "Stored data that this request needs is damaged; see the server's log.").cause(error)
        }
        StoreError::Checkpoint(_) => {
            Problem::new(Kind::Internal, "A copy of the data could not be made; see the server's log.").cause(error)
        }
        StoreError::NotSupported(reason) => Problem::new(Kind::NotSupported, format!("This is not supported here: {reason}.")),
        StoreError::Read(_) => Problem::new(Kind::Internal, "Reading stored data failed; see the server's log.").cause(error),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_is_listed_once_and_has_a_type_of_its_own() {
        let places: Vec<_> = Kind::ALL.iter().map(|kind| *kind as usize).collect();
        assert_eq!(places, (0..=Kind::NoSpace as usize).collect::<Vec<_>>(), "ALL follows the declaration");
        let slugs: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len(), "{slugs:?}");
    }
}

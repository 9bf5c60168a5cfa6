//! Sending a request and sorting its answer. The one place that decides what is sent again.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvstore_types::{IdempotencyKey, Key, Revision, limits};
use reqwest::{RequestBuilder, header::HeaderMap};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, Problem, WriteOutcome, address};

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Whether a request may be sent again after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Never,
    /// It carries an idempotency key: a repeat gets the first answer.
    Idempotent,
}

impl Repeat {
    pub(crate) const fn of(key: Option<&IdempotencyKey>) -> Self {
        if key.is_some() { Self::Idempotent } else { Self::Never }
    }
}

/// What counts as an answer, beside success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    Success,
    /// A 404 that says that the key is absent. One that says anything else comes from a wrong path, or from another server.
    Absent,
    /// A 503 with a health document.
    Unhealthy,
    /// A 503 with the word of a probe.
    Unready,
}

impl Pass {
    /// A probe's answer is a word, whoever gives it.
    const fn answer_bytes_max(self) -> usize {
        match self {
            Self::Unready => limits::CLIENT_PROBE_BYTES_MAX,
            Self::Success | Self::Absent | Self::Unhealthy => limits::CLIENT_ANSWER_BYTES_MAX,
        }
    }
}

/// The `type` of the problem that tells of an absent key.
const KEY_NOT_FOUND: &str = "urn:kvstore:problem:key-not-found";

impl Client {
    /// Sends a request that `build` makes anew for each attempt, and sorts the answer.
    pub(crate) async fn send(&self, repeat: Repeat, pass: Pass, build: impl Fn() -> RequestBuilder) -> Result<Answer, ClientError> {
        let mut attempt = 1;
        let mut uncertain = None;
        loop {
            let result = self.send_once(build(), pass).await.and_then(|answer| answer.sort(pass));
            match result {
                Err(error) if repeat == Repeat::Idempotent && error.is_retryable() && attempt < limits::CLIENT_ATTEMPTS_MAX => {
                    tokio::time::sleep(wait_before_repeat(&error, attempt)).await;
                    attempt += 1;
                    if error.outcome() == WriteOutcome::Unknown {
                        uncertain = Some(error);
                    }
                }
                // That the last attempt was not applied says nothing of an earlier one that may have been.
                Err(error) if error.outcome() == WriteOutcome::NotApplied && error.is_retryable() => return Err(uncertain.unwrap_or(error)),
                result => return result,
            }
        }
    }

    /// Sends a request whose answer is too large to be held. An answer that is no success is read and sorted as any other.
    pub(crate) async fn send_streamed(&self, request: RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        self.read(response, Pass::Success).await?.sort(Pass::Success)?;
        Err(ClientError::BadAnswer(format!("status {status} where an archive should come")))
    }

    async fn send_once(&self, request: RequestBuilder, pass: Pass) -> Result<Answer, ClientError> {
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        self.read(response, pass).await
    }

    async fn read(&self, mut response: reqwest::Response, pass: Pass) -> Result<Answer, ClientError> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = BytesMut::with_capacity(response.content_length().map_or(0, |length| length.min(1 << 20) as usize));
        let limit = pass.answer_bytes_max();
        while let Some(piece) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len() + piece.len() > limit {
                return Err(ClientError::BadAnswer(format!("it is longer than {limit} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> ClientError {
        // The innermost cause is the one that says something ("Connection refused").
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let reason = if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() };
        let url = self.url().to_owned();
        if error.is_connect() || error.is_builder() {
            ClientError::Connect { url, reason }
        } else {
            ClientError::Interrupted { url, reason }
        }
    }
}

impl Answer {
    fn sort(self, pass: Pass) -> Result<Self, ClientError> {
        let status = self.status;
        if (200..300).contains(&status) {
            return Ok(self);
        }
        match (status, self.problem()) {
            (404, Some(problem)) if pass == Pass::Absent && problem.kind == KEY_NOT_FOUND => Ok(self),
            (503, None) if pass == Pass::Unhealthy && self.is("application/json") => Ok(self),
            (503, None) if pass == Pass::Unready && self.is("text/plain") => Ok(self),
            (412, Some(problem)) => Err(ClientError::ConditionFailed { problem: problem.into(), current: self.revision() }),
            (400..500, Some(problem)) => Err(ClientError::Refused { problem: problem.into() }),
            (500.., problem) => Err(self.failed(problem)),
            (_, _) => Err(ClientError::BadAnswer(format!("status {status} without a problem document"))),
        }
    }

    fn failed(&self, problem: Option<Problem>) -> ClientError {
        let problem = problem.unwrap_or_else(|| Problem {
            status: self.status,
            detail: "the server, or a proxy before it, failed without saying why".into(),
            ..Problem::default()
        });
        let not_applied = problem.outcome.as_deref() == Some("not_applied");
        ClientError::Failed {
            outcome: if not_applied { WriteOutcome::NotApplied } else { WriteOutcome::Unknown },
            retry_after: self.header("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs),
            problem: problem.into(),
        }
    }

    fn problem(&self) -> Option<Problem> {
        serde_json::from_slice::<Problem>(&self.body).ok().filter(|problem| problem.status == self.status)
    }

    fn is(&self, media_type: &str) -> bool {
        self.header("content-type").is_some_and(|kind| kind.starts_with(media_type))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The revision in the `ETag`, of either form.
    pub(crate) fn revision(&self) -> Option<Revision> {
        let tag = self.header("etag")?.trim_matches('"');
        tag.strip_suffix("-raw").unwrap_or(tag).parse().ok().map(Revision)
    }

    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::BadAnswer(format!("its body can't be read: {error}")))
    }

    /// Refuses an answer to a write of another key than was asked for: something on the way rewrote the path.
    pub(crate) fn check_key(&self, key: &Key) -> Result<(), ClientError> {
        let named = self.header("kv-key").and_then(address::decode_key);
        match named {
            Some(named) if named == key.as_str() => Ok(()),
            Some(named) => Err(ClientError::BadAnswer(format!("{key:?} was asked for, and the answer is about {named:?}"))),
            None => Err(ClientError::BadAnswer("it names no key (KV-Key)".into())),
        }
    }
}

/// What the server asked for, or 100 ms doubled at each attempt.
fn wait_before_repeat(error: &ClientError, attempt: u32) -> Duration {
    let asked = match error {
        ClientError::Failed { retry_after, .. } => *retry_after,
        _ => None,
    };
    let wait = asked.unwrap_or_else(|| Duration::from_millis(100) * 2_u32.saturating_pow(attempt - 1));
    wait.min(Duration::from_millis(limits::CLIENT_RETRY_WAIT_MS_MAX))
}

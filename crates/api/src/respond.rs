//! What answers have in common.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kvstore_types::{Header, Revision};

use crate::{accept::Form, body::full, conditions::etag};

/// An answer.
pub(crate) type Response = http::Response<Body>;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const KV_APPLIED_REVISION: HeaderName = HeaderName::from_static("kv-applied-revision");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer about keys: `no-cache`, since another write may follow at once.
pub(crate) fn kv(status: StatusCode, body: Body) -> Response {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The same with JSON in it.
pub(crate) fn kv_json(status: StatusCode, body: Body) -> Response {
    let mut response = kv(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// An answer that is not about keys.
pub(crate) fn plain(status: StatusCode, media: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(bytes.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The headers that tell an entry's state.
pub(crate) fn describe(headers: &mut HeaderMap, entry: &Header, form: Form) {
    headers.insert(header::ETAG, etag(entry, form));
    if entry.expires_at.is_some() {
        no_store(headers);
    }
}

/// What expires must not be kept by a cache that knows nothing of it.
pub(crate) fn no_store(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Tells how far a stale answer reaches.
pub(crate) fn applied(headers: &mut HeaderMap, revision: Option<Revision>) {
    if let Some(revision) = revision {
        headers.insert(KV_APPLIED_REVISION, HeaderValue::from(revision.0));
    }
}

/// Marks the first answer given again.
pub(crate) fn replayed(headers: &mut HeaderMap, replayed: bool) {
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
}

//! Request headers other than conditions: media types, idempotency keys, preferences.

use http::{HeaderMap, HeaderName, header};
use kvstore_types::IdempotencyKey;

use crate::{
    errors::{Kind, Problem},
    path::sentence,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What the body says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    /// None given. `application/x-www-form-urlencoded` counts as none: curl sends it unasked.
    Absent,
    Other,
}

/// The body's media type.
///
/// # Errors
/// A content coding, a part of a representation, or a type that is sent twice.
pub(crate) fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(Kind::MediaType, "Content-Encoding is not supported; send the body as it is."));
    }
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::new(Kind::BadRequest, "Content-Range is not supported; send the whole value."));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).into_iter();
    let Some(first) = types.next() else { return Ok(Media::Absent) };
    if types.next().is_some() {
        return Err(Problem::new(Kind::MediaType, "Content-Type is sent twice."));
    }
    let essence = first.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(match &*essence {
        "" | "application/x-www-form-urlencoded" => Media::Absent,
        "application/json" => Media::Json,
        other if other.ends_with("+json") => Media::Json,
        _ => Media::Other,
    })
}

/// Refuses a body that says it is not JSON.
///
/// # Errors
/// It says so.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media(headers)? {
        Media::Json | Media::Absent => Ok(()),
        Media::Other => Err(Problem::new(Kind::MediaType, "This operation takes JSON; send Content-Type: application/json.")),
    }
}

/// The idempotency key of a write.
///
/// # Errors
/// It is not one, or it is sent twice.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).into_iter();
    let Some(first) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return Err(Problem::new(Kind::BadRequest, "Idempotency-Key is sent twice."));
    }
    let key = IdempotencyKey::new(first.to_str().unwrap_or_default());
    key.map(Some).map_err(|error| Problem::new(Kind::BadRequest, sentence(&error.to_string())))
}

/// Whether the client wants a short answer (`Prefer: return=minimal`, RFC 7240).
pub(crate) fn prefers_minimal(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|preference| {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        name.trim().eq_ignore_ascii_case("return") && value.trim().trim_matches('"').eq_ignore_ascii_case("minimal")
    })
}

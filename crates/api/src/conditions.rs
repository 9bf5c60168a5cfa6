//! Conditions on the wire: `If-Match` and `If-None-Match` of writes and reads, and the same of a batch's items; ETags both ways.

use http::{HeaderMap, HeaderValue, header};
use kvstore_types::{Condition, Header, Revision};

use crate::{
    accept::Form,
    errors::{Kind, Problem},
};

/// The ETag of an entry in one of its forms: two forms of one state must not share a strong ETag.
pub(crate) fn etag(header: &Header, form: Form) -> HeaderValue {
    use std::io::Write;

    let mut text = Vec::with_capacity(24);
    let _ = match form {
        Form::Json => write!(text, "\"{}\"", header.revision),
        Form::Raw => write!(text, "\"{}-raw\"", header.revision),
    };
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The condition of a PUT or DELETE.
///
/// # Errors
/// Both conditions at once, one that this server can't hold, or an `If-` header that it does not know: a condition is never ignored.
pub(crate) fn of_write(headers: &HeaderMap) -> Result<Option<Condition>, Problem> {
    refuse_unknown(headers, |name| {
        matches!(name, "if-match" | "if-none-match" | "if-modified-since" | "if-unmodified-since" | "if-range")
    })?;
    match (single(headers, &header::IF_MATCH)?, single(headers, &header::IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(bad("If-Match and If-None-Match can't be sent together; a write takes one condition.")),
        (Some(tag), None) => if_match(tag).map(Some).map_err(bad),
        (None, Some(tag)) => if_none_match(tag).map(Some).map_err(bad),
    }
}

/// A batch carries its conditions in its items.
///
/// # Errors
/// There is an `If-` header.
pub(crate) fn none_on_batch(headers: &HeaderMap) -> Result<(), Problem> {
    refuse_unknown(headers, |_| false)
}

fn refuse_unknown(headers: &HeaderMap, known: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let unknown = headers.keys().map(http::HeaderName::as_str).find(|name| name.starts_with("if-") && !known(name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            Kind::BadCondition,
            format!(
                "The header {name} is not taken here: PUT and DELETE take If-Match and If-None-Match, items of a batch if_match and if_none_match."
            ),
        )),
    }
}

/// The one value of a header that must not be repeated.
fn single<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(bad("A condition is sent twice; a write takes one."));
    }
    first.map(|value| value.to_str().map(str::trim).map_err(|_| bad("A condition holds characters that no ETag has."))).transpose()
}

/// `If-Match`, as a header or in a batch's item: `*`, or an ETag of this server in either form, with or without its quotes.
pub(crate) fn if_match(text: &str) -> Result<Condition, &'static str> {
    if text == "*" {
        return Ok(Condition::Present);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    revision(bare).map(Condition::Revision).ok_or("If-Match takes * or one ETag as this server gives it, like \"42\".")
}

/// `If-None-Match` of a write: only `*`.
pub(crate) fn if_none_match(text: &str) -> Result<Condition, &'static str> {
    if text == "*" { Ok(Condition::Absent) } else { Err("If-None-Match of a write takes only *.") }
}

fn revision(text: &str) -> Option<Revision> {
    let digits = text.strip_suffix("-raw").unwrap_or(text);
    // `parse` alone would take a sign, and another spelling of the same number.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !(digits.len() > 1 && digits.starts_with('0'));
    plain.then(|| digits.parse().ok().map(Revision)).flatten()
}

/// Whether a read's `If-None-Match` names the answer's ETag, by weak comparison (RFC 9110, 13.1.2).
pub(crate) fn not_modified(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else { return false };
    headers
        .get_all(header::IF_NONE_MATCH)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.trim() == "*" || value.split(',').any(|tag| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()) == etag))
}

fn bad(detail: &'static str) -> Problem {
    Problem::new(Kind::BadCondition, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_etags_are_conditions() {
        assert_eq!(if_match("\"42\""), Ok(Condition::Revision(Revision(42))));
        assert_eq!(if_match("\"42-raw\""), Ok(Condition::Revision(Revision(42))));
        assert_eq!(if_match("42"), Ok(Condition::Revision(Revision(42))));
        assert_eq!(if_match("*"), Ok(Condition::Present));
        for damaged in
            ["", "\"\"", "\"42", "42\"", "\"+42\"", "\"042\"", "W/\"42\"", "\"1\", \"2\"", "\"x\"", "\"99999999999999999999\"", "\"-raw\""]
        {
            assert!(if_match(damaged).is_err(), "{damaged} must be refused");
        }
    }
}

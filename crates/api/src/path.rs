//! The key of a request: the raw rest of the path, less one slash at its end, percent-decoded exactly once; or `?key=`.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, Uri};
use kvstore_types::{Key, KeyError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    errors::{Kind, Problem},
    query::Query,
    urls::{BASE, KV},
};

/// The header that names the key of a write's answer, percent-encoded.
pub(crate) const KV_KEY: HeaderName = HeaderName::from_static("kv-key");

/// All but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The key that a request is about, and its query parameters (of which `key` is known only where the path names none).
///
/// # Errors
/// The key or the query is not valid.
pub(crate) fn key_and_query<'a>(uri: &'a Uri, known: &[&str]) -> Result<(Key, Query<'a>), Problem> {
    let rest = uri.path().strip_prefix(KV).unwrap_or_default();
    if rest.is_empty() {
        let known: Vec<&str> = known.iter().copied().chain(["key"]).collect();
        let query = Query::parse(uri.query(), &known)?;
        let key = query.get("key").ok_or(KeyError::Empty).and_then(Key::new).map_err(bad_key)?;
        return Ok((key, query));
    }
    let raw = rest.strip_suffix('/').unwrap_or(rest);
    let bytes = percent_decode(raw).map_err(|detail| Problem::new(Kind::BadKey, detail))?;
    let key = Key::from_bytes(&bytes).map_err(bad_key)?;
    Ok((key, Query::parse(uri.query(), known)?))
}

/// A key that breaks a rule.
pub(crate) fn bad_key(error: KeyError) -> Problem {
    Problem::new(Kind::BadKey, sentence(&error.to_string()))
}

/// A message of an error as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), chars.as_str()))
}

/// Decodes `%xx` once; unlike the crate's own decoder it refuses a `%` that two hexadecimal digits do not follow.
pub(crate) fn percent_decode(text: &str) -> Result<Cow<'_, [u8]>, &'static str> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut parts = bytes.split(|byte| *byte == b'%');
    parts.next();
    let all_valid = parts.all(|part| matches!(part, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()));
    if !all_valid {
        return Err("A % is not followed by two hexadecimal digits; send a percent sign as %25.");
    }
    Ok(percent_encoding::percent_decode(bytes).into())
}

/// The key as the `KV-Key` header has it.
pub(crate) fn kv_key(key: &Key) -> Option<HeaderValue> {
    HeaderValue::from_str(&utf8_percent_encode(key.as_str(), ENCODED).to_string()).ok()
}

/// The path of a key. Keys whose path a client or a proxy may rewrite are named in the query.
pub(crate) fn location(key: &Key) -> Option<HeaderValue> {
    let encoded = utf8_percent_encode(key.as_str(), ENCODED).to_string();
    let fragile = key.as_str().split('/').any(|segment| matches!(segment, "" | "." | ".."));
    let path = if fragile { format!("{BASE}/kv/?key={encoded}") } else { format!("{BASE}/kv/{encoded}/") };
    HeaderValue::from_str(&path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(uri: &'static str) -> Result<String, String> {
        let uri = Uri::from_static(uri);
        key_and_query(&uri, &[]).map(|(key, _)| key.as_str().to_owned()).map_err(|problem| problem.status().to_string())
    }

    #[test]
    fn a_key_is_decoded_once() {
        assert_eq!(key_of("/kv-store/v1/kv/a%252Fb/").as_deref(), Ok("a%2Fb"));
        assert_eq!(key_of("/kv-store/v1/kv/a%2Fb").as_deref(), Ok("a/b"));
        assert_eq!(key_of("/kv-store/v1/kv/a/b//").as_deref(), Ok("a/b/"));
        assert_eq!(key_of("/kv-store/v1/kv/a+b/").as_deref(), Ok("a+b"));
        assert_eq!(key_of("/kv-store/v1/kv/../").as_deref(), Ok(".."));
        assert_eq!(key_of("/kv-store/v1/kv/?key=a+b%2B").as_deref(), Ok("a b+"));
    }

    #[test]
    fn bad_encodings_are_refused() {
        for uri in ["%zz", "%", "a%2", "%ff", "%00", "/"] {
            let uri: Uri = format!("/kv-store/v1/kv/{uri}").parse().unwrap();
            assert!(key_and_query(&uri, &[]).is_err(), "{uri} must be refused");
        }
    }
}

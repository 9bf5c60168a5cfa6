//! `Address`: where a server is, and the URL of each of its resources. The one place that spells paths.

use kvstore_types::Key;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// All but the unreserved characters of RFC 3986 is encoded, slashes too: what is left is rewritten by no proxy.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text is not the address of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No scheme: it can't be told from a host name with a port.
    #[error("the server's URL {0:?} has no scheme; write it as http://{0}")]
    NoScheme(String),
    /// A scheme that the client does not speak.
    #[error("the server's URL {url:?} has the scheme {scheme:?}; only http:// is spoken here, put a local TLS proxy in front for more")]
    Scheme {
        /// The text.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// Not a URL, or one with parts that an address does not have.
    #[error("the server's URL {url:?} can't be used: {reason}; write it as http://host:port")]
    Malformed {
        /// The text.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The token can't be sent in a header.
    #[error("the token holds characters that can't be sent in a header; use visible ASCII characters")]
    Token,
}

/// The base URL of a server, without a slash at its end.
#[derive(Debug, Clone)]
pub(crate) struct Address(String);

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if !text.contains("://") {
            return Err(AddressError::NoScheme(text.into()));
        }
        let malformed = |reason: &str| AddressError::Malformed { url: text.into(), reason: reason.into() };
        let url = Url::parse(text).map_err(|error| malformed(&error.to_string()))?;
        if url.scheme() != "http" {
            return Err(AddressError::Scheme { url: text.into(), scheme: url.scheme().into() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(malformed("it holds a user name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(malformed("it has a query or a fragment"));
        }
        let base = url.as_str().trim_end_matches('/');
        // The URL that the server prints for itself ends with the base path; it names the same server.
        Ok(Self(base.strip_suffix("/kv-store/v1").unwrap_or(base).into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a key. Paths that clients and proxies rewrite are avoided: such keys travel in the query.
    pub(crate) fn key(&self, key: &Key, query: &[(&str, String)]) -> String {
        let encoded = utf8_percent_encode(key.as_str(), ENCODED);
        if is_rewritten(key.as_str()) {
            let mut url = format!("{}/kv-store/v1/kv/?key={encoded}", self.0);
            push_query(&mut url, '&', query);
            return url;
        }
        let mut url = format!("{}/kv-store/v1/kv/{encoded}/", self.0);
        push_query(&mut url, '?', query);
        url
    }

    pub(crate) fn range(&self, query: &[(&str, String)]) -> String {
        let mut url = format!("{}/kv-store/v1/kv/", self.0);
        push_query(&mut url, '?', query);
        url
    }

    pub(crate) fn batch(&self) -> String {
        format!("{}/kv-store/v1/kv/batch/", self.0)
    }

    pub(crate) fn read(&self) -> String {
        format!("{}/kv-store/v1/read/", self.0)
    }

    pub(crate) fn backup(&self, rate_mb: Option<u32>) -> String {
        let rate = rate_mb.map(|rate| format!("?rate_mb={rate}")).unwrap_or_default();
        format!("{}/kv-store/v1/backup/{rate}", self.0)
    }

    pub(crate) fn restore(&self) -> String {
        format!("{}/kv-store/v1/restore/", self.0)
    }

    pub(crate) fn ready(&self) -> String {
        format!("{}/readyz", self.0)
    }

    pub(crate) fn health(&self) -> String {
        format!("{}/kv-store/v1/health/", self.0)
    }
}

/// A key as `KV-Key` carries it.
pub(crate) fn decode_key(header: &str) -> Option<String> {
    percent_encoding::percent_decode_str(header).decode_utf8().ok().map(Into::into)
}

fn is_rewritten(key: &str) -> bool {
    key.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

fn push_query(url: &mut String, first: char, query: &[(&str, String)]) {
    let mut separator = first;
    for (name, value) in query {
        url.push(separator);
        url.push_str(name);
        url.push('=');
        url.extend(utf8_percent_encode(value, ENCODED));
        separator = '&';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_of(text: &str) -> String {
        Address::parse("http://h:1").expect("an address").key(&Key::new(text).expect("a key"), &[])
    }

    #[test]
    fn a_key_travels_in_the_path_unless_something_on_the_way_would_rewrite_it() {
        assert_eq!(url_of("user:1"), "http://h:1/kv-store/v1/kv/user%3A1/");
        assert_eq!(url_of("a/b é%"), "http://h:1/kv-store/v1/kv/a%2Fb%20%C3%A9%25/");
        assert_eq!(url_of("batch"), "http://h:1/kv-store/v1/kv/batch/");
        for key in [".", "..", "/", "a/", "/a", "a//b", "a/./b", "../b"] {
            let url = url_of(key);
            assert!(url.starts_with("http://h:1/kv-store/v1/kv/?key="), "key {key:?} went into the path: {url}");
        }
    }

    #[test]
    fn an_address_is_http_with_a_host_and_nothing_else() {
        assert_eq!(Address::parse("http://h:1/").expect("an address").as_str(), "http://h:1");
        assert_eq!(Address::parse("http://h:1/kv-store/v1/").expect("an address").as_str(), "http://h:1");
        assert_eq!(Address::parse("localhost:8000").expect_err("no scheme"), AddressError::NoScheme("localhost:8000".into()));
        assert!(matches!(Address::parse("https://h"), Err(AddressError::Scheme { .. })));
        for text in ["http://", "http://u:p@h", "http://h?x=1", "http://h:99999"] {
            assert!(matches!(Address::parse(text), Err(AddressError::Malformed { .. })), "{text} was taken");
        }
    }
}

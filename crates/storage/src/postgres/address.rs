//! The two forms of a database's address, and the parts in it that are not the library's but TLS's: `sslmode` and `sslrootcert`.

use percent_encoding::percent_decode_str;

const MODE: &str = "sslmode";
const ROOTS: &str = "sslrootcert";

/// What an address says of TLS, and the rest of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) rest: String,
    pub(super) mode: Option<String>,
    pub(super) roots: Option<String>,
}

impl Address {
    /// Takes an address apart. One that is malformed is left to the library, which says so.
    pub(super) fn parse(text: &str) -> Self {
        let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        if is_url { Self::of_url(text) } else { Self::of_list(text) }
    }

    /// Whether it took the parameter.
    fn takes(&mut self, name: &str, value: &str) -> bool {
        match name {
            MODE => self.mode = Some(value.to_owned()),
            ROOTS => self.roots = Some(value.to_owned()),
            _ => return false,
        }
        true
    }

    fn of_url(text: &str) -> Self {
        // A password may hold a question mark.
        let host = text.find('@').unwrap_or_default();
        let Some(mark) = text.split_at(host).1.find('?') else { return Self { rest: text.to_owned(), ..Self::default() } };
        let (before, query) = text.split_at(host + mark);
        let mut address = Self { rest: before.to_owned(), ..Self::default() };
        let mut separator = '?';
        for pair in query.trim_start_matches('?').split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !address.takes(name, &percent_decode_str(value).decode_utf8_lossy()) {
                address.rest.push(separator);
                address.rest.push_str(pair);
                separator = '&';
            }
        }
        address
    }

    fn of_list(text: &str) -> Self {
        let mut address = Self::default();
        let mut left = text;
        while let Some((name, after)) = left.split_once('=') {
            let after = after.trim_start();
            let (raw, value) = value(after);
            left = after.strip_prefix(raw).unwrap_or_default();
            if !address.takes(name.trim(), &value) {
                address.rest.push_str(&format!("{}={raw} ", name.trim_start()));
            }
        }
        address.rest.push_str(left);
        address
    }
}

/// A value at the start of a list, as it is written and as it is meant.
fn value(text: &str) -> (&str, String) {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => return (text.split_at(at + 1).0, value),
            space if !is_quoted && space.is_whitespace() => return (text.split_at(at).0, value),
            other => value.push(other),
        }
    }
    (text, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_tls_is_taken_out_of_both_forms() {
        for (text, rest, mode, roots) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", None, None),
            ("postgres://u:a?b@h/d?sslmode=require", "postgres://u:a?b@h/d", Some("require"), None),
            (
                "postgresql://h/d?a=1&sslmode=verify-full&b=2&sslrootcert=%2Fa%20b",
                "postgresql://h/d?a=1&b=2",
                Some("verify-full"),
                Some("/a b"),
            ),
            ("host=h sslmode=disable dbname=d", "host=h dbname=d", Some("disable"), None),
            (r"sslrootcert = '/a \'b' password='x sslmode=no' user=u", "password='x sslmode=no' user=u", None, Some("/a 'b")),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.rest.trim(), rest, "of {text}");
            assert_eq!((address.mode.as_deref(), address.roots.as_deref()), (mode, roots), "of {text}");
        }
    }

    #[test]
    fn what_is_malformed_is_left_to_the_library() {
        for text in ["", "nonsense", "host", "host='open"] {
            assert_eq!(Address::parse(text).rest.trim(), text);
        }
    }
}

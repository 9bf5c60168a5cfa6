//! `Scan` and `Page`: reading keys in order, a page at a time.

use crate::{Entry, Key, Projection, Revision, limits::PAGE_ENTRIES_MAX};

/// A range of keys, both ends inclusive where they are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    start: Option<Key>,
    end: Option<Key>,
    prefix: Option<Box<str>>,
}

/// The ends of a range are the wrong way round.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("start is greater than end: swap them; a range runs from start to end, also where it is read backwards")]
pub struct RangeError;

impl KeyRange {
    /// All keys at or after `start`, at or before `end`, that begin with `prefix`; an absent part does not restrict.
    ///
    /// # Errors
    /// `start` is greater than `end`.
    pub fn new(start: Option<Key>, end: Option<Key>, prefix: Option<&str>) -> Result<Self, RangeError> {
        if let (Some(start), Some(end)) = (&start, &end)
            && start > end
        {
            return Err(RangeError);
        }
        Ok(Self { start, end, prefix: prefix.filter(|text| !text.is_empty()).map(Into::into) })
    }

    /// The whole key space.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The keys that begin with this text.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        Self { prefix: Some(text).filter(|text| !text.is_empty()).map(Into::into), ..Self::default() }
    }

    /// Whether the range holds this key.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        self.start.as_ref().is_none_or(|start| key >= start)
            && self.end.as_ref().is_none_or(|end| key <= end)
            && self.prefix.as_ref().is_none_or(|prefix| key.as_str().starts_with(&**prefix))
    }

    /// The greatest text that no key of the range lies before: the greater of start and prefix. Empty where there is neither.
    #[must_use]
    pub fn lower_text(&self) -> &str {
        let start = self.start.as_ref().map_or("", Key::as_str);
        start.max(self.prefix.as_deref().unwrap_or_default())
    }

    /// The end, inclusive, where there is one.
    #[must_use]
    pub const fn end(&self) -> Option<&Key> {
        self.end.as_ref()
    }

    /// The first text after all those that begin with the prefix, where there is one: for stores whose bounds are texts.
    #[must_use]
    pub fn text_after_prefix(&self) -> Option<String> {
        let mut text = self.prefix.as_deref()?.to_owned();
        while let Some(last) = text.pop() {
            // The order of texts is that of their scalar values, between which the surrogates leave a gap.
            let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
            if let Some(next) = next {
                text.push(next);
                return Some(text);
            }
        }
        None
    }

    /// The lower bound in bytes, inclusive: the greater of start and prefix. Empty where there is none.
    #[must_use]
    pub fn lower(&self) -> &[u8] {
        let start = self.start.as_ref().map_or(&[][..], Key::as_bytes);
        let prefix = self.prefix.as_ref().map_or(&[][..], |prefix| prefix.as_bytes());
        start.max(prefix)
    }

    /// The upper bound in bytes, exclusive: the lesser of what follows `end` and what follows the prefix. `None` where there is none.
    #[must_use]
    pub fn upper(&self) -> Option<Vec<u8>> {
        // No key holds a zero byte, so the end with one more byte is the first text after the end.
        let after_end = self.end.as_ref().map(|end| [end.as_bytes(), &[0]].concat());
        let after_prefix = self.prefix.as_ref().and_then(|prefix| successor(prefix.as_bytes()));
        match (after_end, after_prefix) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// The first byte string after all those that begin with `prefix`, if there is one.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = prefix.to_vec();
    while let Some(last) = bytes.last_mut() {
        if *last < 0xff {
            *last += 1;
            return Some(bytes);
        }
        bytes.pop();
    }
    None
}

/// A request for one page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Which keys.
    pub range: KeyRange,
    /// The last key already examined; the page starts strictly after it, in the direction of the scan.
    pub after: Option<Key>,
    /// At most this many entries, from 1 to [`PAGE_ENTRIES_MAX`].
    pub limit: usize,
    /// From the greatest key down.
    pub reverse: bool,
    /// Header and value, or the header alone.
    pub projection: Projection,
}

impl Scan {
    /// The first page of a range, as large as a page can be.
    #[must_use]
    pub const fn of(range: KeyRange) -> Self {
        Self { range, after: None, limit: PAGE_ENTRIES_MAX, reverse: false, projection: Projection::Full }
    }
}

/// One page: a consistent snapshot of a part of the range.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The entries, in the order of the scan.
    pub entries: Vec<Entry>,
    /// The last key examined, where the range may hold more; `None` at its end.
    pub next: Option<Key>,
    /// The revision up to which the page shows all changes.
    pub applied: Revision,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("a valid key")
    }

    #[test]
    fn what_follows_a_prefix_is_a_text() {
        for (prefix, after) in [
            ("a", Some("b")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{7f}", Some("a\u{80}")),
            ("a\u{10ffff}\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
            ("", None),
        ] {
            assert_eq!(KeyRange::prefix(prefix).text_after_prefix().as_deref(), after, "after {prefix:?}");
        }
    }

    #[test]
    fn bounds_of_prefix_and_ends_are_intersected() {
        let range = KeyRange::new(Some(key("ab")), Some(key("b")), Some("a")).expect("ordered");
        assert_eq!(range.lower(), b"ab");
        assert_eq!(range.upper(), Some(b"b".to_vec()), "what follows prefix a is less than what follows end b");
        assert!(range.contains(&key("az")) && !range.contains(&key("aa")) && !range.contains(&key("b")));
        assert_eq!(KeyRange::new(Some(key("b")), Some(key("a")), None), Err(RangeError));
    }
}

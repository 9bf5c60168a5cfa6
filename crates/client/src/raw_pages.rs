//! Pages whose entries stay in their JSON: for whoever only hands them on, in the order of keys and as fast as they come.

use std::borrow::Cow;

use bytes::Bytes;
use kvstore_types::Key;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{
    ClientError, Pages,
    pages::Next,
    send::{Pass, Repeat},
};

/// A page as it came. Where it ends is known before its entries are looked at, so that the next one can be asked for meanwhile.
#[derive(Debug, Clone)]
pub struct RawPage {
    body: Bytes,
    has_more: bool,
}

/// An entry of a raw page: its members as they stand in the answer.
#[derive(Debug, Clone, Copy)]
pub struct PageEntry<'a> {
    json: &'a str,
}

/// The entries of a page.
#[derive(Debug, Clone)]
pub struct RawEntries<'a>(Vec<&'a RawValue>);

/// What another store needs to have the same values under the same keys: no versions, revisions or times, but when they expire.
#[derive(Debug)]
pub struct RawValues<'a>(Vec<WireMembers<'a>>);

/// One of them.
#[derive(Debug)]
pub struct PageValue<'a>(&'a WireMembers<'a>);

#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
struct WirePage<'a, E> {
    count: usize,
    results: Vec<E>,
    has_more: bool,
    #[serde(borrow, default)]
    next_cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireTail<'a> {
    has_more: bool,
    #[serde(borrow, default)]
    next_cursor: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct WireMembers<'a> {
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    encoding: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_at: Option<&'a RawValue>,
}

impl WireMembers<'_> {
    fn key(&self) -> Result<Key, ClientError> {
        let name: Cow<'_, str> = parse::<Text<'_>>(self.key.get())?.0;
        Key::new(&name).map_err(|error| ClientError::BadAnswer(error.to_string()))
    }
}

impl Pages {
    /// The next page, with its entries unread; it may be empty though others follow. `None` at the end. After an error the same page
    /// can be asked for again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_raw(&mut self) -> Result<Option<RawPage>, ClientError> {
        let Some(url) = self.next_url() else { return Ok(None) };
        let answer = self.client.send(Repeat::Never, Pass::Success, || self.client.http.get(&url)).await?;
        let text = utf8(&answer.body)?;
        // The members after the entries are found from the end: a quote inside a string is escaped, so this text is a member's name.
        let tail = text.rfind("\"has_more\":").and_then(|at| text.get(at..)).map(|rest| format!("{{{rest}"));
        let next = match tail.as_deref().map(serde_json::from_str::<WireTail<'_>>) {
            Some(Ok(tail)) => Next::after(tail.has_more, tail.next_cursor.map(Cow::into_owned))?,
            _ => {
                let page: WirePage<'_, IgnoredAny> = parse(text)?;
                Next::after(page.has_more, page.next_cursor.map(Cow::into_owned))?
            }
        };
        let has_more = !matches!(next, Next::End);
        self.next = next;
        Ok(Some(RawPage { body: answer.body, has_more }))
    }
}

impl RawPage {
    /// Bytes of the whole answer.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Whether another page follows.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.has_more
    }

    /// Finds its entries.
    ///
    /// # Errors
    /// The answer is not a page.
    pub fn entries(&self) -> Result<RawEntries<'_>, ClientError> {
        self.parse().map(RawEntries)
    }

    /// Finds what another store needs of its entries.
    ///
    /// # Errors
    /// The answer is not a page.
    pub fn values(&self) -> Result<RawValues<'_>, ClientError> {
        self.parse().map(RawValues)
    }

    /// Reads each entry as it is wanted, in one pass.
    fn parse<'a, E: Deserialize<'a>>(&'a self) -> Result<Vec<E>, ClientError> {
        let page: WirePage<'a, E> = parse(utf8(&self.body)?)?;
        if page.count != page.results.len() || page.has_more != self.has_more {
            return Err(ClientError::BadAnswer(format!("a page says count {} and holds {}", page.count, page.results.len())));
        }
        Ok(page.results)
    }
}

impl<'a> RawEntries<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Them, in order.
    pub fn iter(&self) -> impl Iterator<Item = PageEntry<'a>> {
        self.0.iter().map(|raw| PageEntry { json: raw.get() })
    }
}

impl<'a> PageEntry<'a> {
    /// The whole entry, as the server wrote it.
    #[must_use]
    pub const fn json(&self) -> &'a str {
        self.json
    }

    /// Its key.
    ///
    /// # Errors
    /// It is not an entry.
    pub fn key(&self) -> Result<Key, ClientError> {
        parse::<WireMembers<'_>>(self.json)?.key()
    }
}

impl RawValues<'_> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Them, in order.
    pub fn iter(&self) -> impl Iterator<Item = PageValue<'_>> {
        self.0.iter().map(PageValue)
    }
}

impl PageValue<'_> {
    /// Its key.
    ///
    /// # Errors
    /// It is none.
    pub fn key(&self) -> Result<Key, ClientError> {
        self.0.key()
    }

    /// Appends it as an object.
    pub fn write(&self, out: &mut Vec<u8>) {
        let WireMembers { key, value, encoding, expires_at } = self.0;
        out.extend_from_slice(b"{\"key\":");
        out.extend_from_slice(key.get().as_bytes());
        for (name, raw) in [(&b",\"value\":"[..], value), (b",\"encoding\":", encoding), (b",\"expires_at\":", expires_at)] {
            if let Some(raw) = raw {
                out.extend_from_slice(name);
                out.extend_from_slice(raw.get().as_bytes());
            }
        }
        out.push(b'}');
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn utf8(body: &[u8]) -> Result<&str, ClientError> {
    std::str::from_utf8(body).map_err(|_| ClientError::BadAnswer("it is not UTF-8".into()))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|error| ClientError::BadAnswer(format!("its body can't be read: {error}")))
}

//! Reading a range of keys, a page at a time.

use kvstore_types::Key;
use serde::Deserialize;

use crate::{
    Client, ClientError, Entry,
    entry::WireEntry,
    send::{Pass, Repeat},
};

/// Which keys, and how.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    /// The first key, inclusive.
    pub start: Option<Key>,
    /// The last key, inclusive.
    pub end: Option<Key>,
    /// A key that was seen already, there or not: the first page begins after it.
    pub after: Option<Key>,
    /// What the keys begin with.
    pub prefix: Option<String>,
    /// Entries in one page, at most; the server has a limit of its own.
    pub page_entries_max: Option<usize>,
    /// From the greatest key down.
    pub reverse: bool,
    /// Without values.
    pub keys_only: bool,
}

/// The pages of a range, in order. No key that is there throughout is skipped or repeated.
#[derive(Debug)]
pub struct Pages {
    pub(crate) client: Client,
    query: Vec<(&'static str, String)>,
    limit: Option<usize>,
    pub(crate) next: Next,
}

/// Where the next page begins.
#[derive(Debug)]
pub(crate) enum Next {
    First,
    After(String),
    End,
}

impl Next {
    pub(crate) fn after(has_more: bool, cursor: Option<String>) -> Result<Self, ClientError> {
        match (has_more, cursor) {
            (false, None) => Ok(Self::End),
            (true, Some(cursor)) => Ok(Self::After(cursor)),
            (_, _) => Err(ClientError::BadAnswer("has_more and next_cursor of a page do not agree".into())),
        }
    }
}

#[derive(Deserialize)]
struct WirePage {
    count: usize,
    results: Vec<WireEntry>,
    has_more: bool,
    next_cursor: Option<String>,
}

impl Client {
    /// The pages of a range. Nothing is sent until the first is asked for.
    #[must_use]
    pub fn pages(&self, query: &PageQuery) -> Pages {
        let next = query.after.as_ref().map_or(Next::First, |after| Next::After(after.as_str().into()));
        Pages { client: self.clone(), query: query.to_pairs(), limit: query.page_entries_max, next }
    }
}

impl Pages {
    /// The next page; it may be empty though others follow. `None` at the end. After an error the same page can be asked for again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, ClientError> {
        let Some(url) = self.next_url() else { return Ok(None) };
        let answer = self.client.send(Repeat::Never, Pass::Success, || self.client.http.get(&url)).await?;
        let page: WirePage = answer.json()?;
        if page.count != page.results.len() {
            return Err(ClientError::BadAnswer(format!("a page says count {} and holds {}", page.count, page.results.len())));
        }
        self.next = Next::after(page.has_more, page.next_cursor)?;
        page.results.into_iter().map(Entry::try_from).collect::<Result<_, _>>().map(Some)
    }

    /// From here on, at most so many entries in a page.
    pub fn limit(&mut self, page_entries_max: usize) {
        self.limit = Some(page_entries_max);
    }

    pub(crate) fn next_url(&self) -> Option<String> {
        let mut query = self.query.clone();
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        match &self.next {
            Next::End => return None,
            Next::First => {}
            Next::After(cursor) => query.push(("cursor", cursor.clone())),
        }
        Some(self.client.address.range(&query))
    }
}

impl PageQuery {
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("start", self.start.as_ref().map(|key| key.as_str().into()));
        push("end", self.end.as_ref().map(|key| key.as_str().into()));
        push("prefix", self.prefix.clone());
        push("reverse", self.reverse.then(|| "true".into()));
        push("keys_only", self.keys_only.then(|| "true".into()));
        pairs
    }
}

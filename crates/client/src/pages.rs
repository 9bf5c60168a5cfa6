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
    client: Client,
    query: Vec<(&'static str, String)>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    After(String),
    End,
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
        Pages { client: self.clone(), query: query.to_pairs(), next: Next::First }
    }
}

impl Pages {
    /// The next page; it may be empty though others follow. `None` at the end. After an error the same page can be asked for again.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, ClientError> {
        let mut query = self.query.clone();
        match &self.next {
            Next::End => return Ok(None),
            Next::First => {}
            Next::After(cursor) => query.push(("cursor", cursor.clone())),
        }
        let url = self.client.address.range(&query);
        let answer = self.client.send(Repeat::Never, Pass::Success, || self.client.http.get(&url)).await?;
        let page: WirePage = answer.json()?;
        if page.count != page.results.len() {
            return Err(ClientError::BadAnswer(format!("a page says count {} and holds {}", page.count, page.results.len())));
        }
        self.next = match (page.has_more, page.next_cursor) {
            (false, None) => Next::End,
            (true, Some(cursor)) => Next::After(cursor),
            (_, _) => return Err(ClientError::BadAnswer("has_more and next_cursor of a page do not agree".into())),
        };
        page.results.into_iter().map(Entry::try_from).collect::<Result<_, _>>().map(Some)
    }
}

impl PageQuery {
    fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("start", self.start.as_ref().map(|key| key.as_str().into()));
        push("end", self.end.as_ref().map(|key| key.as_str().into()));
        push("prefix", self.prefix.clone());
        push("limit", self.page_entries_max.map(|limit| limit.to_string()));
        push("reverse", self.reverse.then(|| "true".into()));
        push("keys_only", self.keys_only.then(|| "true".into()));
        pairs
    }
}

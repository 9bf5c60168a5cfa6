//! Reading all that the load wrote, and asking it the same in a second way.

use std::time::Instant;

use anyhow::Context as _;
use kvstore_client::{Client, PageQuery};

use crate::verify::{Contents, Reading, Seen};
use crate::workload::{PREFIX, request};

/// Everything that the store holds under the load's keys.
pub(crate) struct Look {
    pub(crate) contents: Contents,
    pub(crate) during: Reading,
}

/// One key of so many is read alone too.
const SAMPLE: usize = 8;

/// Reads all pages, and a sample of keys one by one.
pub(crate) async fn look(client: &Client) -> anyhow::Result<Look> {
    let began = Instant::now();
    let mut contents = Contents::new();
    let query = PageQuery { prefix: Some(PREFIX.to_owned()), page_entries_max: Some(100), ..PageQuery::default() };
    let mut pages = client.pages(&query);
    while let Some(page) = pages.next_page().await.context("reading a page")? {
        for entry in page {
            let value = entry.value.context("an entry of a page has no value")?;
            let seen = Seen { revision: entry.revision.0, value, expires: entry.expires_at.is_some() };
            let again = contents.insert(entry.key.as_str().to_owned(), seen);
            anyhow::ensure!(again.is_none(), "the pages name {:?} twice", entry.key.as_str());
        }
    }
    let during = Reading { began, ended: Instant::now() };
    for (name, seen) in contents.iter().filter(|(_, seen)| !seen.expires).step_by(SAMPLE) {
        let value = request::get(client, name).await?;
        anyhow::ensure!(value.as_ref() == Some(&seen.value), "{name:?} read alone is not what the page said");
    }
    Ok(Look { contents, during })
}

/// Deletes what an earlier run left.
pub(crate) async fn clear(client: &Client) -> anyhow::Result<()> {
    for name in look(client).await?.contents.keys() {
        request::delete(client, name).await.with_context(|| format!("deleting {name}"))?;
    }
    Ok(())
}

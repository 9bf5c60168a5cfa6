//! `kvstore batch`: many puts from a file or stdin, with conditions, all or nothing.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::PathBuf,
};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use kvstore_client::EncodedItems;
use kvstore_types::{
    IdempotencyKey,
    limits::{BATCH_ITEMS_MAX, BODY_BYTES_MAX_DEFAULT},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    connect::{Server, explain_write, parse_idempotency_key},
    files::cant_read,
    output::{self, Answer},
};
use crate::exit::Exit;

/// Store many values at once: all of them, or none
///
/// Takes lines of JSON, a JSON array, or the API's {"items": [...]}. An item has "key" and "value", and may have "encoding": "base64",
/// "ttl" in seconds, "if_match" (a revision, or "*") and "if_none_match": "*". One condition that does not hold fails the batch.
/// For more than 10,000 items there is `kvstore import`.
#[derive(Debug, Args)]
pub(super) struct Batch {
    /// The file; `-` reads from stdin
    #[arg(default_value = "-")]
    file: PathBuf,

    /// Makes a repeat safe: the same key with the same items is applied once
    #[arg(long, value_name = "KEY", value_parser = parse_idempotency_key)]
    idempotency_key: Option<IdempotencyKey>,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    server: Server,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

impl Batch {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let client = self.server.client()?;
        let text = self.read()?;
        let items = items(&text)?;
        ensure!(!items.is_empty(), "there is no item in the input; give lines of {{\"key\": ..., \"value\": ...}}");
        let answer = client.batch_encoded(&items, self.idempotency_key.as_ref()).await.map_err(explain_write)?;
        if self.answer.is_json() {
            let document = serde_json::json!({"count": answer.count, "revision": answer.revision.0, "replayed": answer.replayed});
            output::print_line(&document)?;
        } else {
            let before = if answer.replayed { ", by an earlier request with this idempotency key" } else { "" };
            writeln!(io::stdout(), "{} stored at revision {}{before}", output::entries(answer.count as u64), answer.revision)?;
        }
        Ok(Exit::Ok)
    }

    fn read(&self) -> anyhow::Result<String> {
        let reader: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(&self.file).with_context(|| cant_read(&self.file))?)
        };
        let mut bytes = Vec::new();
        let limit = BODY_BYTES_MAX_DEFAULT;
        reader.take(limit as u64 + 1).read_to_end(&mut bytes).with_context(|| cant_read(&self.file))?;
        ensure!(bytes.len() <= limit, "the input has more than {limit} bytes, more than a batch takes; use `kvstore import`");
        String::from_utf8(bytes).map_err(|error| anyhow!("the input is not UTF-8 from byte {} on", error.utf8_error().valid_up_to() + 1))
    }
}

/// The items of an input, in whichever of its forms.
fn items(text: &str) -> anyhow::Result<EncodedItems> {
    let whole = text.trim();
    let raw: Vec<&RawValue> = if whole.starts_with('[') {
        serde_json::from_str(whole).map_err(|error| anyhow!("the input is no array of items: {error}"))?
    } else if let Ok(Whole { items }) = serde_json::from_str(whole) {
        items
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let parsed =
            lines.map(|(at, line)| serde_json::from_str(line).map_err(|error| anyhow!("line {}: it is not JSON: {error}", at + 1)));
        parsed.collect::<Result<_, _>>()?
    };
    ensure!(raw.len() <= BATCH_ITEMS_MAX, "the input has {} items, and a batch takes {BATCH_ITEMS_MAX}; use `kvstore import`", raw.len());
    let mut items = EncodedItems::default();
    for item in raw {
        items.push(item.get().as_bytes());
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_an_object_and_lines_are_the_same_items() {
        let (a, b) = (r#"{"key":"a","value":"1"}"#, r#"{"key":"b","value":"2","if_match":3}"#);
        let mut wanted = EncodedItems::default();
        wanted.push(a.as_bytes());
        wanted.push(b.as_bytes());
        for text in [format!("{a}\n\n{b}"), format!("[{a},\n{b}]"), format!("{{\"items\": [{a}, {b}]}}\n")] {
            assert_eq!(items(&text).expect("items"), wanted, "{text}");
        }
        let one = items(a).expect("one line is one item");
        assert_eq!(one.len(), 1);
        assert_eq!(items(" \n").expect("no items").len(), 0);
        assert!(items(&format!("{a}\n{{")).expect_err("a bad line").to_string().starts_with("line 2: "));
    }
}

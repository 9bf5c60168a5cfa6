//! Entries that come back: the body of a restore, from JSON to domain types.

use std::borrow::Cow;

use kvstore_types::{
    BatchError, Header, Key, RESTORED_NUMBER_MAX, RestoreBatch, RestoreItem, Revision, Timestamp, limits::BATCH_ITEMS_MAX,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    dates::parse_time,
    entries::{Text, value_of},
    errors::{Faults, Kind, Problem},
    json,
};

/// Parses the body of a restore.
///
/// # Errors
/// 400 with each fault.
pub(crate) fn parse_restore(body: &[u8]) -> Result<RestoreBatch, Problem> {
    let text = json::text(body)?;
    json::check_syntax(text)?;
    let mut faults = Faults::default();
    let batch = batch(text, &mut faults);
    batch.filter(|_| faults.count() == 0).ok_or_else(|| Problem::with_faults(Kind::BadItems, faults))
}

fn batch(text: &str, faults: &mut Faults) -> Option<RestoreBatch> {
    let [expected, items] = json::members(text, "", &["if_applied_revision", "items"], faults)?;
    let expected: Option<u64> = required(expected, "", "if_applied_revision", "a revision", faults);
    if expected.is_some_and(|revision| revision > RESTORED_NUMBER_MAX) {
        faults.push("/if_applied_revision", format!("a revision is a whole number up to {RESTORED_NUMBER_MAX}"));
        return None;
    }
    let Some(items) = items else {
        faults.push("/items", "the member is missing");
        return None;
    };
    let (raw, count) = json::elements(items, "/items", BATCH_ITEMS_MAX, faults)?;
    if count > BATCH_ITEMS_MAX {
        faults.push("/items", BatchError::TooLong { items: count }.to_string());
        return None;
    }
    let before = faults.count();
    let items: Vec<_> = raw.into_iter().enumerate().filter_map(|(index, raw)| item(raw, &format!("/items/{index}"), faults)).collect();
    if faults.count() > before {
        return None;
    }
    match RestoreBatch::new(Revision(expected?), items) {
        Ok(batch) => Some(batch),
        Err(BatchError::DuplicateKeys(duplicates)) => {
            for (at, first) in duplicates {
                faults.push(format!("/items/{at}/key"), format!("the key occurs twice: here and at /items/{first}"));
            }
            None
        }
        Err(error) => {
            faults.push("/items", error.to_string());
            None
        }
    }
}

/// An entry as it comes where nothing is wrong with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryIn<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(default, deserialize_with = "json::present")]
    encoding: Option<String>,
    version: u64,
    revision: u64,
    #[serde(borrow)]
    created_at: Text<'a>,
    #[serde(borrow)]
    updated_at: Text<'a>,
    #[serde(borrow, default)]
    expires_at: Option<Text<'a>>,
}

fn item(raw: &RawValue, at: &str, faults: &mut Faults) -> Option<RestoreItem> {
    let Ok(entry) = serde_json::from_str::<EntryIn<'_>>(raw.get()) else {
        describe(raw, at, faults);
        return None;
    };
    let before = faults.count();
    let key = Key::new(&entry.key.0).map_err(|error| faults.push(json::pointer(at, "key"), error.to_string())).ok();
    let value = value_of(Some(entry.value.0), entry.encoding.as_deref(), || at.to_owned(), faults);
    let created_at = time(Some(&entry.created_at), at, "created_at", faults).flatten();
    let updated_at = time(Some(&entry.updated_at), at, "updated_at", faults).flatten();
    let expires_at = time(entry.expires_at.as_ref(), at, "expires_at", faults);
    (faults.count() == before).then_some(())?;
    let header = Header {
        version: entry.version,
        revision: Revision(entry.revision),
        created_at: created_at?,
        updated_at: updated_at?,
        expires_at: expires_at?,
        value_len: 0,
    };
    RestoreItem::new(key?, header, value?).map_err(|error| faults.push(at, error.to_string())).ok()
}

/// The outer `None` is a fault, the inner one an absent member.
#[expect(clippy::option_option, reason = "a fault and an absent member are two things")]
fn time(text: Option<&Text<'_>>, at: &str, name: &str, faults: &mut Faults) -> Option<Option<Timestamp>> {
    let Some(Text(text)) = text else { return Some(None) };
    let parsed = parse_time(text);
    if parsed.is_none() {
        faults.push(json::pointer(at, name), "it must be a time like 2026-11-22T21:00:00.000000Z");
    }
    parsed.map(Some)
}

/// Goes through an entry that does not fit, and notes every fault of form.
fn describe(raw: &RawValue, at: &str, faults: &mut Faults) {
    const KNOWN: [&str; 8] = ["key", "value", "encoding", "version", "revision", "created_at", "updated_at", "expires_at"];
    let before = faults.count();
    let Some([key, value, encoding, version, revision, created_at, updated_at, expires_at]) = json::members(raw.get(), at, &KNOWN, faults)
    else {
        return;
    };
    for (name, member) in [("key", key), ("value", value), ("created_at", created_at), ("updated_at", updated_at)] {
        let _: Option<Cow<'_, str>> = required::<String>(member, at, name, "a string", faults).map(Cow::Owned);
    }
    for (name, member) in [("version", version), ("revision", revision)] {
        let _: Option<u64> = required(member, at, name, "a whole number", faults);
    }
    for (name, member) in [("encoding", encoding), ("expires_at", expires_at)] {
        let _ = member.and_then(|raw| json::member::<String>(raw, || json::pointer(at, name), "a string", faults));
    }
    if faults.count() == before {
        // The two ways of parsing disagree: believe the stricter.
        faults.push(at, "it does not have the form of an entry");
    }
}

fn required<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, at: &str, name: &str, must: &str, faults: &mut Faults) -> Option<T> {
    match raw {
        Some(raw) => json::member(raw, || json::pointer(at, name), must, faults),
        None => {
            faults.push(json::pointer(at, name), "the member is missing");
            None
        }
    }
}

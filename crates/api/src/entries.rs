//! Entries that come in: the body of a put, and the items of a batch, from JSON to domain types.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kvstore_types::{
    BatchError, Condition, IdempotencyKey, Item, Key, Mutation, Ttl, WriteBatch,
    limits::{BATCH_ITEMS_MAX, TTL_SECONDS_MAX},
};
use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::value::RawValue;

use crate::{
    conditions,
    errors::{Faults, Kind, Problem},
    json,
};

/// A put's value and time to live.
#[derive(Debug)]
pub(crate) struct PutBody {
    pub(crate) value: Bytes,
    pub(crate) ttl: Option<Ttl>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutIn<'a> {
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(default, deserialize_with = "json::present")]
    encoding: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    ttl: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemIn<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(default, deserialize_with = "json::present")]
    encoding: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    ttl: Option<u64>,
    #[serde(default, deserialize_with = "json::present")]
    if_match: Option<IfMatch>,
    #[serde(default, deserialize_with = "json::present")]
    if_none_match: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchIn<'a> {
    #[serde(borrow, deserialize_with = "items_in")]
    items: Vec<ItemIn<'a>>,
}

/// A text that is borrowed from the body where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// `if_match` of an item: a revision as a number, or an ETag.
enum IfMatch {
    Revision(u64),
    Tag(String),
}

impl<'de> Deserialize<'de> for IfMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = IfMatch;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a revision or an ETag")
            }
            fn visit_u64<E>(self, revision: u64) -> Result<IfMatch, E> {
                Ok(IfMatch::Revision(revision))
            }
            fn visit_str<E>(self, tag: &str) -> Result<IfMatch, E> {
                Ok(IfMatch::Tag(tag.to_owned()))
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

/// Items up to the limit and no further: a body of millions of empty objects must not become millions of structs.
fn items_in<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ItemIn<'de>>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<ItemIn<'de>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of items")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = sequence.next_element()? {
                if items.len() == BATCH_ITEMS_MAX {
                    return Err(serde::de::Error::custom("too many items"));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Items)
}

/// What is known of an item before its rules are checked.
#[derive(Default)]
struct Draft<'a> {
    key: Option<Cow<'a, str>>,
    value: Option<Cow<'a, str>>,
    encoding: Option<String>,
    ttl: Option<u64>,
    if_match: Option<IfMatch>,
    if_none_match: Option<String>,
}

/// Parses the body of a put.
///
/// # Errors
/// 400 with each fault.
pub(crate) fn parse_put(body: &[u8]) -> Result<PutBody, Problem> {
    let text = json::text(body)?;
    let mut faults = Faults::default();
    let draft = match serde_json::from_str::<PutIn<'_>>(text) {
        Ok(put) => Draft { value: Some(put.value.0), encoding: put.encoding, ttl: put.ttl, ..Draft::default() },
        Err(error) if json::is_syntax(&error) => return Err(json::syntax(&error)),
        Err(error) => {
            json::check_syntax(text)?;
            let draft = json::members(text, "", &["value", "encoding", "ttl"], &mut faults)
                .map(|[value, encoding, ttl]| draft("", &mut faults, [None, value, encoding, ttl, None, None], Wanted::Value));
            match draft {
                // The two ways of parsing disagree: believe the stricter.
                Some(_) if faults.count() == 0 => return Err(json::syntax(&error)),
                Some(draft) => draft,
                None => return Err(Problem::with_faults(Kind::BadItems, faults)),
            }
        }
    };
    let value = value_of(draft.value, draft.encoding.as_deref(), String::new, &mut faults);
    let ttl = ttl_of(draft.ttl, String::new, &mut faults);
    match value {
        Some(value) if faults.count() == 0 => Ok(PutBody { value, ttl }),
        _ => Err(Problem::with_faults(Kind::BadItems, faults)),
    }
}

/// Parses the body of a batch.
///
/// # Errors
/// 400 with each fault.
pub(crate) fn parse_batch(body: &[u8], idempotency_key: Option<IdempotencyKey>) -> Result<WriteBatch, Problem> {
    let text = json::text(body)?;
    let mut faults = Faults::default();
    let drafts = match serde_json::from_str::<BatchIn<'_>>(text) {
        Ok(batch) => batch.items.into_iter().map(Draft::from).collect(),
        Err(error) if json::is_syntax(&error) => return Err(json::syntax(&error)),
        Err(error) => {
            json::check_syntax(text)?;
            let drafts = draft_batch(text, &mut faults);
            if faults.count() == 0 {
                return Err(json::syntax(&error));
            }
            drafts
        }
    };
    let mut positions = Vec::with_capacity(drafts.len());
    let mut items = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.into_iter().enumerate() {
        if let Some(item) = item(draft, index, &mut faults) {
            positions.push(index);
            items.push(item);
        }
    }
    if items.is_empty() && faults.count() > 0 {
        return Err(Problem::with_faults(Kind::BadItems, faults));
    }
    // Keys are kept aside only where there is something to tell about them.
    let keys: Vec<Key> = items.iter().map(|item| item.key.clone()).collect();
    match WriteBatch::new(items, idempotency_key) {
        Ok(batch) if faults.count() == 0 => return Ok(batch),
        Ok(_) => {}
        Err(BatchError::DuplicateKeys(duplicates)) => {
            let position = |at: usize| positions.get(at).copied().unwrap_or(at);
            for (at, first) in duplicates {
                let key = keys.get(at).map(ToString::to_string).unwrap_or_default();
                let detail = format!("the key \"{key}\" occurs twice: here and at /items/{}", position(first));
                faults.push(format!("/items/{}/key", position(at)), detail);
            }
        }
        Err(error) => faults.push("/items", error.to_string()),
    }
    Err(Problem::with_faults(Kind::BadItems, faults))
}

/// Goes through a batch that does not fit, and notes every fault of form.
fn draft_batch<'a>(text: &'a str, faults: &mut Faults) -> Vec<Draft<'a>> {
    let Some([items]) = json::members(text, "", &["items"], faults) else { return Vec::new() };
    let Some(items) = items else {
        faults.push("/items", "the member is missing");
        return Vec::new();
    };
    let Some((items, count)) = json::elements(items, "/items", BATCH_ITEMS_MAX, faults) else { return Vec::new() };
    if count > BATCH_ITEMS_MAX {
        faults.push("/items", BatchError::TooLong { items: count }.to_string());
        return Vec::new();
    }
    let known = ["key", "value", "encoding", "ttl", "if_match", "if_none_match"];
    let drafts = items.into_iter().enumerate().map(|(index, raw)| {
        let at = format!("/items/{index}");
        json::members(raw.get(), &at, &known, faults).map(|members| draft(&at, faults, members, Wanted::KeyAndValue)).unwrap_or_default()
    });
    drafts.collect()
}

/// Which members must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Value,
    KeyAndValue,
}

/// Reads the members of an item one by one, noting each that has another type than it must.
fn draft<'a>(at: &str, faults: &mut Faults, members: [Option<&'a RawValue>; 6], wanted: Wanted) -> Draft<'a> {
    let [key, value, encoding, ttl, if_match, if_none_match] = members;
    if key.is_none() && wanted == Wanted::KeyAndValue {
        faults.push(json::pointer(at, "key"), "the member is missing");
    }
    if value.is_none() {
        faults.push(json::pointer(at, "value"), "the member is missing");
    }
    let must_ttl = format!("a whole number of seconds from 1 to {TTL_SECONDS_MAX}");
    Draft {
        key: key.and_then(|raw| json::member(raw, || json::pointer(at, "key"), "a string", faults)).map(|Text(text)| text),
        value: value.and_then(|raw| json::member(raw, || json::pointer(at, "value"), "a string", faults)).map(|Text(text)| text),
        encoding: encoding.and_then(|raw| json::member(raw, || json::pointer(at, "encoding"), "\"base64\"", faults)),
        ttl: ttl.and_then(|raw| json::member(raw, || json::pointer(at, "ttl"), &must_ttl, faults)),
        if_match: if_match.and_then(|raw| json::member(raw, || json::pointer(at, "if_match"), "a revision or an ETag", faults)),
        if_none_match: if_none_match.and_then(|raw| json::member(raw, || json::pointer(at, "if_none_match"), "\"*\"", faults)),
    }
}

impl<'a> From<ItemIn<'a>> for Draft<'a> {
    fn from(item: ItemIn<'a>) -> Self {
        Self {
            key: Some(item.key.0),
            value: Some(item.value.0),
            encoding: item.encoding,
            ttl: item.ttl,
            if_match: item.if_match,
            if_none_match: item.if_none_match,
        }
    }
}

/// An item, if it breaks no rule. A member that is missing here was noted already.
fn item(draft: Draft<'_>, index: usize, faults: &mut Faults) -> Option<Item> {
    let Draft { key, value, encoding, ttl, if_match, if_none_match } = draft;
    let before = faults.count();
    let at = || format!("/items/{index}");
    let key = key.and_then(|text| Key::new(&text).map_err(|error| faults.push(json::pointer(&at(), "key"), error.to_string())).ok());
    let value = value_of(value, encoding.as_deref(), at, faults);
    let ttl = ttl_of(ttl, at, faults);
    let condition = condition_of(if_match, if_none_match, at, faults);
    (faults.count() == before).then_some(())?;
    Some(Item { key: key?, mutation: Mutation::Put { value: value?, ttl }, condition })
}

pub(crate) fn value_of(value: Option<Cow<'_, str>>, encoding: Option<&str>, at: impl Fn() -> String, faults: &mut Faults) -> Option<Bytes> {
    match (value, encoding) {
        (None, _) => None,
        // Copied, since a slice of the body would keep all of it in memory as long as the value is kept.
        (Some(Cow::Borrowed(text)), None) => Some(Bytes::copy_from_slice(text.as_bytes())),
        (Some(Cow::Owned(text)), None) => Some(Bytes::from(text.into_bytes())),
        (Some(text), Some("base64")) => {
            let decoded = STANDARD.decode(text.as_bytes()).map(Bytes::from);
            // The library's messages end with a full stop, ours as parts of a sentence do not.
            let reason = |error: base64::DecodeError| error.to_string().trim_end_matches('.').to_owned();
            decoded.map_err(|error| faults.push(json::pointer(&at(), "value"), format!("it is not base64: {}", reason(error)))).ok()
        }
        (Some(_), Some(_)) => {
            faults.push(json::pointer(&at(), "encoding"), "it must be \"base64\", or left out");
            None
        }
    }
}

fn ttl_of(ttl: Option<u64>, at: impl Fn() -> String, faults: &mut Faults) -> Option<Ttl> {
    let ttl = Ttl::from_seconds(ttl?);
    ttl.map_err(|error| faults.push(json::pointer(&at(), "ttl"), error.to_string())).ok()
}

fn condition_of(
    if_match: Option<IfMatch>,
    if_none_match: Option<String>,
    at: impl Fn() -> String,
    faults: &mut Faults,
) -> Option<Condition> {
    let (member, condition) = match (if_match, if_none_match) {
        (None, None) => return None,
        (Some(_), Some(_)) => ("if_none_match", Err("if_match and if_none_match can't be used together")),
        (Some(IfMatch::Revision(revision)), None) => ("if_match", Ok(Condition::Revision(kvstore_types::Revision(revision)))),
        (Some(IfMatch::Tag(tag)), None) => ("if_match", conditions::if_match(&tag)),
        (None, Some(tag)) => ("if_none_match", conditions::if_none_match(&tag)),
    };
    condition.map_err(|detail| faults.push(json::pointer(&at(), member), detail)).ok()
}

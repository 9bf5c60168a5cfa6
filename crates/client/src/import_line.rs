//! A line of NDJSON as an item of a batch: `{"key", "value", "encoding"?, "ttl"?}`, or an entry as the server writes it.
//!
//! Values are not taken out of their JSON and put back: what needs no change is copied as it stands.

use std::{borrow::Cow, str};

use kvstore_types::{Key, Timestamp, Ttl};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::entry::bytes_of;

/// A line is not an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportLineError(String);

/// What lines are to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Puts: they get versions, revisions and times of their own. An expiry is turned into a time to live as of this moment.
    Puts(Timestamp),
    /// Entries with all their metadata, to be restored as they were.
    Entries,
}

/// A line that was read, and can be written as an item.
#[derive(Debug, Clone)]
pub struct ImportLine<'a> {
    /// The item's key.
    pub key: Key,
    /// Whether the entry had expired by the moment that puts are counted from: there is nothing to store.
    pub has_expired: bool,
    form: Form<'a>,
}

#[derive(Debug, Clone)]
enum Form<'a> {
    Put { key: &'a RawValue, value: &'a RawValue, is_base64: bool, ttl: Option<Ttl> },
    Entry(&'a str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    value: &'a RawValue,
    encoding: Option<String>,
    ttl: Option<u64>,
    version: Option<u64>,
    revision: Option<u64>,
    #[serde(borrow)]
    created_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    updated_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expires_at: Option<Cow<'a, str>>,
}

impl<'a> ImportLine<'a> {
    /// Reads a line, without its line break.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(line: &'a [u8], lines: Lines) -> Result<Self, ImportLineError> {
        let text = str::from_utf8(line).map_err(|error| fault(format!("it is not UTF-8 from byte {} on", error.valid_up_to() + 1)))?;
        let parsed: Line<'_> = serde_json::from_str(text).map_err(|error| fault(format!("it is not an item: {error}")))?;
        let name: Cow<'_, str> = string(parsed.key).map_err(|reason| fault(format!("the key: {reason}")))?;
        let key = Key::new(&name).map_err(|error| fault(error.to_string()))?;
        check_value(parsed.value, parsed.encoding.as_deref()).map_err(|reason| fault(format!("the value: {reason}")))?;
        let expires_at = parsed.expires_at.as_deref().map(|text| time("expires_at", text)).transpose()?;
        match lines {
            Lines::Puts(now) => {
                let mut ttl = parsed.ttl.map(Ttl::from_seconds).transpose().map_err(|error| fault(error.to_string()))?;
                let has_expired = expires_at.is_some_and(|at| at <= now);
                if let Some(at) = expires_at.filter(|_| !has_expired) {
                    if ttl.is_some() {
                        return Err(fault("it has both ttl and expires_at; give one".into()));
                    }
                    let micros = at.as_micros().abs_diff(now.as_micros());
                    ttl = Some(Ttl::from_seconds(micros.div_ceil(1_000_000)).map_err(|error| fault(format!("expires_at: {error}")))?);
                }
                let is_base64 = parsed.encoding.is_some();
                Ok(Self { key, has_expired, form: Form::Put { key: parsed.key, value: parsed.value, is_base64, ttl } })
            }
            Lines::Entries => {
                parsed.check_metadata()?;
                Ok(Self { key, has_expired: false, form: Form::Entry(text) })
            }
        }
    }

    /// Appends the item in its wire form.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Entry(text) => out.extend_from_slice(text.as_bytes()),
            Form::Put { key, value, is_base64, ttl } => {
                out.extend_from_slice(b"{\"key\":");
                out.extend_from_slice(key.get().as_bytes());
                out.extend_from_slice(b",\"value\":");
                out.extend_from_slice(value.get().as_bytes());
                if *is_base64 {
                    out.extend_from_slice(b",\"encoding\":\"base64\"");
                }
                if let Some(ttl) = ttl {
                    out.extend_from_slice(b",\"ttl\":");
                    out.extend_from_slice(ttl.as_seconds().to_string().as_bytes());
                }
                out.push(b'}');
            }
        }
    }
}

impl Line<'_> {
    fn check_metadata(&self) -> Result<(), ImportLineError> {
        if self.ttl.is_some() {
            return Err(fault("it has ttl; an entry that is restored has expires_at".into()));
        }
        let missing = |name: &str| fault(format!("it has no {name}: was it exported with --with-metadata?"));
        self.version.ok_or_else(|| missing("version"))?;
        self.revision.ok_or_else(|| missing("revision"))?;
        for (name, text) in [("created_at", &self.created_at), ("updated_at", &self.updated_at)] {
            time(name, text.as_deref().ok_or_else(|| missing(name))?)?;
        }
        Ok(())
    }
}

/// A JSON string's text. One without escapes is borrowed.
fn string(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let text = raw.get();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        None => Err("it must be a string".into()),
        Some(plain) if !plain.contains('\\') => Ok(plain.into()),
        Some(_) => serde_json::from_str::<String>(text).map(Cow::Owned).map_err(|error| error.to_string()),
    }
}

/// What the server would refuse without saying in which line it is.
fn check_value(value: &RawValue, encoding: Option<&str>) -> Result<(), String> {
    let text = string(value)?;
    if encoding.is_some() { bytes_of(text.into_owned(), encoding).map(drop) } else { Ok(()) }
}

fn time(name: &str, text: &str) -> Result<Timestamp, ImportLineError> {
    let parsed: jiff::Timestamp = text.parse().map_err(|_| fault(format!("{name} is no time like 2026-11-22T21:00:00.000000Z")))?;
    Ok(Timestamp::from_micros(parsed.as_microsecond()))
}

const fn fault(reason: String) -> ImportLineError {
    ImportLineError(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_381_200_000_000);

    fn item(line: &str) -> Result<String, ImportLineError> {
        let mut out = Vec::new();
        ImportLine::parse(line.as_bytes(), Lines::Puts(NOW))?.write_to(&mut out);
        Ok(String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn a_line_becomes_an_item_with_its_own_spelling_of_the_value() {
        let plain = r#"{"key":"k","value":"/w==","encoding":"base64","ttl":60}"#;
        assert_eq!(item(plain).as_deref(), Ok(plain));
        let listed = r#" {"version":1, "key":"k\u00e9", "value":"a\nb", "revision":2,"created_at":"x","updated_at":"y"}"#;
        assert_eq!(item(listed).as_deref(), Ok(r#"{"key":"k\u00e9","value":"a\nb"}"#), "what the server gives anew is left out");
        let parsed = ImportLine::parse(listed.as_bytes(), Lines::Puts(NOW)).expect("an item");
        assert_eq!(parsed.key.as_str(), "ké");
    }

    #[test]
    fn an_expiry_becomes_a_time_to_live() {
        let expiring = |at: &str| format!(r#"{{"key":"k","value":"v","expires_at":"{at}"}}"#);
        assert_eq!(item(&expiring("2026-11-22T21:01:00.000001Z")).as_deref(), Ok(r#"{"key":"k","value":"v","ttl":61}"#));
        let gone = expiring("2026-11-22T21:00:00Z");
        assert!(ImportLine::parse(gone.as_bytes(), Lines::Puts(NOW)).expect("an item").has_expired);
        assert!(item(&expiring("2126-11-22T21:00:00Z")).is_err(), "more than ten years");
        assert!(item(&expiring("tomorrow")).is_err());
    }

    #[test]
    fn an_entry_is_restored_as_it_stands_or_not_at_all() {
        let whole = r#"{"key":"k","value":"v","version":1,"revision":2,"created_at":"2026-11-22T21:00:00.000000Z","updated_at":"2026-11-22T21:00:00.000001Z"}"#;
        let mut out = Vec::new();
        ImportLine::parse(whole.as_bytes(), Lines::Entries).expect("an entry").write_to(&mut out);
        assert_eq!(out, whole.as_bytes());
        for (part, instead) in
            [("\"version\":1,", ""), ("\"revision\":2,", ""), ("created_at", "createdat"), ("2026-11-22T21:00:00.000001Z", "y")]
        {
            let damaged = whole.replace(part, instead);
            assert!(ImportLine::parse(damaged.as_bytes(), Lines::Entries).is_err(), "{damaged} was taken");
        }
    }

    #[test]
    fn what_is_no_item_says_why() {
        for (line, why) in [
            ("", "EOF"),
            ("{}", "key"),
            ("[]", "item"),
            (r#"{"key":"","value":"v"}"#, "empty"),
            (r#"{"key":"k"}"#, "value"),
            (r#"{"key":1,"value":"v"}"#, "string"),
            (r#"{"key":"k","value":1}"#, "string"),
            (r#"{"key":"k","value":"v","ttl":0}"#, "ttl"),
            (r#"{"key":"k","value":"v","tll":1}"#, "tll"),
            (r#"{"key":"k","value":"v"} x"#, "trailing"),
            (r#"{"key":"k","value":"v","encoding":"hex"}"#, "hex"),
            (r#"{"key":"k","value":"%%","encoding":"base64"}"#, "base64"),
            (r#"{"key":"k","value":"\ud800"}"#, "hex escape"),
            (r#"{"key":"k","value":"v","ttl":1,"expires_at":"2026-11-22T21:01:00Z"}"#, "both"),
        ] {
            let error = item(line).expect_err(line).to_string();
            assert!(error.contains(why), "{line} said {error}");
        }
        let error = ImportLine::parse(b"{\"key\":\"k\",\"value\":\"\xff\"}", Lines::Puts(NOW)).expect_err("bad bytes").to_string();
        assert!(error.contains("UTF-8 from byte 21 on"), "{error}");
    }
}

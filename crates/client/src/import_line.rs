//! A batch's item from a line of NDJSON: `{"key", "value", "encoding"?, "ttl"?}`, what an entry's JSON form also begins with.

use kvstore_types::{Key, Ttl};
use serde::{Deserialize, de::IgnoredAny};

use crate::{BatchItem, entry::bytes_of};

/// A line is not an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImportLineError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    value: String,
    encoding: Option<String>,
    ttl: Option<u64>,
    expires_at: Option<String>,
    // An entry that was listed can be imported again; these are given anew.
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    #[serde(rename = "revision")]
    _revision: Option<IgnoredAny>,
    #[serde(rename = "created_at")]
    _created_at: Option<IgnoredAny>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<IgnoredAny>,
}

impl BatchItem {
    /// Reads an item from a line of NDJSON.
    ///
    /// # Errors
    /// Says what is wrong with the line.
    pub fn from_json_line(line: &[u8]) -> Result<Self, ImportLineError> {
        let line: Line = serde_json::from_slice(line).map_err(|error| ImportLineError(format!("it is not an item: {error}")))?;
        if line.expires_at.is_some() {
            // Without it the entry would live for ever: that is not what was exported.
            return Err(ImportLineError("it has expires_at, which can't be imported; give ttl, in seconds from now, instead".into()));
        }
        let key = Key::new(&line.key).map_err(|error| ImportLineError(error.to_string()))?;
        let value = bytes_of(line.value, line.encoding.as_deref()).map_err(|reason| ImportLineError(format!("the value: {reason}")))?;
        let ttl = line.ttl.map(Ttl::from_seconds).transpose().map_err(|error| ImportLineError(error.to_string()))?;
        Ok(Self { key, value, ttl, condition: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_item_or_says_why_not() {
        let item = BatchItem::from_json_line(br#"{"key":"k","value":"/w==","encoding":"base64","ttl":60}"#).expect("an item");
        assert_eq!((item.key.as_str(), &item.value[..], item.ttl.map(Ttl::as_seconds)), ("k", &[0xff][..], Some(60)));
        let listed = br#"{"key":"k","value":"v","version":1,"revision":2,"created_at":"x","updated_at":"y"}"#;
        assert!(BatchItem::from_json_line(listed).is_ok(), "an entry that was listed is an item");
        for line in [
            "",
            "{}",
            "[]",
            r#"{"key":"","value":"v"}"#,
            r#"{"key":"k"}"#,
            r#"{"key":"k","value":1}"#,
            r#"{"key":"k","value":"v","ttl":0}"#,
            r#"{"key":"k","value":"v","tll":1}"#,
            r#"{"key":"k","value":"v"} x"#,
            r#"{"key":"k","value":"v","encoding":"hex"}"#,
            r#"{"key":"k","value":"v","expires_at":"2030-01-01T00:00:00Z"}"#,
        ] {
            assert!(BatchItem::from_json_line(line.as_bytes()).is_err(), "{line} was taken");
        }
    }
}

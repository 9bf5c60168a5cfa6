//! `Entry`: what the server says of a key, as the client hands it on.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use kvstore_types::{Key, Revision};
use serde::{Deserialize, Serialize};

use crate::ClientError;

/// A key with its state. Times are RFC 3339 texts in UTC, as the server wrote them: their order as texts is their order in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value's bytes; `None` where only keys were asked for.
    pub value: Option<Bytes>,
    /// 1 at creation, one more at each update.
    pub version: u64,
    /// The batch that wrote this state: what `if_match` takes.
    pub revision: Revision,
    /// When the key was created.
    pub created_at: String,
    /// When it was last written.
    pub updated_at: String,
    /// When it expires, where that is set.
    pub expires_at: Option<String>,
}

/// The bytes of a value, with what the headers tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEntry {
    /// The value.
    pub value: Bytes,
    /// 1 at creation, one more at each update.
    pub version: u64,
    /// The batch that wrote this state.
    pub revision: Revision,
}

/// An entry as JSON carries it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct WireEntry {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    version: u64,
    revision: u64,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// The JSON form of the wire contract.
impl Serialize for Entry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (value, encoding) = match &self.value {
            Some(value) => {
                let (text, encoding) = wire_value(value);
                (Some(text.into_owned()), encoding.map(str::to_owned))
            }
            None => (None, None),
        };
        let wire = WireEntry {
            key: self.key.as_str().into(),
            value,
            encoding,
            version: self.version,
            revision: self.revision.0,
            created_at: self.created_at.clone(),
            updated_at: self.updated_at.clone(),
            expires_at: self.expires_at.clone(),
        };
        wire.serialize(serializer)
    }
}

impl TryFrom<WireEntry> for Entry {
    type Error = ClientError;

    fn try_from(wire: WireEntry) -> Result<Self, ClientError> {
        let value = match (wire.value, wire.encoding.as_deref()) {
            (None, _) => None,
            (Some(text), encoding) => {
                Some(bytes_of(text, encoding).map_err(|reason| ClientError::BadAnswer(format!("the value of {:?}: {reason}", wire.key)))?)
            }
        };
        let key = Key::new(&wire.key).map_err(|error| ClientError::BadAnswer(format!("it names {:?}, and {error}", wire.key)))?;
        Ok(Self {
            key,
            value,
            version: wire.version,
            revision: Revision(wire.revision),
            created_at: wire.created_at,
            updated_at: wire.updated_at,
            expires_at: wire.expires_at,
        })
    }
}

/// A value as JSON carries it: text as text, other bytes as base64 with its name beside it.
pub(crate) fn wire_value(value: &[u8]) -> (std::borrow::Cow<'_, str>, Option<&'static str>) {
    match std::str::from_utf8(value) {
        Ok(text) => (text.into(), None),
        Err(_) => (STANDARD.encode(value).into(), Some("base64")),
    }
}

/// The bytes of a value from its JSON form.
pub(crate) fn bytes_of(text: String, encoding: Option<&str>) -> Result<Bytes, String> {
    match encoding {
        None => Ok(text.into()),
        Some("base64") => STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("it is not base64: {error}")),
        Some(other) => Err(format!("its encoding is {other:?}; only \"base64\" is known")),
    }
}

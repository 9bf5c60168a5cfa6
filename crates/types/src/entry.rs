//! `Entry` and its `Header`: what is stored under a key, and what is known of it without its value.

use bytes::Bytes;

use crate::{
    Key, Timestamp,
    encoding::{DecodeError, Reader, Writer},
};

/// The position of a change in the history of a store: one per applied batch, never reused, strictly increasing per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// All of an entry but its key and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// 1 at creation, one more at each update.
    pub version: u64,
    /// The batch that wrote this state.
    pub revision: Revision,
    /// Store time of the creation.
    pub created_at: Timestamp,
    /// Store time of the last write; grows at every update.
    pub updated_at: Timestamp,
    /// Once store time reaches it, the entry is absent to every read and write.
    pub expires_at: Option<Timestamp>,
    /// Length of the value in bytes.
    pub value_len: u64,
}

impl Header {
    /// Whether the entry is there at this store time.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    /// Appends the header in its stored form (which has no format byte of its own: the record around it has).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_varint(self.version);
        out.put_varint(self.revision.0);
        out.put_time(self.created_at);
        out.put_time(self.updated_at);
        // An expiry at or before the epoch can't be stored, nor can it arise: expiry is a stamp plus at least a second.
        out.put_time(self.expires_at.unwrap_or(Timestamp::ZERO));
        out.put_varint(self.value_len);
    }

    /// Reads a header and leaves `bytes` at what follows it.
    ///
    /// # Errors
    /// The bytes end early or hold a number that does not fit.
    pub fn decode(bytes: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            version: bytes.take_varint()?,
            revision: Revision(bytes.take_varint()?),
            created_at: bytes.take_time()?,
            updated_at: bytes.take_time()?,
            expires_at: Some(bytes.take_time()?).filter(|at| *at != Timestamp::ZERO),
            value_len: bytes.take_varint()?,
        })
    }
}

/// A key with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Version, revision and times.
    pub header: Header,
    /// The value; `None` when only the header was asked for ([`Projection::Header`]).
    pub value: Option<Bytes>,
}

/// How much of an entry a read wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Projection {
    /// Header and value.
    #[default]
    Full,
    /// The header alone; large values are not touched.
    Header,
}

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// It sees every write that was acknowledged before it began.
    #[default]
    Linearizable,
    /// It may be served from what this node has applied.
    Stale,
}

//! Idempotency: a repeated request gets its first answer again. The record holds no values; the answer is rebuilt from the request.

use crate::{
    Applied, Condition, DecodeError, Header, Item, ItemOutcome, Kind, Mutation, Revision, Timestamp, WriteBatch,
    encoding::{Reader, Writer},
    limits::{IDEMPOTENCY_KEPT_SECONDS, IDEMPOTENCY_KEY_CHARS_MAX},
};

/// A key that a client sends with a write and with each repeat of it: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(Box<str>);

/// The text is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// Checks a text.
    ///
    /// # Errors
    /// It is empty, too long, or holds a character that is not visible ASCII.
    pub fn new(text: &str) -> Result<Self, IdempotencyKeyError> {
        let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(Self(text.into())) } else { Err(IdempotencyKeyError) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A BLAKE3 hash over the parsed mutations, so that two spellings of one JSON document count as one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHash(pub [u8; 32]);

impl RequestHash {
    /// The hash of a batch's items, conditions included.
    #[must_use]
    pub fn of(items: &[Item]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut head = Vec::with_capacity(300);
        for item in items {
            head.clear();
            head.put_varint(item.key.as_bytes().len() as u64);
            head.extend_from_slice(item.key.as_bytes());
            match item.condition {
                None => head.push(0),
                Some(Condition::Revision(revision)) => {
                    head.push(1);
                    head.put_varint(revision.0);
                }
                Some(Condition::Present) => head.push(2),
                Some(Condition::Absent) => head.push(3),
            }
            match &item.mutation {
                Mutation::Delete => head.push(0),
                Mutation::Put { value, ttl } => {
                    head.push(1);
                    head.put_varint(ttl.map_or(0, |ttl| ttl.as_seconds()));
                    head.put_varint(value.len() as u64);
                    hasher.update(&head);
                    head.clear();
                    hasher.update(value);
                }
            }
            hasher.update(&head);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// What one item of a recorded batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedItem {
    /// What happened to the key.
    pub kind: Kind,
    /// The version after the write; 0 where the key is absent after it.
    pub version: u64,
    /// When the entry was created: an update's answer can't be rebuilt without it.
    pub created_at: Timestamp,
}

/// The record of an applied batch, kept in the batch's own transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The hash of the mutations it was made for.
    pub hash: RequestHash,
    /// The revision of the batch.
    pub revision: Revision,
    /// The stamp of the batch.
    pub stamp: Timestamp,
    /// An item for each of the batch's, in their order.
    pub items: Vec<RecordedItem>,
}

impl IdempotencyRecord {
    const FORMAT: u8 = 1;

    /// The record of a batch that has just been applied.
    #[must_use]
    pub fn of(hash: RequestHash, applied: &Applied) -> Self {
        let items = applied
            .items
            .iter()
            .map(|item| RecordedItem {
                kind: item.kind,
                version: item.header.map_or(0, |header| header.version),
                created_at: item.header.map_or(Timestamp::ZERO, |header| header.created_at),
            })
            .collect();
        Self { hash, revision: applied.revision, stamp: applied.stamp, items }
    }

    /// Whether the record still counts at this store time.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.stamp.plus_seconds(IDEMPOTENCY_KEPT_SECONDS)
    }

    /// The first answer again. `batch` must be the one that the record was made for: its hash was compared.
    #[must_use]
    pub fn replay(&self, batch: &WriteBatch) -> Applied {
        let items = self
            .items
            .iter()
            .zip(batch.items())
            .map(|(recorded, item)| {
                let header = match (&item.mutation, recorded.kind) {
                    (Mutation::Put { value, ttl }, _) => Some(Header {
                        version: recorded.version,
                        revision: self.revision,
                        created_at: recorded.created_at,
                        updated_at: self.stamp,
                        expires_at: ttl.map(|ttl| self.stamp.plus_seconds(ttl.as_seconds())),
                        value_len: value.len() as u64,
                    }),
                    (Mutation::Delete, _) => None,
                };
                ItemOutcome { kind: recorded.kind, header }
            })
            .collect();
        Applied { revision: self.revision, stamp: self.stamp, items, replayed: true }
    }

    /// The record in its stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.items.len() * 12);
        out.push(Self::FORMAT);
        out.extend_from_slice(&self.hash.0);
        out.put_varint(self.revision.0);
        out.put_time(self.stamp);
        out.put_varint(self.items.len() as u64);
        for item in &self.items {
            out.push(item.kind.as_byte());
            out.put_varint(item.version);
            out.put_time(item.created_at);
        }
        out
    }

    /// Reads a stored record.
    ///
    /// # Errors
    /// The bytes are not a record of a format that this version knows.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, DecodeError> {
        let bytes = &mut bytes;
        match bytes.take_u8()? {
            Self::FORMAT => {}
            other => return Err(DecodeError::UnknownFormat(other)),
        }
        let hash = RequestHash(bytes.take_array()?);
        let revision = Revision(bytes.take_varint()?);
        let stamp = bytes.take_time()?;
        let count = bytes.take_varint()?;
        let items = (0..count)
            .map(|_| {
                Ok(RecordedItem {
                    kind: Kind::from_byte(bytes.take_u8()?).ok_or(DecodeError::OutOfRange)?,
                    version: bytes.take_varint()?,
                    created_at: bytes.take_time()?,
                })
            })
            .collect::<Result<_, DecodeError>>()?;
        if bytes.is_empty() { Ok(Self { hash, revision, stamp, items }) } else { Err(DecodeError::TrailingBytes) }
    }
}

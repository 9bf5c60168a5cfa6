//! `Payload`: what lies in Redis under a key. An entry, or that there is none.
//!
//! Format 1: the format byte, a CRC-32C over the key and all that follows, the kind, the store's identity, the epoch, and of an
//! entry its header and value. Redis is shared and can be written by anybody, so nothing is taken on trust.

use bytes::Bytes;
use kvstore_types::{Entry, Header, Key};

const FORMAT: u8 = 1;
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;
const CRC_AT: usize = 1;
const KIND_AT: usize = 5;
/// Format, checksum, kind, identity, epoch.
const HEAD: usize = 1 + 4 + 1 + 8 + 8;

/// A cached answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// Whose it is.
    pub(super) store: u64,
    /// The epoch in which its fill began; 0 where a check vouches for it instead.
    pub(super) epoch: u64,
    /// The entry with its value, or that the key is absent.
    pub(super) entry: Option<Entry>,
}

/// Bytes that are no payload of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("a cached entry has a format that this version does not know")]
    UnknownFormat,
    #[error("a cached entry is damaged")]
    Damaged,
}

/// The stored form of an answer for this key.
pub(super) fn encode(key: &Key, store: u64, epoch: u64, entry: Option<(&Header, &Bytes)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 64 + entry.map_or(0, |(_, value)| value.len()));
    out.extend_from_slice(&[FORMAT, 0, 0, 0, 0, if entry.is_some() { PRESENT } else { ABSENT }]);
    out.extend_from_slice(&store.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    if let Some((header, value)) = entry {
        header.encode(&mut out);
        out.extend_from_slice(value);
    }
    let sum = checksum(key, out.get(KIND_AT..).unwrap_or_default());
    for (slot, byte) in out.iter_mut().skip(CRC_AT).zip(sum.to_le_bytes()) {
        *slot = byte;
    }
    out
}

fn checksum(key: &Key, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), rest)
}

impl Payload {
    /// Reads what lies under this key.
    pub(super) fn decode(key: &Key, bytes: &Bytes) -> Result<Self, PayloadError> {
        let (format, rest) = bytes.split_first().ok_or(PayloadError::Damaged)?;
        if *format != FORMAT {
            return Err(PayloadError::UnknownFormat);
        }
        let (sum, rest) = rest.split_first_chunk::<4>().ok_or(PayloadError::Damaged)?;
        if u32::from_le_bytes(*sum) != checksum(key, rest) {
            return Err(PayloadError::Damaged);
        }
        let (kind, rest) = rest.split_first().ok_or(PayloadError::Damaged)?;
        let (store, rest) = rest.split_first_chunk::<8>().ok_or(PayloadError::Damaged)?;
        let (epoch, mut rest) = rest.split_first_chunk::<8>().ok_or(PayloadError::Damaged)?;
        let entry = match *kind {
            ABSENT if rest.is_empty() => None,
            PRESENT => {
                let header = Header::decode(&mut rest).map_err(|_| PayloadError::Damaged)?;
                if header.value_len != rest.len() as u64 {
                    return Err(PayloadError::Damaged);
                }
                Some(Entry { key: key.clone(), header, value: Some(bytes.slice_ref(rest)) })
            }
            _ => return Err(PayloadError::Damaged),
        };
        Ok(Self { store: u64::from_le_bytes(*store), epoch: u64::from_le_bytes(*epoch), entry })
    }
}

#[cfg(test)]
mod tests {
    use kvstore_types::{Revision, Timestamp};

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("a valid key")
    }

    fn header(value_len: u64) -> Header {
        let at = Timestamp::from_micros;
        Header { version: 3, revision: Revision(300), created_at: at(1), updated_at: at(2), expires_at: Some(at(3)), value_len }
    }

    #[test]
    fn the_first_format_is_read() {
        // Written by the first version; what a running cluster holds must stay readable, or be refused by its format byte.
        let stored = Bytes::from_static(&[
            1, 82, 168, 50, 98, 1, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 3, 172, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
            0, 3, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i',
        ]);
        let value = Bytes::from_static(b"hi");
        assert_eq!(encode(&key("a"), 7, 9, Some((&header(2), &value))), stored, "the stored form");
        let entry = Entry { key: key("a"), header: header(2), value: Some(value) };
        assert_eq!(Payload::decode(&key("a"), &stored), Ok(Payload { store: 7, epoch: 9, entry: Some(entry) }));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let stored = encode(&key("a"), 7, 9, Some((&header(2), &Bytes::from_static(b"hi"))));
        for at in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[at] ^= 1;
            assert!(Payload::decode(&key("a"), &damaged.into()).is_err(), "byte {at} was changed");
        }
        for len in 0..stored.len() {
            assert!(Payload::decode(&key("a"), &Bytes::copy_from_slice(&stored[..len])).is_err(), "cut to {len} bytes");
        }
        assert_eq!(Payload::decode(&key("b"), &stored.into()), Err(PayloadError::Damaged), "the payload of another key");
    }

    #[test]
    fn absence_comes_back() {
        let stored = encode(&key("a"), 7, 9, None);
        assert_eq!(Payload::decode(&key("a"), &stored.into()), Ok(Payload { store: 7, epoch: 9, entry: None }));
    }
}

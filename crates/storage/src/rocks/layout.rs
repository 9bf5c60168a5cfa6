//! How data lies in RocksDB: the column families, their keys, and the records with their format bytes.
//!
//! | family | key | value |
//! |---|---|---|
//! | `default` | the key | an entry's record |
//! | `values` | key, 0, revision | a value too large to lie in its record |
//! | `expiry` | expiry time, revision, key | nothing |
//! | `requests` | `k` + idempotency key; `q` + stamp + idempotency key | a request's record; nothing |
//! | `meta` | a name | the position; what groups carried |
//!
//! Numbers in keys are big-endian, so that byte order is their order. Keys hold no zero byte, so `key, 0` is no prefix of another.

use bytes::Bytes;
use kvstore_types::{DecodeError, Header, Key, Revision, Timestamp, limits::INLINE_VALUE_BYTES_MAX};

use crate::Position;

pub(super) const ENTRIES: &str = "default";
pub(super) const VALUES: &str = "values";
pub(super) const EXPIRY: &str = "expiry";
pub(super) const REQUESTS: &str = "requests";
pub(super) const META: &str = "meta";
/// All column families.
pub(super) const FAMILIES: [&str; 5] = [ENTRIES, VALUES, EXPIRY, REQUESTS, META];

/// The key in `meta` under which the position lies.
pub(super) const POSITION: &[u8] = b"position";
/// What precedes a group's own names in `meta`.
pub(super) const META_PREFIX: &str = "group:";

const RECORD_FORMAT: u8 = 1;
const POSITION_FORMAT: u8 = 1;

/// Where an entry's value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// In the record, behind the header.
    Inline = 0,
    /// In `values`.
    Apart = 1,
}

impl Placement {
    pub(super) const fn of(value_len: u64) -> Self {
        if value_len > INLINE_VALUE_BYTES_MAX as u64 { Self::Apart } else { Self::Inline }
    }
}

/// An entry's record, decoded. The value borrows from the stored bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) header: Header,
    /// The value, if it lies in the record.
    pub(super) inline: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    pub(super) fn encode(header: &Header, value: &Bytes, out: &mut Vec<u8>) {
        let placement = Placement::of(header.value_len);
        out.clear();
        out.extend_from_slice(&[RECORD_FORMAT, placement as u8]);
        header.encode(out);
        if placement == Placement::Inline {
            out.extend_from_slice(value);
        }
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (format, placement, mut rest) = match bytes {
            [format, placement, rest @ ..] => (*format, *placement, rest),
            _ => return Err(DecodeError::Truncated),
        };
        if format != RECORD_FORMAT {
            return Err(DecodeError::UnknownFormat(format));
        }
        let header = Header::decode(&mut rest)?;
        let inline = match placement {
            0 if rest.len() as u64 == header.value_len => Some(rest),
            0 if (rest.len() as u64) < header.value_len => return Err(DecodeError::Truncated),
            1 if rest.is_empty() => None,
            0 | 1 => return Err(DecodeError::TrailingBytes),
            _ => return Err(DecodeError::OutOfRange),
        };
        Ok(Self { header, inline })
    }
}

/// The key of a value that lies apart.
pub(super) fn value_key(key: &Key, revision: Revision) -> Vec<u8> {
    [key.as_bytes(), &[0], &revision.0.to_be_bytes()].concat()
}

/// The key and the revision of a value that lies apart.
pub(super) fn parse_value_key(bytes: &[u8]) -> Result<(Key, Revision), DecodeError> {
    let (rest, revision) = bytes.split_last_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let key = rest.strip_suffix(&[0]).ok_or(DecodeError::OutOfRange)?;
    let key = Key::from_bytes(key).map_err(|_| DecodeError::OutOfRange)?;
    Ok((key, Revision(u64::from_be_bytes(*revision))))
}

/// The key of an entry in the index by expiry.
pub(super) fn expiry_key(key: &Key, revision: Revision, expires_at: Timestamp) -> Vec<u8> {
    [&expires_at.as_micros().to_be_bytes(), &revision.0.to_be_bytes(), key.as_bytes()].concat()
}

/// The expiry time, revision and key of an entry in the index by expiry.
pub(super) fn parse_expiry_key(bytes: &[u8]) -> Result<(Timestamp, Revision, Key), DecodeError> {
    let (time, rest) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let (revision, key) = rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let key = Key::from_bytes(key).map_err(|_| DecodeError::OutOfRange)?;
    Ok((Timestamp::from_micros(i64::from_be_bytes(*time)), Revision(u64::from_be_bytes(*revision)), key))
}

/// The position's stored form, with the bytes that idempotency records take.
pub(super) fn encode_position(position: Position, request_bytes: u64) -> [u8; 25] {
    let mut out = [0; 25];
    let fields = [
        [POSITION_FORMAT].as_slice(),
        &position.revision.0.to_le_bytes(),
        &position.stamp.as_micros().to_le_bytes(),
        &request_bytes.to_le_bytes(),
    ];
    for (slot, byte) in out.iter_mut().zip(fields.into_iter().flatten()) {
        *slot = *byte;
    }
    out
}

/// Reads a stored position.
pub(super) fn decode_position(bytes: &[u8]) -> Result<(Position, u64), DecodeError> {
    let (format, rest) = bytes.split_first().ok_or(DecodeError::Truncated)?;
    if *format != POSITION_FORMAT {
        return Err(DecodeError::UnknownFormat(*format));
    }
    let (revision, rest) = rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let (stamp, rest) = rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let (bytes, rest) = rest.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    if !rest.is_empty() {
        return Err(DecodeError::TrailingBytes);
    }
    let position =
        Position { revision: Revision(u64::from_le_bytes(*revision)), stamp: Timestamp::from_micros(i64::from_le_bytes(*stamp)) };
    Ok((position, u64::from_le_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value_len: u64) -> Header {
        Header {
            version: 3,
            revision: Revision(300),
            created_at: Timestamp::from_micros(1),
            updated_at: Timestamp::from_micros(2),
            expires_at: Some(Timestamp::from_micros(3)),
            value_len,
        }
    }

    /// Bytes that were written by the first release: they must stay readable.
    #[test]
    fn the_first_format_of_records_is_read() {
        let stored = [1, 0, 3, 0xac, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'];
        let mut written = Vec::new();
        Record::encode(&header(2), &Bytes::from_static(b"hi"), &mut written);
        assert_eq!(written, stored);
        assert_eq!(Record::decode(&stored), Ok(Record { header: header(2), inline: Some(b"hi") }));
    }

    #[test]
    fn a_large_value_lies_apart() {
        let value = Bytes::from(vec![7; INLINE_VALUE_BYTES_MAX + 1]);
        let header = header(value.len() as u64);
        let mut written = Vec::new();
        Record::encode(&header, &value, &mut written);
        assert_eq!(Record::decode(&written), Ok(Record { header, inline: None }));
    }

    #[test]
    fn damaged_records_are_refused() {
        let mut written = Vec::new();
        Record::encode(&header(2), &Bytes::from_static(b"hi"), &mut written);
        for end in 0..written.len() {
            assert!(Record::decode(&written[..end]).is_err(), "a record cut to {end} bytes was read");
        }
        written[0] = 9;
        assert_eq!(Record::decode(&written), Err(DecodeError::UnknownFormat(9)));
        assert_eq!(decode_position(&[9]), Err(DecodeError::UnknownFormat(9)));
    }

    #[test]
    fn positions_and_expiry_keys_come_back() {
        let position = Position { revision: Revision(7), stamp: Timestamp::from_micros(8) };
        assert_eq!(decode_position(&encode_position(position, 9)), Ok((position, 9)));
        let key = Key::new("k").expect("a key");
        let stored = expiry_key(&key, Revision(5), Timestamp::from_micros(6));
        assert_eq!(parse_value_key(&value_key(&key, Revision(5))), Ok((key.clone(), Revision(5))));
        assert_eq!(parse_expiry_key(&stored), Ok((Timestamp::from_micros(6), Revision(5), key)));
    }
}

//! Stored forms: fixtures of every released format, round trips of random records, and random bytes, which must never panic.

use kvstore_types::{DecodeError, Header, IdempotencyRecord, Kind, RecordedItem, RequestHash, Revision, Timestamp};
use proptest::prelude::*;

/// A header of format 1. It must stay readable for as long as there is a record that holds one.
const HEADER_1: &[u8] = &[
    0x03, // version 3
    0xac, 0x02, // revision 300
    0x00, 0x40, 0xf2, 0x06, 0x00, 0x00, 0x00, 0x00, // created at 116,539,392 us
    0x01, 0x40, 0xf2, 0x06, 0x00, 0x00, 0x00, 0x00, // updated one microsecond later
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, // expires at 2^56 us
    0x80, 0x20, // 4096 bytes of value
];

/// An idempotency record of format 1.
const RECORD_1: &[u8] = &[
    0x01, // format
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, // hash
    0xac, 0x02, // revision 300
    0x01, 0x40, 0xf2, 0x06, 0x00, 0x00, 0x00, 0x00, // stamp
    0x02, // two items
    0x02, 0x03, 0x00, 0x40, 0xf2, 0x06, 0x00, 0x00, 0x00, 0x00, // an update to version 3
    0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // a delete
];

const CREATED: Timestamp = Timestamp::from_micros(0x06f2_4000);

fn header_1() -> Header {
    Header {
        version: 3,
        revision: Revision(300),
        created_at: CREATED,
        updated_at: CREATED.next(),
        expires_at: Some(Timestamp::from_micros(1 << 56)),
        value_len: 4096,
    }
}

fn record_1() -> IdempotencyRecord {
    let items = vec![
        RecordedItem { kind: Kind::Updated, version: 3, created_at: CREATED },
        RecordedItem { kind: Kind::Deleted, version: 0, created_at: Timestamp::ZERO },
    ];
    let hash = RequestHash(std::array::from_fn(|at| at as u8));
    IdempotencyRecord { hash, revision: Revision(300), stamp: CREATED.next(), items }
}

fn encoded(header: &Header) -> Vec<u8> {
    let mut out = Vec::new();
    header.encode(&mut out);
    out
}

#[test]
fn format_1_is_read_and_written_byte_for_byte() {
    let mut rest = HEADER_1;
    assert_eq!(Header::decode(&mut rest), Ok(header_1()));
    assert!(rest.is_empty(), "a header takes its own bytes, found {rest:?} left");
    assert_eq!(encoded(&header_1()), HEADER_1);
    assert_eq!(IdempotencyRecord::decode(RECORD_1), Ok(record_1()));
    assert_eq!(record_1().encode(), RECORD_1);
}

#[test]
fn what_is_cut_short_too_long_or_of_another_format_is_refused() {
    for end in 0..HEADER_1.len() {
        assert_eq!(Header::decode(&mut &HEADER_1[..end]), Err(DecodeError::Truncated), "a header cut at {end}");
    }
    for end in 0..RECORD_1.len() {
        assert_eq!(IdempotencyRecord::decode(&RECORD_1[..end]), Err(DecodeError::Truncated), "a record cut at {end}");
    }
    assert_eq!(IdempotencyRecord::decode(&[RECORD_1, &[0]].concat()), Err(DecodeError::TrailingBytes));
    for format in (0..=255).filter(|format| *format != 1) {
        let other = [&[format], &RECORD_1[1..]].concat();
        assert_eq!(IdempotencyRecord::decode(&other), Err(DecodeError::UnknownFormat(format)));
    }
    let mut unknown_kind = RECORD_1.to_vec();
    unknown_kind[44] = 9;
    assert_eq!(IdempotencyRecord::decode(&unknown_kind), Err(DecodeError::OutOfRange));
    let over_64_bits = [0xff; 11];
    assert_eq!(Header::decode(&mut &over_64_bits[..]), Err(DecodeError::OutOfRange));
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn header() -> impl Strategy<Value = Header> {
    // An expiry lies after the epoch: it is a stamp and at least a second.
    let expires_at = prop::option::of((1..=i64::MAX).prop_map(Timestamp::from_micros));
    (any::<u64>(), any::<u64>(), time(), time(), expires_at, any::<u64>()).prop_map(
        |(version, revision, created_at, updated_at, expires_at, value_len)| Header {
            version,
            revision: Revision(revision),
            created_at,
            updated_at,
            expires_at,
            value_len,
        },
    )
}

fn record() -> impl Strategy<Value = IdempotencyRecord> {
    let kind = prop::sample::select(&[Kind::Created, Kind::Updated, Kind::Deleted, Kind::Missing][..]);
    let item = (kind, any::<u64>(), time()).prop_map(|(kind, version, created_at)| RecordedItem { kind, version, created_at });
    (any::<[u8; 32]>(), any::<u64>(), time(), prop::collection::vec(item, 0..20)).prop_map(|(hash, revision, stamp, items)| {
        IdempotencyRecord { hash: RequestHash(hash), revision: Revision(revision), stamp, items }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_header_comes_back_and_leaves_what_follows_it(header in header(), after in prop::collection::vec(any::<u8>(), 0..20)) {
        let bytes = [encoded(&header), after.clone()].concat();
        let mut rest = &bytes[..];
        prop_assert_eq!(Header::decode(&mut rest), Ok(header));
        prop_assert_eq!(rest, &after[..]);
    }

    #[test]
    fn a_record_comes_back(record in record()) {
        prop_assert_eq!(IdempotencyRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), as_record in any::<bool>()) {
        if as_record && !bytes.is_empty() {
            bytes[0] = 1;
        }
        if let Ok(record) = IdempotencyRecord::decode(&bytes) {
            prop_assert_eq!(IdempotencyRecord::decode(&record.encode()), Ok(record), "what can be read can be written");
        }
        let _ = Header::decode(&mut &bytes[..]);
    }

    #[test]
    fn a_flipped_byte_gives_an_error_or_another_record(record in record(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        // A number may be spelt in more than one way, so a flip can also give the same record; a panic it must never give.
        if let Ok(found) = IdempotencyRecord::decode(&bytes) {
            prop_assert!(found.items.len() <= bytes.len(), "no more items than bytes");
        }
    }
}

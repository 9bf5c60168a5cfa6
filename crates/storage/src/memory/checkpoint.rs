//! Checkpoints of the memory engine: one file in a directory of its own.
//!
//! Layout: a format byte; revision and stamp; then entries, records and meta, each a count and that many pairs of byte strings;
//! then a CRC-32C of all before it. Numbers are 64-bit little-endian; a byte string is its length and its bytes.

use std::{collections::BTreeMap, fs, io, path::Path};

use bytes::Bytes;
use kvstore_types::{DecodeError, Header, IdempotencyKey, IdempotencyRecord, Key, Revision, Timestamp};

use super::{Contents, records::Records};
use crate::{EngineError, Position};

const FILE: &str = "contents";
const FORMAT: u8 = 1;

/// Writes the contents to a directory that must not exist yet.
pub(super) fn save(contents: &Contents, dir: &Path) -> Result<(), EngineError> {
    let failed = |error: io::Error| EngineError::Write(format!("checkpoint {}: {error}", dir.display()));
    fs::create_dir(dir).map_err(failed)?;
    let file = dir.join(FILE);
    fs::write(&file, encode(contents)).and_then(|()| fs::File::open(&file)?.sync_all()).map_err(failed)
}

/// Reads the contents back.
pub(super) fn load(dir: &Path) -> Result<Contents, EngineError> {
    let file = dir.join(FILE);
    let bytes = fs::read(&file).map_err(|error| EngineError::Read(format!("checkpoint {}: {error}", file.display())))?;
    decode(&bytes).map_err(|error| EngineError::Damaged(format!("checkpoint {}: {error}", file.display())))
}

fn encode(contents: &Contents) -> Vec<u8> {
    let mut out = vec![FORMAT];
    put_number(&mut out, contents.position.revision.0);
    out.extend_from_slice(&contents.position.stamp.as_micros().to_le_bytes());
    put_number(&mut out, contents.entries.len() as u64);
    for (key, (header, value)) in &contents.entries {
        put_bytes(&mut out, key.as_bytes());
        let mut state = Vec::new();
        header.encode(&mut state);
        state.extend_from_slice(value);
        put_bytes(&mut out, &state);
    }
    put_number(&mut out, contents.records.iter().len() as u64);
    for (key, record) in contents.records.iter() {
        put_bytes(&mut out, key.as_str().as_bytes());
        put_bytes(&mut out, &record.encode());
    }
    put_number(&mut out, contents.meta.len() as u64);
    for (key, value) in &contents.meta {
        put_bytes(&mut out, key.as_bytes());
        put_bytes(&mut out, value);
    }
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn decode(file: &[u8]) -> Result<Contents, DecodeError> {
    let (mut bytes, sum) = file.split_last_chunk::<4>().ok_or(DecodeError::Truncated)?;
    match bytes.first() {
        Some(&FORMAT) => {}
        Some(other) => return Err(DecodeError::UnknownFormat(*other)),
        None => return Err(DecodeError::Truncated),
    }
    if crc32c::crc32c(bytes) != u32::from_le_bytes(*sum) {
        return Err(DecodeError::OutOfRange);
    }
    let input = &mut bytes;
    take(input, 1)?;
    let revision = Revision(take_number(input)?);
    let stamp = Timestamp::from_micros(i64::from_le_bytes(take_array(input)?));
    let mut contents = Contents { position: Position { revision, stamp }, ..Contents::default() };
    contents.entries = take_pairs(input, |key, mut state| {
        let key = Key::from_bytes(key).map_err(|_| DecodeError::OutOfRange)?;
        let header = Header::decode(&mut state)?;
        if state.len() as u64 == header.value_len {
            Ok((key, (header, Bytes::copy_from_slice(state))))
        } else {
            Err(DecodeError::Truncated)
        }
    })?;
    let records = take_pairs(input, |key, record| {
        let key = IdempotencyKey::new(text(key)?).map_err(|_| DecodeError::OutOfRange)?;
        Ok((key, IdempotencyRecord::decode(record)?))
    })?;
    contents.records = Records::default();
    records.into_iter().for_each(|(key, record)| contents.records.insert(key, record));
    contents.meta = take_pairs(input, |key, value| Ok((text(key)?.to_owned(), Bytes::copy_from_slice(value))))?;
    if input.is_empty() { Ok(contents) } else { Err(DecodeError::TrailingBytes) }
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::OutOfRange)
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = input.split_at_checked(count).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(taken)
}

fn take_array(input: &mut &[u8]) -> Result<[u8; 8], DecodeError> {
    let (taken, rest) = input.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(*taken)
}

fn take_number(input: &mut &[u8]) -> Result<u64, DecodeError> {
    Ok(u64::from_le_bytes(take_array(input)?))
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let count = usize::try_from(take_number(input)?).map_err(|_| DecodeError::OutOfRange)?;
    take(input, count)
}

fn take_pairs<'a, K: Ord, V>(
    input: &mut &'a [u8],
    mut make: impl FnMut(&'a [u8], &'a [u8]) -> Result<(K, V), DecodeError>,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let count = take_number(input)?;
    (0..count)
        .map(|_| {
            let (key, value) = (take_bytes(input)?, take_bytes(input)?);
            make(key, value)
        })
        .collect()
}

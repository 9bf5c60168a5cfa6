//! Rows of the table `kv`, as its statements select them: key, whether it is a tombstone, header, and more behind that.

use bytes::Bytes;
use kvstore_types::{Header, Key, Revision, Timestamp};
use tokio_postgres::{
    Row,
    types::{FromSql, WasNull},
};

use crate::StoreError;

/// Where the columns behind the header begin.
pub(super) const AFTER_HEADER: usize = 8;

/// What is stored under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    /// A tombstone's header tells the revision and the time of the deletion, and in `expires_at` when it may go.
    pub(super) header: Header,
    /// The key was deleted.
    pub(super) is_tombstone: bool,
}

impl Stored {
    /// The entry's header, whether it has expired or not; `None` of a tombstone.
    pub(super) fn entry(&self) -> Option<Header> {
        (!self.is_tombstone).then_some(self.header)
    }
}

/// A column, as what it must be.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| match std::error::Error::source(&error) {
        Some(source) if source.is::<WasNull>() => StoreError::Damaged(format!("column {at} of a row is null")),
        _ => StoreError::Damaged(format!("column {at} of a row can't be read: {error}")),
    })
}

/// A number that is never negative.
fn number(row: &Row, at: usize) -> Result<u64, StoreError> {
    u64::try_from(column::<i64>(row, at)?).map_err(|_| StoreError::Damaged(format!("column {at} of a row is negative")))
}

pub(super) fn key(row: &Row) -> Result<Key, StoreError> {
    Key::new(column(row, 0)?).map_err(|error| StoreError::Damaged(format!("a stored key: {error}")))
}

pub(super) fn stored(row: &Row) -> Result<Stored, StoreError> {
    let header = Header {
        version: number(row, 2)?,
        revision: Revision(number(row, 3)?),
        created_at: Timestamp::from_micros(column(row, 4)?),
        updated_at: Timestamp::from_micros(column(row, 5)?),
        expires_at: column::<Option<i64>>(row, 6)?.map(Timestamp::from_micros),
        value_len: number(row, 7)?,
    };
    Ok(Stored { header, is_tombstone: column(row, 1)? })
}

/// The value of an entry, held to the length that its header tells.
pub(super) fn value(row: &Row, at: usize, header: &Header) -> Result<Bytes, StoreError> {
    let value: &[u8] = column(row, at)?;
    if value.len() as u64 != header.value_len {
        return Err(StoreError::Damaged(format!("a value has {} bytes, not {}", value.len(), header.value_len)));
    }
    Ok(Bytes::copy_from_slice(value))
}

/// The same where the statement may have left it out.
pub(super) fn value_if_read(row: &Row, at: usize, header: &Header) -> Result<Option<Bytes>, StoreError> {
    column::<Option<&[u8]>>(row, at)?.map(|_| value(row, at, header)).transpose()
}

/// A number as the database holds it. All that are counted here stay far below its limit.
pub(super) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

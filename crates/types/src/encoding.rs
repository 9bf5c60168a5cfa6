//! How numbers and texts lie in stored records: LEB128 integers, length-prefixed bytes.

use crate::Timestamp;

/// Stored bytes that are not what they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record ends in the middle of a field.
    #[error("the record ends early")]
    Truncated,
    /// A number or a tag outside its range.
    #[error("the record holds a field out of range")]
    OutOfRange,
    /// The first byte names a format that this version does not know.
    #[error("the record has format {0}, which this version does not know")]
    UnknownFormat(u8),
    /// Bytes are left after the last field.
    #[error("the record is longer than its fields")]
    TrailingBytes,
}

/// Writing fields.
pub(crate) trait Writer {
    fn put_varint(&mut self, number: u64);
    fn put_time(&mut self, time: Timestamp);
}

impl Writer for Vec<u8> {
    fn put_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push((number as u8) | 0x80);
            number >>= 7;
        }
        self.push(number as u8);
    }

    fn put_time(&mut self, time: Timestamp) {
        self.extend_from_slice(&time.as_micros().to_le_bytes());
    }
}

/// Reading fields from the front of a slice.
pub(crate) trait Reader {
    fn take_u8(&mut self) -> Result<u8, DecodeError>;
    fn take_varint(&mut self) -> Result<u64, DecodeError>;
    fn take_time(&mut self) -> Result<Timestamp, DecodeError>;
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError>;
}

impl Reader for &[u8] {
    fn take_u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.split_first().ok_or(DecodeError::Truncated)?;
        *self = rest;
        Ok(*first)
    }

    fn take_varint(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take_u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(DecodeError::OutOfRange);
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::OutOfRange)
    }

    fn take_time(&mut self) -> Result<Timestamp, DecodeError> {
        Ok(Timestamp::from_micros(i64::from_le_bytes(self.take_array()?)))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        *self = rest;
        Ok(*array)
    }
}

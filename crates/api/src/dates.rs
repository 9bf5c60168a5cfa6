//! Times on the wire: RFC 3339 with six decimals in JSON, HTTP dates in headers. The calendar is jiff's.

use http::HeaderValue;
use jiff::{fmt::rfc2822::DateTimePrinter, tz::Offset};
use kvstore_types::Timestamp;

/// A time that jiff can hold; store time reaches its ends only by a broken clock, which must not break answers.
fn instant(time: Timestamp) -> jiff::Timestamp {
    let edge = if time < Timestamp::ZERO { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(time.as_micros()).unwrap_or(edge)
}

/// Appends `2026-11-22T21:00:00.000000Z`.
pub(crate) fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    let at = Offset::UTC.to_datetime(instant(time));
    digits(out, at.year().unsigned_abs().into(), 4);
    out.push(b'-');
    digits(out, at.month().unsigned_abs().into(), 2);
    out.push(b'-');
    digits(out, at.day().unsigned_abs().into(), 2);
    out.push(b'T');
    digits(out, at.hour().unsigned_abs().into(), 2);
    out.push(b':');
    digits(out, at.minute().unsigned_abs().into(), 2);
    out.push(b':');
    digits(out, at.second().unsigned_abs().into(), 2);
    out.push(b'.');
    digits(out, at.subsec_nanosecond().unsigned_abs() / 1_000, 6);
    out.push(b'Z');
}

fn digits(out: &mut Vec<u8>, mut number: u32, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    for place in out.iter_mut().skip(start).rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads a time as [`write_time`] writes it. One that is not a whole number of microseconds could not be given back as it was.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    (instant.subsec_nanosecond() % 1_000 == 0).then(|| Timestamp::from_micros(instant.as_microsecond()))
}

/// The time as an HTTP date (RFC 9110, 5.6.7), without its fraction of a second.
pub(crate) fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&instant(time)).ok()?;
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_decimals_always() {
        let mut out = Vec::new();
        write_time(&mut out, Timestamp::from_micros(1_795_381_200_000_007));
        assert_eq!(String::from_utf8(out).unwrap(), "2026-11-22T21:00:00.000007Z");
        assert_eq!(http_date(Timestamp::from_micros(1_795_381_200_000_007)).unwrap(), "Sun, 22 Nov 2026 21:00:00 GMT");
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        assert_eq!(parse_time("2026-11-22T21:00:00.000007Z"), Some(Timestamp::from_micros(1_795_381_200_000_007)));
        for text in ["2026-11-22T21:00:00.0000071Z", "2026-11-22", "yesterday", ""] {
            assert_eq!(parse_time(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_ends_of_time_are_written() {
        for micros in [i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            write_time(&mut out, Timestamp::from_micros(micros));
            assert_eq!(out.len(), 27, "a time of fixed width for {micros}");
        }
    }
}

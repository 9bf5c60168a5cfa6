//! Entries that go out, as JSON: small answers in one piece, large ones in chunks, so that a page of many megabytes is not held twice.

use std::{
    convert::Infallible,
    io::Write,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use kvstore_service::Reservation;
use kvstore_types::{Entry, Header};
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::{body::full, dates::write_time};

/// Answers up to about this size are sent in one piece; larger ones in chunks of about this size.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of a value that are written at one time. A multiple of three, so that pieces of base64 join without padding.
const PIECE_BYTES: usize = 48 << 10;

/// Leaves out the quotes around a string, so that a long one can be written in pieces.
struct NoQuotes;

impl Formatter for NoQuotes {
    fn begin_string<W: ?Sized + Write>(&mut self, _: &mut W) -> std::io::Result<()> {
        Ok(())
    }

    fn end_string<W: ?Sized + Write>(&mut self, _: &mut W) -> std::io::Result<()> {
        Ok(())
    }
}

/// Appends a text with JSON's escapes, without quotes.
pub(crate) fn write_escaped(out: &mut Vec<u8>, text: &str) {
    // Most texts need no escape: looking at all of their bytes at once and copying them takes a fraction of the time.
    if !text.bytes().fold(false, |found, byte| found | needs_escape(byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    // Writing to a Vec can't fail, nor can a string.
    let _ = text.serialize(&mut serde_json::Serializer::with_formatter(out, NoQuotes));
}

const fn needs_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// How a value is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Text,
    Base64,
}

fn encoding(value: &[u8]) -> Encoding {
    if std::str::from_utf8(value).is_ok() { Encoding::Text } else { Encoding::Base64 }
}

/// An entry up to its value, which follows unless only the header was read.
fn write_head(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(b"{\"key\":\"");
    write_escaped(out, entry.key.as_str());
    out.extend_from_slice(if entry.value.is_some() { b"\",\"value\":\"" } else { b"\"" });
}

/// Appends a piece of a value from `from` on, and returns where the next begins.
fn write_piece(out: &mut Vec<u8>, value: &[u8], encoding: Encoding, from: usize) -> usize {
    let rest = value.get(from..).unwrap_or_default();
    match encoding {
        Encoding::Text => {
            let mut length = rest.len().min(PIECE_BYTES);
            // Never between the bytes of one character, which have the form 10xxxxxx.
            while length < rest.len() && rest.get(length).is_some_and(|byte| byte & 0xc0 == 0x80) {
                length -= 1;
            }
            let piece = rest.get(..length).unwrap_or_default();
            write_escaped(out, std::str::from_utf8(piece).unwrap_or_default());
            from + length
        }
        Encoding::Base64 => {
            let piece = rest.get(..rest.len().min(PIECE_BYTES)).unwrap_or_default();
            let start = out.len();
            out.resize(start + piece.len().div_ceil(3) * 4, 0);
            let written = STANDARD.encode_slice(piece, out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
            out.truncate(start + written);
            from + piece.len()
        }
    }
}

/// What follows the value.
fn write_tail(out: &mut Vec<u8>, header: &Header, value: Option<Encoding>) {
    match value {
        Some(Encoding::Text) => out.push(b'"'),
        Some(Encoding::Base64) => out.extend_from_slice(b"\",\"encoding\":\"base64\""),
        None => {}
    }
    out.extend_from_slice(b",\"version\":");
    write_number(out, header.version);
    out.extend_from_slice(b",\"revision\":");
    write_number(out, header.revision.0);
    out.extend_from_slice(b",\"created_at\":\"");
    let created_at = out.len();
    write_time(out, header.created_at);
    let written = created_at..out.len();
    out.extend_from_slice(b"\",\"updated_at\":\"");
    if header.updated_at == header.created_at {
        out.extend_from_within(written);
    } else {
        write_time(out, header.updated_at);
    }
    if let Some(expires_at) = header.expires_at {
        out.extend_from_slice(b"\",\"expires_at\":\"");
        write_time(out, expires_at);
    }
    out.extend_from_slice(b"\"}");
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    // Writing to a Vec can't fail.
    let _ = serde_json::to_writer(out, &number);
}

/// Appends a whole entry.
pub(crate) fn write_entry(out: &mut Vec<u8>, entry: &Entry) {
    write_head(out, entry);
    let encoding = entry.value.as_deref().map(encoding);
    if let (Some(value), Some(encoding)) = (&entry.value, encoding) {
        let mut at = 0;
        while at < value.len() {
            at = write_piece(out, value, encoding, at);
        }
    }
    write_tail(out, &entry.header, encoding);
}

fn weight(entry: &Entry) -> usize {
    entry.key.as_bytes().len() + entry.value.as_ref().map_or(0, Bytes::len) + 224
}

/// The body that shows one entry.
pub(crate) fn entry_body(entry: Entry, reservation: Option<Reservation>) -> Body {
    if weight(&entry) <= CHUNK_BYTES {
        let mut out = Vec::with_capacity(weight(&entry));
        write_entry(&mut out, &entry);
        return full(Bytes::from(out));
    }
    Body::new(Entries::new(vec![Some(entry)], Vec::new(), Vec::new(), reservation))
}

/// The body that shows entries between two texts, separated by commas; an absent one is `null`.
pub(crate) fn entries_body(before: Vec<u8>, entries: Vec<Option<Entry>>, after: Vec<u8>, reservation: Option<Reservation>) -> Body {
    let weight: usize = entries.iter().map(|entry| entry.as_ref().map_or(5, weight)).sum();
    if weight > CHUNK_BYTES {
        return Body::new(Entries::new(entries, before, after, reservation));
    }
    let mut out = before;
    out.reserve(weight + after.len());
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        match entry {
            Some(entry) => write_entry(&mut out, entry),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(&after);
    full(Bytes::from(out))
}

/// Entries as a stream of chunks. An entry is dropped as soon as it is written.
struct Entries {
    before: Vec<u8>,
    entries: std::vec::IntoIter<Option<Entry>>,
    /// An entry whose value is not written to its end: its encoding and how far.
    current: Option<(Entry, Encoding, usize)>,
    after: Option<Vec<u8>>,
    is_first: bool,
    _reservation: Option<Reservation>,
}

impl Entries {
    fn new(entries: Vec<Option<Entry>>, before: Vec<u8>, after: Vec<u8>, reservation: Option<Reservation>) -> Self {
        Self { before, entries: entries.into_iter(), current: None, after: Some(after), is_first: true, _reservation: reservation }
    }

    /// Writes the next part of what is left; `false` at the end.
    fn step(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some((entry, encoding, at)) = &mut self.current {
            let value = entry.value.as_deref().unwrap_or_default();
            *at = write_piece(out, value, *encoding, *at);
            if *at >= value.len() {
                write_tail(out, &entry.header, Some(*encoding));
                self.current = None;
            }
            return true;
        }
        let Some(next) = self.entries.next() else {
            let Some(after) = self.after.take() else { return false };
            out.extend_from_slice(&after);
            return true;
        };
        if !std::mem::take(&mut self.is_first) {
            out.push(b',');
        }
        match next {
            None => out.extend_from_slice(b"null"),
            Some(entry) if weight(&entry) > PIECE_BYTES => {
                write_head(out, &entry);
                let encoding = encoding(entry.value.as_deref().unwrap_or_default());
                self.current = Some((entry, encoding, 0));
            }
            Some(entry) => write_entry(out, &entry),
        }
        true
    }
}

impl HttpBody for Entries {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut out = std::mem::take(&mut self.before);
        out.reserve(CHUNK_BYTES + CHUNK_BYTES / 4);
        while out.len() < CHUNK_BYTES && self.step(&mut out) {}
        Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(Bytes::from(out)))))
    }

    fn is_end_stream(&self) -> bool {
        self.after.is_none()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use kvstore_types::{Key, Revision, Timestamp};

    use super::*;

    fn entry(value: impl Into<Bytes>) -> Entry {
        let value = value.into();
        let time = Timestamp::from_micros(1_795_381_200_000_000);
        let header = Header {
            version: 1,
            revision: Revision(42),
            created_at: time,
            updated_at: time,
            expires_at: None,
            value_len: value.len() as u64,
        };
        Entry { key: Key::new("user:\"1").unwrap(), header, value: Some(value) }
    }

    #[test]
    fn an_entry_reads_as_the_contract_says() {
        let mut out = Vec::new();
        write_entry(&mut out, &entry("Ada\n"));
        let wanted = concat!(
            r#"{"key":"user:\"1","value":"Ada\n","version":1,"revision":42,"#,
            r#""created_at":"2026-11-22T21:00:00.000000Z","updated_at":"2026-11-22T21:00:00.000000Z"}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }

    #[test]
    fn times_and_texts_are_written_alike_whatever_way_they_take() {
        let mut out = Vec::new();
        for byte in 0..=0x7f_u8 {
            let text = format!("before {} after", char::from(byte));
            out.clear();
            write_escaped(&mut out, &text);
            assert_eq!(format!("\"{}\"", String::from_utf8_lossy(&out)), serde_json::to_string(&text).unwrap(), "byte {byte}");
        }
        let mut updated = entry("Ada");
        updated.header.updated_at = Timestamp::from_micros(1_795_381_200_000_007);
        out.clear();
        write_entry(&mut out, &updated);
        let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(parsed["created_at"], "2026-11-22T21:00:00.000000Z");
        assert_eq!(parsed["updated_at"], "2026-11-22T21:00:00.000007Z");
    }

    #[test]
    fn a_stream_of_chunks_holds_the_same_as_one_piece() {
        let long_text = "añ\"日本".repeat(40_000);
        let long_bytes: Vec<u8> = (0..200_000_u32).map(|at| (at * 7 + at / 251) as u8).collect();
        let entries = vec![Some(entry("short")), None, Some(entry(long_text.clone())), Some(entry(long_bytes.clone())), Some(entry(""))];
        let body = entries_body(b"[".to_vec(), entries, b"]".to_vec(), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
        let parsed: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(parsed[0]["value"], "short");
        assert!(parsed[1].is_null());
        assert_eq!(parsed[2]["value"], *long_text);
        assert_eq!(parsed[3]["encoding"], "base64");
        assert_eq!(STANDARD.decode(parsed[3]["value"].as_str().unwrap()).unwrap(), long_bytes);
        assert_eq!(parsed[4]["value"], "");
    }
}

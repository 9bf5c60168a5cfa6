//! How each server wants to be asked. Requests are appended as bytes; `body` is a buffer that is used again and again.

mod etcd;
mod kvstore;
mod redis;

use std::ops::Range;

use rand::{Rng, rngs::SmallRng};

use super::{reader::Protocol, requests::Operation};

/// Characters of a key's number.
const DIGITS: usize = 12;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A server's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The REST API; the bare route understands its GET.
    Kvstore,
    /// Redis's own protocol.
    Redis,
    /// etcd's JSON gateway.
    Etcd,
}

/// Whether a batch's answer lists the entries, where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchAnswer {
    Entries,
    Minimal,
}

impl Dialect {
    pub(super) const fn protocol(self) -> Protocol {
        match self {
            Self::Kvstore | Self::Etcd => Protocol::Http,
            Self::Redis => Protocol::Resp,
        }
    }

    /// Whether there is such a request.
    pub(super) const fn knows(self, operation: Operation) -> bool {
        !matches!((self, operation), (Self::Redis, Operation::Page { .. }))
    }

    pub(super) fn get(self, key: u64, body: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Self::Kvstore => kvstore::get(key, out),
            Self::Redis => redis::get(key, out),
            Self::Etcd => etcd::get(key, body, out),
        }
    }

    pub(super) fn put(self, key: u64, value: &[u8], body: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Self::Kvstore => kvstore::put(key, value, body, out),
            Self::Redis => redis::put(key, value, out),
            Self::Etcd => etcd::put(key, value, body, out),
        }
    }

    pub(super) fn page(self, key: u64, entries: usize, body: &mut Vec<u8>, out: &mut Vec<u8>) {
        match self {
            Self::Kvstore => kvstore::page(key, entries, out),
            Self::Etcd => etcd::page(key, entries, body, out),
            // Nobody asks: it is not among what it knows.
            Self::Redis => {}
        }
    }

    pub(super) fn batch(self, keys: &[u64], values: &Values, answer: BatchAnswer, body: &mut Vec<u8>, out: &mut Vec<u8>) {
        body.clear();
        match self {
            Self::Kvstore => kvstore::batch(keys, values, answer, body, out),
            Self::Redis => redis::batch(keys, values, out),
            Self::Etcd => etcd::batch(keys, values, body, out),
        }
    }
}

/// Values, as stretches of one random text.
pub(super) struct Values {
    text: Vec<u8>,
    bytes: usize,
    at: usize,
}

impl Values {
    pub(super) fn new(text_bytes: usize, bytes: usize, random: &mut SmallRng) -> Self {
        let letter = |random: &mut SmallRng| LETTERS.get(random.random_range(0..LETTERS.len())).copied().unwrap_or(b'A');
        Self { text: (0..text_bytes.max(bytes * 2)).map(|_| letter(random)).collect(), bytes, at: 0 }
    }

    /// Others than before.
    pub(super) fn choose(&mut self, random: &mut SmallRng) {
        self.at = random.random_range(0..=self.text.len() - self.bytes);
    }

    pub(super) fn first(&self) -> &[u8] {
        self.nth(0)
    }

    /// The values of a batch follow each other in the text, and from its end on again from its start.
    pub(super) fn nth(&self, number: usize) -> &[u8] {
        let starts = self.text.len() - self.bytes + 1;
        let start = (self.at + number * self.bytes) % starts;
        self.text.get(stretch(start, self.bytes)).unwrap_or_default()
    }
}

const fn stretch(start: usize, bytes: usize) -> Range<usize> {
    start..start + bytes
}

/// Appends a key: the same as `workload::key`, without the cost of formatting.
fn push_key(key: u64, out: &mut Vec<u8>) {
    let (mut digits, mut rest) = ([b'0'; DIGITS], key);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(b"key:");
    out.extend_from_slice(&digits);
}

/// Appends a number.
fn push_number(number: usize, out: &mut Vec<u8>) {
    let (mut digits, mut rest, mut at) = ([b'0'; 20], number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        at += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - at..).unwrap_or_default());
}

/// Appends a JSON body with its length, and what ends the head.
fn push_body(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
    push_number(body.len(), out);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// The body of a request, after its head was looked at.
    fn body(request: &str) -> serde_json::Value {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())) && head.contains("Host: "), "{head}");
        serde_json::from_str(body).unwrap()
    }

    fn values() -> Values {
        let mut random = SmallRng::seed_from_u64(1);
        let mut values = Values::new(1_000, 7, &mut random);
        values.choose(&mut random);
        values
    }

    #[test]
    fn keys_and_numbers_are_those_of_the_formatter() {
        for number in [0, 7, 10, 4_711, 999_999_999_999] {
            assert_eq!(text(|out| push_key(number, out)), crate::workload::key(number));
            assert_eq!(text(|out| push_number(number as usize, out)), number.to_string());
        }
    }

    #[test]
    fn values_have_their_length_everywhere() {
        let values = values();
        assert!((0..1_000).all(|number| values.nth(number).len() == 7));
        assert_ne!(values.nth(0), values.nth(1));
    }

    #[test]
    fn kvstore_is_asked_by_path_and_json() {
        assert!(
            text(|out| Dialect::Kvstore.get(7, &mut Vec::new(), out)).starts_with("GET /kv-store/v1/kv/key:000000000007/ HTTP/1.1\r\n")
        );
        let page = text(|out| Dialect::Kvstore.page(7, 100, &mut Vec::new(), out));
        assert!(page.starts_with("GET /kv-store/v1/kv/?start=key:000000000007&limit=100 HTTP/1.1\r\n"), "{page}");
        assert_eq!(body(&text(|out| Dialect::Kvstore.put(7, b"abc", &mut Vec::new(), out)))["value"], "abc");
        let batch = text(|out| Dialect::Kvstore.batch(&[1, 2], &values(), BatchAnswer::Minimal, &mut Vec::new(), out));
        assert!(batch.contains("Prefer: return=minimal\r\n"), "{batch}");
        assert_eq!(body(&batch)["items"][1]["key"], "key:000000000002");
        assert_eq!(body(&batch)["items"][1]["value"].as_str().unwrap().as_bytes(), values().nth(1));
    }

    #[test]
    fn etcd_is_asked_in_base64() {
        let get = text(|out| Dialect::Etcd.get(7, &mut Vec::new(), out));
        assert!(get.starts_with("POST /v3/kv/range HTTP/1.1\r\n"), "{get}");
        assert_eq!(body(&get)["key"], "a2V5OjAwMDAwMDAwMDAwNw==");
        assert_eq!(body(&text(|out| Dialect::Etcd.put(7, b"abc", &mut Vec::new(), out)))["value"], "YWJj");
        let page = text(|out| Dialect::Etcd.page(7, 100, &mut Vec::new(), out));
        assert_eq!((&body(&page)["limit"], &body(&page)["range_end"]), (&100.into(), &"AA==".into()));
        let batch = text(|out| Dialect::Etcd.batch(&[1, 7], &values(), BatchAnswer::Entries, &mut Vec::new(), out));
        assert_eq!(body(&batch)["success"][1]["request_put"]["key"], "a2V5OjAwMDAwMDAwMDAwNw==");
    }

    #[test]
    fn redis_is_asked_in_its_protocol() {
        assert_eq!(text(|out| Dialect::Redis.get(7, &mut Vec::new(), out)), "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        let put = text(|out| Dialect::Redis.put(7, b"abc", &mut Vec::new(), out));
        assert_eq!(put, "*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000007\r\n$3\r\nabc\r\n");
        let batch = text(|out| Dialect::Redis.batch(&[1, 2], &values(), BatchAnswer::Entries, &mut Vec::new(), out));
        assert!(batch.starts_with("*5\r\n$4\r\nMSET\r\n$16\r\nkey:000000000001\r\n$7\r\n"), "{batch}");
    }
}

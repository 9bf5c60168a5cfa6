//! What is written and read: keys, values, and the paths that name them. Every peer gets the same.

use std::fmt::Write;

use serde::Deserialize;

/// Where the REST API lives.
pub(crate) const BASE: &str = "/kv-store/v1";
/// Keys of the small benchmark.
pub(crate) const KEYS: u64 = 100_000;
/// Bytes of a value of the small benchmark.
pub(crate) const VALUE_BYTES: usize = 100;
/// Items of a batch.
pub(crate) const BATCH_ITEMS: usize = 1_000;
/// Entries of a page.
pub(crate) const PAGE_ENTRIES: usize = 100;
/// The key that hot loads read.
pub(crate) const HOT_KEY: u64 = 4_711;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A 16-byte key, the same that redis-benchmark makes of a number.
pub(crate) fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// The path of a key.
pub(crate) fn key_path(number: u64) -> String {
    format!("{BASE}/kv/{}/", key(number))
}

/// Text that does not compress to nothing, the same for the same number.
pub(crate) fn value(number: u64, bytes: usize) -> String {
    let mut state = number;
    let mut text = String::with_capacity(bytes + 8);
    while text.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        for byte in mixed.to_le_bytes() {
            text.push(char::from(*ALPHABET.get(usize::from(byte & 63)).unwrap_or(&b'A')));
        }
    }
    text.truncate(bytes);
    text
}

/// Spreads positions over all numbers below `count`, each met once, so that loading is not in the order of the keys.
pub(crate) fn scattered(position: u64, count: u64) -> u64 {
    /// A prime, so that it shares no factor with a count that is not its multiple.
    const STRIDE: u64 = 7_368_787;
    position.wrapping_mul(STRIDE) % count
}

/// The body of a batch of these keys.
pub(crate) fn batch_body(numbers: impl Iterator<Item = u64>, value_bytes: usize) -> String {
    let mut body = String::from(r#"{"items":["#);
    for (position, number) in numbers.enumerate() {
        let comma = if position == 0 { "" } else { "," };
        // Writing to a String can't fail.
        let _ = write!(body, r#"{comma}{{"key":"{}","value":"{}"}}"#, key(number), value(number, value_bytes));
    }
    body.push_str("]}");
    body
}

/// An entry as answers show it; only what the benchmark checks.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) version: u64,
}

/// A page as answers show it.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) count: usize,
    pub(crate) results: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_and_values_have_the_stated_sizes() {
        assert_eq!(key(7).len(), 16);
        assert_eq!(value(7, VALUE_BYTES).len(), VALUE_BYTES);
        assert_eq!(value(7, 200), value(7, 200));
        assert_ne!(value(7, 200), value(8, 200));
    }

    #[test]
    fn scattering_meets_every_number_once() {
        for count in [1, 2, 1_000, 100_000] {
            let met: HashSet<u64> = (0..count).map(|position| scattered(position, count)).collect();
            assert_eq!(met.len() as u64, count, "count {count}");
        }
    }

    #[test]
    fn a_batch_body_is_json_with_its_items() {
        let body: serde_json::Value = serde_json::from_str(&batch_body(0..3, 5)).unwrap();
        assert_eq!(body["items"].as_array().unwrap().len(), 3);
        assert_eq!(body["items"][2]["key"], "key:000000000002");
    }
}

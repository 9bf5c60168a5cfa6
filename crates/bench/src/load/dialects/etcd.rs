//! etcd's JSON gateway: everything is a POST, keys and values are base64. Reads are linearizable, as they are unless asked otherwise.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Values, push_body, push_key, push_number};

const HOST: &[u8] = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n";

pub(super) fn get(key: u64, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(br#"{"key":""#);
    push_base64_key(key, body);
    body.extend_from_slice(br#""}"#);
    push_request(b"POST /v3/kv/range", body, out);
}

pub(super) fn put(key: u64, value: &[u8], body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    push_pair(key, value, body);
    push_request(b"POST /v3/kv/put", body, out);
}

/// Up to the end of all keys, which a zero byte stands for.
pub(super) fn page(key: u64, entries: usize, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(br#"{"key":""#);
    push_base64_key(key, body);
    body.extend_from_slice(br#"","range_end":"AA==","limit":"#);
    push_number(entries, body);
    body.push(b'}');
    push_request(b"POST /v3/kv/range", body, out);
}

pub(super) fn batch(keys: &[u64], values: &Values, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"success":["#);
    for (number, key) in keys.iter().enumerate() {
        body.extend_from_slice(if number == 0 { br#"{"request_put":"# } else { br#",{"request_put":"# });
        push_pair(*key, values.nth(number), body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    push_request(b"POST /v3/kv/txn", body, out);
}

fn push_request(path: &[u8], body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(path);
    out.extend_from_slice(HOST);
    push_body(body, out);
}

fn push_pair(key: u64, value: &[u8], body: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"key":""#);
    push_base64_key(key, body);
    body.extend_from_slice(br#"","value":""#);
    push_base64(value, body);
    body.extend_from_slice(br#""}"#);
}

fn push_base64_key(key: u64, out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(16);
    push_key(key, &mut plain);
    push_base64(&plain, out);
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    // The room is what base64 with padding takes.
    let written = BASE64_STANDARD.encode_slice(bytes, room).unwrap_or(0);
    out.truncate(start + written);
}

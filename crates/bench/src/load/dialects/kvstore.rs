//! kvstore's REST API.

use super::{BatchAnswer, Values, push_body, push_key, push_number};

const HOST: &[u8] = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n";

pub(super) fn get(key: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"GET /kv-store/v1/kv/");
    push_key(key, out);
    out.push(b'/');
    out.extend_from_slice(HOST);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn put(key: u64, value: &[u8], body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    body.extend_from_slice(br#"{"value":""#);
    body.extend_from_slice(value);
    body.extend_from_slice(br#""}"#);
    out.extend_from_slice(b"PUT /kv-store/v1/kv/");
    push_key(key, out);
    out.push(b'/');
    out.extend_from_slice(HOST);
    push_body(body, out);
}

pub(super) fn page(key: u64, entries: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"GET /kv-store/v1/kv/?start=");
    push_key(key, out);
    out.extend_from_slice(b"&limit=");
    push_number(entries, out);
    out.extend_from_slice(HOST);
    out.extend_from_slice(b"\r\n");
}

pub(super) fn batch(keys: &[u64], values: &Values, answer: BatchAnswer, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"items":["#);
    for (number, key) in keys.iter().enumerate() {
        body.extend_from_slice(if number == 0 { br#"{"key":""# } else { br#",{"key":""# });
        push_key(*key, body);
        body.extend_from_slice(br#"","value":""#);
        body.extend_from_slice(values.nth(number));
        body.extend_from_slice(br#""}"#);
    }
    body.extend_from_slice(b"]}");
    out.extend_from_slice(b"POST /kv-store/v1/kv/batch/");
    out.extend_from_slice(HOST);
    if answer == BatchAnswer::Minimal {
        out.extend_from_slice(b"Prefer: return=minimal\r\n");
    }
    push_body(body, out);
}

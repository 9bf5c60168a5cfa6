//! Redis's protocol.

use super::{Values, push_key, push_number};

pub(super) fn get(key: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
    push_key_part(key, out);
}

pub(super) fn put(key: u64, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
    push_key_part(key, out);
    push_part(value, out);
}

pub(super) fn batch(keys: &[u64], values: &Values, out: &mut Vec<u8>) {
    out.push(b'*');
    push_number(keys.len() * 2 + 1, out);
    out.extend_from_slice(b"\r\n$4\r\nMSET\r\n");
    for (number, key) in keys.iter().enumerate() {
        push_key_part(*key, out);
        push_part(values.nth(number), out);
    }
}

fn push_key_part(key: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"$16\r\n");
    push_key(key, out);
    out.extend_from_slice(b"\r\n");
}

fn push_part(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    push_number(bytes.len(), out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

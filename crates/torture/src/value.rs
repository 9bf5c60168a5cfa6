//! Values that say which operation wrote them, and whose every byte follows from that: a mixed or cut value cannot pass.

use bytes::Bytes;

/// The value that item `item` of operation `op` writes, `length` bytes of it (a little more for the shortest).
pub(crate) fn value(op: u64, item: usize, length: usize) -> Bytes {
    let mut bytes = format!("op={op};item={item};").into_bytes();
    let mut state = op.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(item as u64);
    // Every third operation writes bytes that are no text, which take another way through the API.
    let text = !op.is_multiple_of(3);
    while bytes.len() < length {
        state = step(state);
        let byte = state.to_le_bytes()[3];
        bytes.push(if text { b'a' + byte % 26 } else { byte });
    }
    bytes.into()
}

/// Which operation and item a value is of.
pub(crate) fn author(value: &[u8]) -> Option<(u64, usize)> {
    let mut parts = value.splitn(3, |byte| *byte == b';');
    let op = number(parts.next()?, "op=")?;
    let item = number(parts.next()?, "item=")?;
    Some((op, usize::try_from(item).ok()?))
}

fn number(part: &[u8], name: &str) -> Option<u64> {
    std::str::from_utf8(part).ok()?.strip_prefix(name)?.parse().ok()
}

/// SplitMix64 (Steele, Lea, Flood 2014): one step and its mix.
fn step(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_author_and_differs_from_every_other() {
        for op in [0, 1, 2, 3, 1_000_000] {
            assert_eq!(author(&value(op, 7, 100)), Some((op, 7)));
            assert_eq!(value(op, 7, 5_000), value(op, 7, 5_000));
            assert_ne!(value(op, 7, 5_000)[20..], value(op, 8, 5_000)[20..]);
        }
        assert_eq!(author(b"something else"), None);
    }
}

//! An entry of another store as an item of ours.

use bytes::Bytes;
use kvstore_client::BatchItem;
use kvstore_types::{Key, Ttl};

use super::{super::output, batcher::Becomes};

/// Characters of a key that a message shows.
const KEY_SHOWN_CHARS: usize = 60;

/// Makes an item, whose JSON is written to `json`.
pub(super) fn becomes<'a>(key: &[u8], value: &[u8], ttl: Option<Ttl>, json: &'a mut Vec<u8>) -> Becomes<'a> {
    match Key::from_bytes(key) {
        Ok(key) => {
            json.clear();
            let item = BatchItem { key, value: Bytes::copy_from_slice(value), ttl, condition: None };
            item.write_to(json);
            Becomes::Item { key: item.key, json }
        }
        Err(error) => Becomes::Fault(format!("the key \"{}\": {error}", output::shorten(&output::escape(key), KEY_SHOWN_CHARS))),
    }
}

//! `EncodedItems`: items of a batch that are in their wire form already, for callers that move many of them.

/// Items as JSON, one after the other. What is in it was checked by whoever put it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncodedItems {
    json: Vec<u8>,
    /// Where each item ends in `json`, without the comma after it.
    ends: Vec<usize>,
}

impl EncodedItems {
    /// Adds an item: a JSON object, as [`ImportLine`](crate::ImportLine) writes it.
    pub fn push(&mut self, item: &[u8]) {
        if !self.json.is_empty() {
            self.json.push(b',');
        }
        self.json.extend_from_slice(item);
        self.ends.push(self.json.len());
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of their JSON.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Those items for which `keep` says so of their positions.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut kept = Self { json: Vec::with_capacity(self.json.len()), ends: Vec::with_capacity(self.ends.len()) };
        let mut from = 0;
        for (at, end) in self.ends.iter().enumerate() {
            if keep(at) {
                kept.push(self.json.get(from..*end).unwrap_or_default());
            }
            from = end + 1;
        }
        kept
    }

    /// The body of a request that holds them, after these first bytes of an object.
    pub(crate) fn body(&self, before: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.json.len() + before.len() + 16);
        body.extend_from_slice(before.as_bytes());
        body.extend_from_slice(b"\"items\":[");
        body.extend_from_slice(&self.json);
        body.extend_from_slice(b"]}");
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_joined_and_can_be_left_out() {
        let mut items = EncodedItems::default();
        for item in ["{\"key\":\"a\"}", "{\"key\":\"b\"}", "{\"key\":\"c\"}"] {
            items.push(item.as_bytes());
        }
        assert_eq!((items.len(), items.is_empty()), (3, false));
        assert_eq!(items.body("{"), br#"{"items":[{"key":"a"},{"key":"b"},{"key":"c"}]}"#);
        let kept = items.filter(|at| at != 1);
        assert_eq!(kept.body("{\"n\":1,"), br#"{"n":1,"items":[{"key":"a"},{"key":"c"}]}"#);
        assert_eq!(kept.len(), 2);
    }
}

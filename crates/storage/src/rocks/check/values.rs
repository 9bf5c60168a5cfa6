//! Values that lie apart: each belongs to an entry of its revision and has the length that the entry says, and no entry's is missing.

use kvstore_types::Key;

use super::{Check, Owner, read_options};
use crate::rocks::layout::{ENTRIES, Placement, Record, VALUES, parse_value_key, value_key};

impl Check<'_> {
    pub(super) fn values(&mut self) {
        let mut owned = 0;
        self.walk(VALUES, &mut |check, key, value| owned += u64::from(check.value(key, value)));
        // Each has one entry and each entry one value: equal counts mean that none is missing.
        if owned < self.apart {
            self.walk_again(ENTRIES, &mut |check, key, stored| check.value_is_there(key, stored));
        }
    }

    /// Whether the value belongs to an entry.
    fn value(&mut self, stored_key: &[u8], value: &[u8]) -> bool {
        let (key, revision) = match parse_value_key(stored_key) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.finding(VALUES, Some(stored_key), format!("its key is not that of a value: {error}"));
                return false;
            }
        };
        let key_bytes = Some(key.as_bytes());
        match self.owner(&key) {
            Owner::Unknown => false,
            Owner::Absent => {
                self.finding(VALUES, key_bytes, format!("a value of revision {revision} belongs to no entry"));
                false
            }
            Owner::Found(header) if header.revision != revision || Placement::of(header.value_len) == Placement::Inline => {
                let what = format!("a value of revision {revision} belongs to no entry: the key has revision {}", header.revision);
                self.finding(VALUES, key_bytes, what);
                false
            }
            Owner::Found(header) => {
                if header.value_len != value.len() as u64 {
                    let what = format!("the value has {} bytes, and its entry says {}", value.len(), header.value_len);
                    self.finding(VALUES, key_bytes, what);
                }
                true
            }
        }
    }

    fn value_is_there(&mut self, key: &[u8], stored: &[u8]) {
        let (Ok(name), Ok(Record { header, inline: None })) = (Key::from_bytes(key), Record::decode(stored)) else { return };
        let Some(values) = self.family(VALUES) else { return };
        // A value that can't be read was reported.
        if let Ok(None) = self.db.get_pinned_cf_opt(values, value_key(&name, header.revision), &read_options()) {
            let what = format!("its value of {} bytes, revision {}, is missing", header.value_len, header.revision);
            self.finding(ENTRIES, Some(key), what);
        }
    }
}

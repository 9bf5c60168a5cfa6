//! The index by expiry: each of its records names an entry as it is, and no entry that expires is missing from it.

use kvstore_types::Key;

use super::{Check, Owner, read_options};
use crate::rocks::layout::{ENTRIES, EXPIRY, Record, expiry_key, parse_expiry_key};

impl Check<'_> {
    pub(super) fn expiry(&mut self) {
        let mut owned = 0;
        self.walk(EXPIRY, &mut |check, key, value| owned += u64::from(check.indexed(key, value)));
        if owned < self.expiring {
            self.walk_again(ENTRIES, &mut |check, key, stored| check.is_indexed(key, stored));
        }
    }

    /// Whether the record names an entry as it is.
    fn indexed(&mut self, stored_key: &[u8], value: &[u8]) -> bool {
        let (at, revision, key) = match parse_expiry_key(stored_key) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.finding(EXPIRY, Some(stored_key), format!("its key is not that of an expiry: {error}"));
                return false;
            }
        };
        if !value.is_empty() {
            self.finding(EXPIRY, Some(key.as_bytes()), format!("the record holds {} bytes and should be empty", value.len()));
        }
        match self.owner(&key) {
            Owner::Unknown => false,
            Owner::Found(header) if header.revision == revision && header.expires_at == Some(at) => true,
            Owner::Found(header) => {
                let what = format!(
                    "the index has revision {revision}, expiring at {}; the entry has revision {} and {}",
                    at.as_micros(),
                    header.revision,
                    header.expires_at.map_or("does not expire".to_owned(), |at| format!("expires at {}", at.as_micros()))
                );
                self.finding(EXPIRY, Some(key.as_bytes()), what);
                false
            }
            Owner::Absent => {
                self.finding(EXPIRY, Some(key.as_bytes()), format!("the index names an entry of revision {revision} that is not there"));
                false
            }
        }
    }

    fn is_indexed(&mut self, key: &[u8], stored: &[u8]) {
        let (Ok(name), Ok(Record { header, .. })) = (Key::from_bytes(key), Record::decode(stored)) else { return };
        let (Some(at), Some(index)) = (header.expires_at, self.family(EXPIRY)) else { return };
        if let Ok(None) = self.db.get_pinned_cf_opt(index, expiry_key(&name, header.revision, at), &read_options()) {
            let what = format!("it expires at {}, and the index by expiry does not name it", at.as_micros());
            self.finding(ENTRIES, Some(key), what);
        }
    }
}

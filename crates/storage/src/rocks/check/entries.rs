//! Entries: their keys, their records, and that no state is one that the store could not have written.

use kvstore_types::Key;

use super::Check;
use crate::rocks::layout::{ENTRIES, Placement, Record};

impl Check<'_> {
    pub(super) fn entries(&mut self) {
        self.walk(ENTRIES, &mut |check, key, stored| check.entry(key, stored));
    }

    fn entry(&mut self, key: &[u8], stored: &[u8]) {
        if let Err(error) = Key::from_bytes(key) {
            self.finding(ENTRIES, Some(key), error.to_string());
        }
        let Record { header, inline } = match Record::decode(stored) {
            Ok(record) => record,
            Err(error) => return self.finding(ENTRIES, Some(key), error.to_string()),
        };
        self.check_revision(ENTRIES, key, header.revision);
        let placement = if inline.is_some() { Placement::Inline } else { Placement::Apart };
        if placement != Placement::of(header.value_len) {
            let what = format!("its value of {} bytes does not lie where one of that length does", header.value_len);
            self.finding(ENTRIES, Some(key), what);
        }
        if header.version == 0 {
            self.finding(ENTRIES, Some(key), "it has version 0; versions begin at 1");
        }
        let in_order = header.created_at <= header.updated_at && header.updated_at <= self.limit.stamp;
        if !in_order || header.expires_at.is_some_and(|at| at <= header.updated_at) {
            let (created, updated, last) = (header.created_at.as_micros(), header.updated_at.as_micros(), self.limit.stamp.as_micros());
            let expires = header.expires_at.map_or(String::new(), |at| format!(", expires at {}", at.as_micros()));
            let what =
                format!("its times can't be: created at {created}, updated at {updated}{expires}, and the store's last stamp is {last}");
            self.finding(ENTRIES, Some(key), what);
        }
        self.apart += u64::from(placement == Placement::Apart);
        self.expiring += u64::from(header.expires_at.is_some());
    }
}

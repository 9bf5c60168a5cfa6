//! Idempotency records and their queue: each record is queued for its end, and what is queued has a record.

use kvstore_types::{IdempotencyKey, IdempotencyRecord};

use super::{Check, read_options};
use crate::rocks::{
    layout::REQUESTS,
    requests::{QUEUE, RECORD, parse_queue_key, queue_key, record_key},
};

impl Check<'_> {
    pub(super) fn requests(&mut self) {
        self.walk(REQUESTS, &mut |check, key, value| match key.split_first() {
            Some((&RECORD, name)) => check.request(key, name, value),
            Some((&QUEUE, rest)) => check.queued(key, rest, value),
            _ => check.finding(REQUESTS, Some(key), "this version knows no such record"),
        });
    }

    fn request(&mut self, key: &[u8], name: &[u8], stored: &[u8]) {
        let name = std::str::from_utf8(name).ok().filter(|name| IdempotencyKey::new(name).is_ok());
        let Some(name) = name else {
            return self.finding(REQUESTS, Some(key), "its key is not an idempotency key");
        };
        let record = match IdempotencyRecord::decode(stored) {
            Ok(record) => record,
            Err(error) => return self.finding(REQUESTS, Some(key), error.to_string()),
        };
        self.check_revision(REQUESTS, key, record.revision);
        if record.stamp > self.limit.stamp {
            let (stamp, last) = (record.stamp.as_micros(), self.limit.stamp.as_micros());
            self.finding(REQUESTS, Some(key), format!("it has stamp {stamp}, and the store's last is {last}"));
        }
        let Some(requests) = self.family(REQUESTS) else { return };
        if let Ok(None) = self.db.get_pinned_cf_opt(requests, queue_key(record.stamp, name), &read_options()) {
            self.finding(REQUESTS, Some(key), "it is not queued for its end, so it would be kept for ever");
        }
    }

    fn queued(&mut self, key: &[u8], rest: &[u8], value: &[u8]) {
        let Some((stamp, name)) = parse_queue_key(rest) else {
            return self.finding(REQUESTS, Some(key), "its key is not that of the queue");
        };
        if !value.is_empty() {
            self.finding(REQUESTS, Some(key), format!("the record holds {} bytes and should be empty", value.len()));
        }
        let Some(requests) = self.family(REQUESTS) else { return };
        // One that can't be read was reported.
        let Ok(stored) = self.db.get_pinned_cf_opt(requests, record_key(name), &read_options()) else { return };
        match stored.map(|stored| IdempotencyRecord::decode(&stored)) {
            None => self.finding(REQUESTS, Some(key), "the queue names a record that is not there"),
            // A key that was used again after its record had ended has a later one.
            Some(Ok(record)) if record.stamp < stamp => {
                self.finding(REQUESTS, Some(key), "the queue names a record that is not there; the key has an earlier one");
            }
            Some(_) => {}
        }
    }
}

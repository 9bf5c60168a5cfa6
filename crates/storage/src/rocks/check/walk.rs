//! Reading every record of a family. Where a table is damaged, reading goes on with the next one that starts later: what lies beside
//! the damage in other tables is passed over with it.

use rocksdb::DBRawIterator;

use super::{Check, read_options};

/// What is done with a record.
type Visit<'v, 'a> = &'v mut dyn FnMut(&mut Check<'a>, &[u8], &[u8]);

impl<'a> Check<'a> {
    /// Visits each record in order, counts it, and reports what can't be read.
    pub(super) fn walk(&mut self, family: &'static str, visit: Visit<'_, 'a>) {
        let mut damage = Vec::new();
        self.each(family, &mut damage, &mut |check, key, value| {
            check.checked.items += 1;
            check.checked.bytes += (key.len() + value.len()) as u64;
            check.progress.items = check.checked.items;
            check.progress.bytes = check.checked.bytes;
            check.observer.progress(check.progress);
            visit(check, key, value);
        });
        for (after, what) in damage {
            let key = after.as_deref().filter(|after| !after.is_empty());
            let where_to = if key.is_some() { "records after this one can't be read" } else { "its first records can't be read" };
            self.finding(family, key, format!("{where_to}: {what}"));
        }
    }

    /// Visits each record again: it was counted, and what can't be read was reported.
    pub(super) fn walk_again(&mut self, family: &'static str, visit: Visit<'_, 'a>) {
        self.each(family, &mut Vec::new(), visit);
    }

    fn each(&mut self, family: &'static str, damage: &mut Vec<(Option<Vec<u8>>, String)>, visit: Visit<'_, 'a>) {
        let starts = self.starts(family);
        let Some(mut records) = self.iterator(family) else { return };
        records.seek_to_first();
        let mut last: Option<Vec<u8>> = None;
        loop {
            while let Some((key, value)) = records.item() {
                visit(self, key, value);
                let last = last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(key);
                records.next();
            }
            let Err(error) = records.status() else { return };
            damage.push((last.clone(), error.to_string()));
            // A table that starts later holds records that can be read still.
            let Some(next) = starts.iter().find(|start| last.as_ref().is_none_or(|last| *start > last)) else { return };
            let is_first = last.is_none() && starts.first() == Some(next);
            let next = if is_first { starts.get(1) } else { Some(next) };
            let Some(next) = next else { return };
            last = Some(next.clone());
            records.seek(next);
        }
    }

    pub(super) fn iterator(&self, family: &'static str) -> Option<DBRawIterator<'a>> {
        let mut options = read_options();
        // Each record is met once: what look-ups need should stay in memory.
        options.fill_cache(false);
        options.set_readahead_size(2 << 20);
        Some(self.db.raw_iterator_cf_opt(self.family(family)?, options))
    }

    /// The first keys of the family's tables, in order, each once.
    fn starts(&self, family: &str) -> Vec<Vec<u8>> {
        let tables = self.db.live_files().unwrap_or_default().into_iter();
        let mut starts: Vec<_> = tables.filter(|table| table.column_family_name == family).filter_map(|table| table.start_key).collect();
        starts.sort();
        starts.dedup();
        starts
    }
}

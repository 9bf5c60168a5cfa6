//! `Frame`: how progress looks on a terminal. One line, whatever its width: what matters least is left out where there is no room.

use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, HumanDuration};

use super::progress::{Amount, Total};

/// The width of a terminal that does not tell it.
const COLUMNS_DEFAULT: usize = 80;
const BAR_COLUMNS_MIN: usize = 6;
const BAR_COLUMNS_MAX: usize = 30;
const GAP: &str = "  ";

/// Columns of the terminal that progress is shown on.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS_DEFAULT)
}

/// A moment of a long verb.
pub(super) struct Frame {
    /// What is counted beside bytes.
    pub(super) items: Option<&'static str>,
    pub(super) amount: Amount,
    pub(super) items_per_second: u64,
    pub(super) bytes_per_second: u64,
    pub(super) total: Total,
    pub(super) took: Duration,
    pub(super) seconds_left: Option<u64>,
}

impl Frame {
    /// One line of less than so many columns: a line that fills the last one makes some terminals begin another.
    pub(super) fn line(&self, columns: usize) -> String {
        let room = columns.saturating_sub(1);
        let mut parts = self.parts();
        let share = self.total.done(self.amount).map(|(done, all)| if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) });
        let least = if share.is_some() { BAR_COLUMNS_MIN + GAP.len() } else { 0 };
        while parts.len() > 1 && width(&parts) + least > room {
            let leaves = parts.iter().enumerate().min_by_key(|(_, part)| part.worth).map_or(0, |(at, _)| at);
            parts.remove(leaves);
        }
        let text = parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(GAP);
        let line = match share {
            Some(share) if text.chars().count() + least <= room => {
                let columns = (room - text.chars().count() - GAP.len()).min(BAR_COLUMNS_MAX);
                let full = ((columns as f64 * share) as usize).min(columns);
                format!("{}{}{GAP}{text}", "█".repeat(full), "░".repeat(columns - full))
            }
            _ => text,
        };
        line.chars().take(room).collect()
    }

    /// What there is to say, in its order.
    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut push = |worth, text| parts.push(Part { worth, text });
        let (bytes, done) = (HumanBytes(self.amount.bytes), self.total.done(self.amount));
        if let Some((done, all)) = done {
            let percent = if all == 0 { 100 } else { (u128::from(done) * 100 / u128::from(all)).min(100) };
            push(6, format!("{percent:>3} %"));
        }
        match (&self.total, done) {
            (Total::Bytes(all), _) => push(4, format!("{bytes}/{}", HumanBytes(*all))),
            (Total::Keys { .. }, Some((done, all))) => push(4, format!("{}/{} keys", HumanCount(done), HumanCount(all))),
            (Total::Items(_), Some((done, all))) => {
                push(4, format!("{}/{} {}", HumanCount(done), HumanCount(all), self.items.unwrap_or("items")));
                push(2, bytes.to_string());
            }
            _ => push(4, bytes.to_string()),
        }
        if !matches!(self.total, Total::Keys { .. } | Total::Items(_)) {
            push(if self.items.is_some() { 1 } else { 3 }, format!("{}/s", HumanBytes(self.bytes_per_second)));
        }
        if let Some(items) = self.items {
            if !matches!(self.total, Total::Items(_)) {
                push(3, format!("{} {items}", HumanCount(self.amount.entries)));
            }
            push(2, format!("{}/s", HumanCount(self.items_per_second)));
        }
        match (done, self.seconds_left) {
            (Some(_), Some(left)) => push(5, format!("{:#} left", HumanDuration(Duration::from_secs(left)))),
            (Some(_), None) => push(5, "? left".to_owned()),
            (None, _) => push(5, format!("{:#}", HumanDuration(self.took))),
        }
        parts
    }
}

struct Part {
    /// Of the parts that don't fit, those that are worth least are left out.
    worth: u8,
    text: String,
}

fn width(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.text.chars().count()).sum::<usize>() + parts.len().saturating_sub(1) * GAP.len()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU64};

    use super::*;

    fn frames(scale: u64) -> Vec<Frame> {
        let totals = [
            Total::Bytes(scale * 999),
            Total::Keys { about: scale, seen: Arc::new(AtomicU64::new(scale / 2)) },
            Total::Items(scale + 1),
            Total::Unknown,
            Total::Bytes(0),
        ];
        let frame = |total, items| Frame {
            items,
            amount: Amount { entries: scale, bytes: scale * 500 },
            items_per_second: scale,
            bytes_per_second: scale * 100,
            total,
            took: Duration::from_secs(scale),
            seconds_left: Some(scale),
        };
        totals.into_iter().flat_map(|total| [frame(total.clone(), Some("entries")), frame(total, None)]).collect()
    }

    /// An import's line took 101 columns, a check's 97: on a terminal of 80 each frame began a new line.
    #[test]
    fn no_frame_is_wider_than_its_terminal() {
        for columns in 1..=160 {
            for scale in [0, 1, 999, 1_000_000, 10_u64.pow(12)] {
                for frame in frames(scale) {
                    let line = frame.line(columns);
                    assert!(line.chars().count() < columns.max(1), "{columns} columns: {line}");
                }
            }
        }
    }

    #[test]
    fn what_matters_most_stays_where_there_is_little_room() {
        let frame = |columns| frames(1_000_000).remove(0).line(columns);
        assert_eq!(frame(32), "███████░░░░░░░░   50 %  2w left");
        assert_eq!(frame(80), "████░░░░   50 %  476.84 MiB/952.72 MiB  1,000,000 entries  1,000,000/s  2w left");
        let wide = "   50 %  476.84 MiB/952.72 MiB  95.37 MiB/s  1,000,000 entries  1,000,000/s  2w left";
        assert_eq!(frame(160), format!("{}{}{wide}", "█".repeat(15), "░".repeat(15)));
    }
}

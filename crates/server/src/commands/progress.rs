//! How far a long verb is, on stderr: a bar for a person (`frame.rs` says how it looks), a line of JSON a second for a program, and
//! nothing where nobody looks.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{
    frame,
    output::{escape_json, harmless},
};

/// Between two lines for a program.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Between two frames for a person.
const FRAME_EVERY: Duration = Duration::from_millis(100);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shown {
    /// A bar on a terminal, nothing otherwise
    Auto,
    /// A line of JSON per second on stderr
    Json,
    /// Nothing
    None,
}

/// What was moved so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    /// Entries, or whatever [`Items`] says.
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// What is counted beside bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    Entries,
    Records,
    Nothing,
}

impl Items {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Entries => Some("entries"),
            Self::Records => Some("records"),
            Self::Nothing => None,
        }
    }
}

/// How much there is to move, as far as that is known: the time left is told from it.
#[derive(Debug, Clone)]
pub(super) enum Total {
    Bytes(u64),
    /// As many keys as the source counted when it was asked, and how many of them were looked at.
    Keys {
        about: u64,
        seen: Arc<AtomicU64>,
    },
    /// As many items.
    Items(u64),
    Unknown,
}

impl Total {
    /// How many bytes, keys or items are done, and how many there are.
    pub(super) fn done(&self, amount: Amount) -> Option<(u64, u64)> {
        match self {
            Self::Bytes(bytes) => Some((amount.bytes, *bytes)),
            // The source may have grown, or have given a key twice.
            Self::Keys { about, seen } => Some((seen.load(Ordering::Relaxed).min(*about), *about)),
            Self::Items(items) => Some((amount.entries, (*items).max(amount.entries))),
            Self::Unknown => None,
        }
    }
}

/// A transfer's progress.
pub(super) struct Progress {
    teller: Teller,
    items: Items,
    total: Total,
    started: Instant,
    /// What was there when it started: a transfer that is resumed does not begin at nothing, but its rate does.
    before: Amount,
    last_line: Instant,
    last_frame: Option<Instant>,
}

/// A line for a program. What it does not count it does not name.
#[derive(Serialize)]
struct Line<'a> {
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_total: Option<u64>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records_per_second: Option<u64>,
    bytes_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

impl Progress {
    pub(super) fn start(shown: Shown, items: Items, total: Total, before: Amount) -> Self {
        let bar = if shown == Shown::Auto && io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        if !bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        // The form is a constant: should it not parse, the plain bar is shown. A terminal that got narrower cuts the line off.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { teller: Teller { shown, bar }, items, total, started: now, before, last_line: now, last_frame: None }
    }

    /// How much there is was found out, or turned out to be something else.
    pub(super) fn set_total(&mut self, total: Total) {
        self.total = total;
    }

    /// What came before is done, and something else begins.
    pub(super) fn begin(&mut self, items: Items, total: Total) {
        (self.items, self.total) = (items, total);
        (self.started, self.before) = (Instant::now(), Amount::default());
    }

    /// Takes note of what was moved. To be called at least once a second, and as often as one likes.
    pub(super) fn at(&mut self, amount: Amount) {
        if !self.teller.bar.is_hidden() && self.last_frame.is_none_or(|last| last.elapsed() >= FRAME_EVERY) {
            self.last_frame = Some(Instant::now());
            let frame = self.frame(amount).line(frame::columns());
            self.teller.bar.set_message(frame);
        }
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.line("progress", amount);
        }
    }

    fn frame(&self, amount: Amount) -> frame::Frame {
        let took = self.started.elapsed();
        frame::Frame {
            items: self.items.name(),
            amount,
            items_per_second: per_second(amount.entries.saturating_sub(self.before.entries), took),
            bytes_per_second: per_second(amount.bytes.saturating_sub(self.before.bytes), took),
            total: self.total.clone(),
            took,
            seconds_left: self.seconds_left(amount, took),
        }
    }

    /// The end, well or not.
    pub(super) fn end(&mut self, amount: Amount) {
        self.teller.bar.finish_and_clear();
        self.line("end", amount);
    }

    /// Who says other things beside the progress.
    pub(super) fn teller(&self) -> Teller {
        self.teller.clone()
    }

    fn line(&self, event: &str, amount: Amount) {
        if self.teller.shown != Shown::Json {
            return;
        }
        let frame = self.frame(amount);
        let done = self.total.done(amount);
        let (keys, keys_total) = if let Total::Keys { .. } = self.total { done.unzip() } else { (None, None) };
        let counted = |items: Items, number: u64| (self.items == items).then_some(number);
        self.teller.json(&Line {
            event,
            entries: counted(Items::Entries, amount.entries),
            records: counted(Items::Records, amount.entries),
            bytes: amount.bytes,
            bytes_total: if let Total::Bytes(bytes) = self.total { Some(bytes) } else { None },
            keys,
            keys_total,
            records_total: if let (Items::Records, Total::Items(_)) = (self.items, &self.total) { done.map(|(_, all)| all) } else { None },
            seconds: (frame.took.as_secs_f64() * 1000.0).round() / 1000.0,
            entries_per_second: counted(Items::Entries, frame.items_per_second),
            records_per_second: counted(Items::Records, frame.items_per_second),
            bytes_per_second: frame.bytes_per_second,
            seconds_left: frame.seconds_left,
        });
    }

    /// At the rate so far; nothing where no total is known, or nothing was moved yet.
    fn seconds_left(&self, amount: Amount, took: Duration) -> Option<u64> {
        let (done, all) = self.total.done(amount)?;
        let before = match self.total {
            Total::Bytes(_) => self.before.bytes,
            Total::Items(_) => self.before.entries,
            Total::Keys { .. } | Total::Unknown => 0,
        };
        let rate = per_second(done.saturating_sub(before), took);
        (rate > 0).then(|| all.saturating_sub(done).div_ceil(rate))
    }
}

fn per_second(amount: u64, took: Duration) -> u64 {
    (amount as f64 / took.as_secs_f64().max(0.001)) as u64
}

/// Says things on stderr without breaking the bar, and as JSON to a program.
#[derive(Clone)]
pub(super) struct Teller {
    shown: Shown,
    bar: ProgressBar,
}

#[derive(Serialize)]
struct Message<'a> {
    event: &'a str,
    text: &'a str,
}

impl Teller {
    pub(super) fn say(&self, text: &str) {
        if self.shown == Shown::Json {
            self.json(&Message { event: "message", text });
        } else {
            // Nothing is left to do if stderr is closed.
            self.bar.suspend(|| drop(writeln!(io::stderr(), "{}", harmless(text))));
        }
    }

    /// Does something on the terminal while the bar is away.
    pub(super) fn suspend<T>(&self, what: impl FnOnce() -> T) -> T {
        self.bar.suspend(what)
    }

    fn json(&self, line: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(line) {
            let _ = io::stderr().write_all((escape_json(&text) + "\n").as_bytes());
        }
    }
}

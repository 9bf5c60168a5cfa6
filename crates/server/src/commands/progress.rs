//! How far a transfer is, on stderr: a bar for a person, a line of JSON a second for a program, and nothing where nobody looks.

use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::output::{escape_json, harmless};

/// Between two lines for a program.
const LINE_EVERY: Duration = Duration::from_secs(1);

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
    pub(super) entries: u64,
    pub(super) bytes: u64,
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
    Unknown,
}

impl Total {
    /// How many bytes or keys are done, and how many there are.
    fn done(&self, amount: Amount) -> Option<(u64, u64)> {
        match self {
            Self::Bytes(bytes) => Some((amount.bytes, *bytes)),
            // The source may have grown, or have given a key twice.
            Self::Keys { about, seen } => Some((seen.load(Ordering::Relaxed).min(*about), *about)),
            Self::Unknown => None,
        }
    }

    const fn form(&self) -> &'static str {
        match self {
            Self::Bytes(_) => "{bar:24} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {msg}  {eta} left",
            Self::Keys { .. } => "{bar:24} {percent:>3} %  {human_pos}/{human_len} keys  {msg}  {eta} left",
            Self::Unknown => "{spinner} {bytes}  {bytes_per_sec}  {msg}  {elapsed}",
        }
    }
}

/// A transfer's progress.
pub(super) struct Progress {
    teller: Teller,
    total: Total,
    started: Instant,
    /// What was there when it started: a transfer that is resumed does not begin at nothing, but its rate does.
    before: Amount,
    last_line: Instant,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'a str,
    entries: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_total: Option<u64>,
    seconds: f64,
    entries_per_second: u64,
    bytes_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

impl Progress {
    pub(super) fn start(shown: Shown, total: Total, before: Amount) -> Self {
        let done = total.done(before);
        let bar = match (shown, done) {
            (Shown::Auto, Some((_, all))) if io::stderr().is_terminal() => ProgressBar::new(all),
            (Shown::Auto, None) if io::stderr().is_terminal() => ProgressBar::no_length(),
            _ => ProgressBar::hidden(),
        };
        if !bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        // The form is a constant: should it not parse, the plain bar is shown.
        if let Ok(style) = ProgressStyle::with_template(total.form()) {
            bar.set_style(style);
        }
        bar.set_position(done.map_or(before.bytes, |(done, _)| done));
        bar.reset_eta();
        let now = Instant::now();
        Self { teller: Teller { shown, bar }, total, started: now, before, last_line: now }
    }

    /// Takes note of what was moved. To be called at least once a second.
    pub(super) fn at(&mut self, amount: Amount) {
        let rate = per_second(amount.entries - self.before.entries, self.started.elapsed());
        self.teller.bar.set_message(format!("{} entries  {}/s", HumanCount(amount.entries), HumanCount(rate)));
        self.teller.bar.set_position(self.total.done(amount).map_or(amount.bytes, |(done, _)| done));
        if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.line("progress", amount);
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
        let took = self.started.elapsed();
        let bytes_per_second = per_second(amount.bytes.saturating_sub(self.before.bytes), took);
        let (keys, keys_total) = match &self.total {
            Total::Keys { .. } => self.total.done(amount).unzip(),
            _ => (None, None),
        };
        self.teller.json(&Line {
            event,
            entries: amount.entries,
            bytes: amount.bytes,
            bytes_total: if let Total::Bytes(bytes) = self.total { Some(bytes) } else { None },
            keys,
            keys_total,
            seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            entries_per_second: per_second(amount.entries.saturating_sub(self.before.entries), took),
            bytes_per_second,
            seconds_left: self.seconds_left(amount, took),
        });
    }

    /// At the rate so far; nothing where no total is known, or nothing was moved yet.
    fn seconds_left(&self, amount: Amount, took: Duration) -> Option<u64> {
        let (done, all) = self.total.done(amount)?;
        let before = if let Total::Bytes(_) = self.total { self.before.bytes } else { 0 };
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

    fn json(&self, line: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(line) {
            let _ = io::stderr().write_all((escape_json(&text) + "\n").as_bytes());
        }
    }
}

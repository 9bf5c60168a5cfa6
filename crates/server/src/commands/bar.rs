//! How far a long verb is: a bar on a terminal, nothing elsewhere.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of bytes, hidden where nobody looks. Without a length it counts.
pub(super) fn bytes(total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    show(&bar, total.is_some());
    bar
}

/// A bar of items whose number is known about, hidden where nobody looks. Its message is how many bytes they had.
pub(super) fn items() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {percent:>3} %  {human_pos}/{human_len} records  {msg}  {per_sec}  {eta} left")
    {
        bar.set_style(style);
    }
    bar
}

/// Gives a bar its length, once it is known.
pub(super) fn set_total(bar: &ProgressBar, total: u64) {
    bar.set_length(total);
    show(bar, true);
}

fn show(bar: &ProgressBar, has_length: bool) {
    let form = if has_length {
        "{bar:30} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}"
    } else {
        "{spinner} {bytes}  {bytes_per_sec}  {msg}"
    };
    // The form is a constant: should it not parse, the plain bar is shown.
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
}

/// A bar of records that are `doing` something, hidden where nobody looks.
pub(super) fn counted(total: u64, doing: &'static str) -> ProgressBar {
    let bar = items();
    if let Ok(style) = ProgressStyle::with_template("{msg}  {bar:30} {percent:>3} %  {human_pos}/{human_len} records") {
        bar.set_style(style);
    }
    bar.set_length(total);
    bar.set_message(doing);
    bar
}

/// A bar whose message says it all, hidden where nobody looks.
pub(super) fn message() -> ProgressBar {
    let bar = items();
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    bar
}

//! Bars of `bench`, whose lines say other things than those of a transfer: on a terminal, nothing elsewhere.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of this form, hidden where nobody looks.
fn of(form: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // The forms are constants: should one not parse, the plain bar is shown.
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar
}

/// A bar of records that are `doing` something, hidden where nobody looks.
pub(super) fn counted(total: u64, doing: &'static str) -> ProgressBar {
    let bar = of("{msg}  {wide_bar} {percent:>3} %  {human_pos}/{human_len} records ");
    bar.set_length(total);
    bar.set_message(doing);
    bar
}

/// A bar whose message says it all, hidden where nobody looks.
pub(super) fn message() -> ProgressBar {
    of("{wide_bar} {percent:>3} %  {msg} ")
}

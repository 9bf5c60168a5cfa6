//! The clock: stamps and expiry follow it. Safety does not.

use std::process::Command;

use kvstore_storage::{Clock, SystemClock};

use super::Diagnosis;

const CHECK: &str = "clock";
/// 2026-01-01: this program did not exist before.
const EARLIEST_MICROS: i64 = 1_767_225_600_000_000;
/// 2100-01-01.
const LATEST_MICROS: i64 = 4_102_444_800_000_000;

pub(super) fn look() -> Diagnosis {
    let now = SystemClock::default().now().as_micros();
    judge(now, synchronised())
}

fn judge(now_micros: i64, synchronised: Option<bool>) -> Diagnosis {
    if !(EARLIEST_MICROS..LATEST_MICROS).contains(&now_micros) {
        let detail = format!("it says that {} seconds have passed since 1970, which can't be", now_micros / 1_000_000);
        return Diagnosis::problem(CHECK, detail, "set it: stamps never go back, so a wrong one stays in the data");
    }
    match synchronised {
        Some(true) => Diagnosis::ok(CHECK, "it is plausible, and is kept right over the network"),
        Some(false) => Diagnosis::warning(
            CHECK,
            "it is plausible, and nothing keeps it right",
            "switch on time synchronisation (`timedatectl set-ntp true`, or chrony): expiry follows this clock",
        ),
        None => Diagnosis::ok(CHECK, "it is plausible; whether something keeps it right can't be told here"),
    }
}

/// What the system's time service says; `None` where there is none to ask.
fn synchronised() -> Option<bool> {
    let output = Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]).output().ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn a_clock_before_this_program_or_far_after_it_is_a_problem() {
        assert_eq!(judge(0, Some(true)).level, Level::Problem);
        assert_eq!(judge(EARLIEST_MICROS - 1, None).level, Level::Problem);
        assert_eq!(judge(LATEST_MICROS, None).level, Level::Problem);
        assert_eq!(judge(EARLIEST_MICROS, None).level, Level::Ok);
        assert_eq!(judge(EARLIEST_MICROS, Some(false)).level, Level::Warning);
        assert_ne!(look().level, Level::Problem, "the clock of this machine");
    }
}

//! The scripts that run inside Redis, each as one step that nothing comes between.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// Under which key the instance lies.
pub(super) const INSTANCE_KEY: &str = "kvi";

pub(super) static ATTACH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/attach.lua")));
pub(super) static MARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/mark.lua")));
pub(super) static UNMARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/unmark.lua")));
pub(super) static TOKEN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/token.lua")));
pub(super) static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fill.lua")));

/// All but the one that is run once per connection.
pub(super) fn used_often() -> [&'static Script; 4] {
    [&MARK, &UNMARK, &TOKEN, &FILL]
}

/// A call of a script that the connection's start has loaded; its keys and arguments follow. Where the script is gone, the answer
/// is an error, the connection is given up, and the next one loads it again.
pub(super) fn call(script: &Script, keys: usize) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys);
    command
}

/// What a script says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It did what it is for.
    Done,
    /// It may not: a mark stands, a token is gone, or it came too late.
    Refused,
    /// The data is not the one that the connection began with: it was flushed or replaced.
    OtherInstance,
}

impl Answer {
    pub(super) const fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Done,
            0 => Self::Refused,
            _ => Self::OtherInstance,
        }
    }
}

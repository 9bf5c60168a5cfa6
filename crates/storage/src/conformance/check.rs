//! How a case ends: what stops it, and the two checks that all cases are made of.

/// What stops a case before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The store does not do what the case expects.
    Failed(String),
    /// The store kept what its capabilities leave of the case: the case ends here, and well.
    Weaker(&'static str),
    /// The backend can't do what the case needs, such as being opened again.
    Skipped(&'static str),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(format!("unexpected error: {error}"))
    }
}

/// Values can be megabytes: a message shows where two differ only as far as a person would read.
pub(super) fn brief(value: &impl std::fmt::Debug) -> String {
    const SHOWN: usize = 600;
    let text = format!("{value:?}");
    if text.len() <= SHOWN { text } else { format!("{}... ({} bytes)", text.chars().take(SHOWN).collect::<String>(), text.len()) }
}

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Stop::Failed(format!($($message)+)));
        }
    };
}

// A match, since its operands live to its end.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($message:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) if *found == *expected => {}
            (found, expected) => {
                return Err($crate::conformance::Stop::Failed(format!(
                    "{}: found {}, expected {}",
                    format_args!($($message)+),
                    $crate::conformance::check::brief(found),
                    $crate::conformance::check::brief(expected),
                )));
            }
        }
    };
}

/// The table of a module's cases: each is a function of its own name.
macro_rules! cases {
    ($($name:ident: [$($clause:literal),+]),+ $(,)?) => {
        pub(super) const CASES: &[$crate::conformance::Case] = &[
            $($crate::conformance::Case { name: stringify!($name), clauses: &[$($clause),+], run: |bed| Box::pin($name(bed)) }),+
        ];
    };
}

pub(super) use {cases, ensure, ensure_eq};

//! What is going on, on stderr: stdout is for results.

/// Prints one line.
macro_rules! progress {
    ($($part:tt)*) => { eprintln!("  {}", format_args!($($part)*)) };
}

pub(crate) use progress;

//! The servers start, survive what tests do to them, and leave nothing behind.

mod servers;

//! Links break as they are told. The servers start, survive what tests do to them, and leave nothing behind.

mod proxy;
mod servers;

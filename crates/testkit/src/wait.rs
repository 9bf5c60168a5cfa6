//! Waiting for a condition, with a deadline; and ports that nobody listens on.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(5);

/// Asks until the condition holds.
///
/// # Errors
/// It does not within `limit`, or asking fails.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("{what}: not within {limit:?}");
        }
        std::thread::park_timeout(POLL);
    }
    Ok(())
}

/// Ports below those that Linux gives to outgoing connections. A client that keeps trying one of those while its server is down may
/// be connected to itself, and then holds the port.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port on loopback that nothing listens on now. It stays free for its server also while that one is down.
///
/// # Errors
/// All are in use.
pub fn free_port() -> Result<u16> {
    free_ports(1)
}

/// The first of so many ports in a row, of the same kind.
///
/// # Errors
/// There are not so many.
pub fn free_ports(count: u16) -> Result<u16> {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    // Processes that ask at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(193);
    for _ in PORTS {
        let place = begin.wrapping_add(GIVEN.fetch_add(u32::from(count), Ordering::Relaxed)) % u32::from(PORTS.end - PORTS.start);
        let first = PORTS.start + u16::try_from(place)?;
        if first + count <= PORTS.end && (first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return Ok(first);
        }
    }
    bail!("there are no {count} free ports in a row from {} to {}", PORTS.start, PORTS.end)
}

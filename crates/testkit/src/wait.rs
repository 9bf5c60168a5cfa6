//! Waiting for a condition, with a deadline; and ports that nobody listens on.

use std::{
    net::{Ipv4Addr, TcpListener},
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

/// A port on loopback that nothing listens on now.
///
/// # Errors
/// The system gives none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

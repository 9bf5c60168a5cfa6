//! The banner: what a person needs to know of a server that has just started, with a command that works as it stands.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// What the banner tells.
pub(crate) struct Banner<'a> {
    pub(crate) address: SocketAddr,
    /// Where the data is.
    pub(crate) data: &'a str,
    pub(crate) memory_mb: u64,
    pub(crate) needs_token: bool,
}

impl Banner<'_> {
    pub(crate) fn text(&self) -> String {
        let root = format!("http://{}", reachable(self.address));
        let token = if self.needs_token { " -H \"Authorization: Bearer $KVSTORE_TOKEN\"" } else { "" };
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = writeln!(text, "kvstore {} is serving", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "  API      {root}/kv-store/v1/");
        let _ = writeln!(text, "  docs     {root}/   schema {root}/kv-store/schema/");
        let _ = writeln!(text, "  health   {root}/kv-store/v1/health/   metrics {root}/metrics");
        let _ = writeln!(text, "  data     {} (memory budget {} MiB)", self.data, self.memory_mb);
        let _ = writeln!(
            text,
            "  try      curl -X PUT {root}/kv-store/v1/kv/hello/{token} -H 'Content-Type: application/json' -d '{{\"value\": \"world\"}}'"
        );
        let _ = writeln!(text, "  stop     Ctrl-C");
        text
    }
}

/// The address that reaches the listener from this machine: nobody connects to 0.0.0.0.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

//! Which hosts a request may be addressed to. A page of another site that a browser was made to send here by DNS rebinding names
//! its own host, so a foreign name is refused (421).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, Version, header};

use crate::{
    errors::{Kind, Problem},
    options::ApiOptions,
};

/// The hosts that this server answers for.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// Names in lower case, some with a port.
    names: Vec<String>,
    /// The server listens on every address of the machine, so that any address may be its own. An address can't be rebound.
    any_address: bool,
}

impl Hosts {
    pub(crate) fn new(options: &ApiOptions) -> Self {
        let listen = options.listen.ip();
        let own = if listen.is_ipv6() { format!("[{listen}]") } else { listen.to_string() };
        let node = options.node_url.parse::<Uri>().ok().and_then(|url| url.authority().map(|authority| authority.host().to_owned()));
        let names = options.allowed_hosts.iter().cloned().chain([own]).chain(node);
        Self { names: names.map(|name| name.trim().to_ascii_lowercase()).collect(), any_address: listen.is_unspecified() }
    }

    /// Checks `Host` and the target's authority.
    ///
    /// # Errors
    /// 400 where HTTP/1.1 has no or two hosts, 421 where it is foreign.
    pub(crate) fn check(&self, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let mut hosts = headers.get_all(header::HOST).into_iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Problem::new(Kind::BadRequest, "The request has two Host headers.").close());
        }
        match host {
            None if version >= Version::HTTP_11 => return Err(Problem::new(Kind::BadRequest, "The request has no Host header.").close()),
            None => {}
            Some(host) => self.check_one(host.to_str().unwrap_or_default())?,
        }
        uri.authority().map_or(Ok(()), |authority| self.check_one(authority.as_str()))
    }

    fn check_one(&self, host: &str) -> Result<(), Problem> {
        if self.admits(host) {
            return Ok(());
        }
        let detail = "The Host header names a host that this server does not answer for; allow it with KVSTORE_ALLOWED_HOSTS.";
        Err(Problem::new(Kind::WrongHost, detail).close())
    }

    fn admits(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let address = address(name);
        if name.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback() || self.any_address) {
            return true;
        }
        self.names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name) || allowed.eq_ignore_ascii_case(host))
    }
}

/// The host less its port; `None` where it is malformed.
fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at_checked(end)?;
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (!name.is_empty() && port_fits).then_some(name)
}

fn address(name: &str) -> Option<IpAddr> {
    match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None if name.starts_with(|first: char| first.is_ascii_digit()) => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_hosts_are_refused() {
        let hosts = Hosts::new(&ApiOptions {
            allowed_hosts: vec!["kv.example".into(), "other.example:81".into()],
            listen: ([10, 0, 0, 1], 8000).into(),
            ..ApiOptions::default()
        });
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.9.9.9", "[::1]:80", "10.0.0.1", "KV.example:9", "other.example:81"]
        {
            assert!(hosts.admits(host), "{host} is ours");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "10.0.0.2",
            "other.example:82",
            "[::1",
            "localhost:x",
            "a@localhost",
        ] {
            assert!(!hosts.admits(host), "{host} is foreign");
        }
    }
}

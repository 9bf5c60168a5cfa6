//! `PgBouncer`: a pooler before a PostgreSQL of the tests.

use std::{fs, net::TcpStream, path::PathBuf, time::Duration};

use anyhow::{Result, bail};

use crate::{
    guard::Guarded,
    postgres::{as_user, give_to_user},
    wait::{free_port, wait_until},
};

const START_MAX: Duration = Duration::from_secs(30);

/// When a client gives its server connection back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// With its own connection.
    Session,
    /// After each transaction.
    Transaction,
}

/// A running pooler. Whoever connects is the superuser.
#[derive(Debug)]
pub struct PgBouncer {
    _server: Guarded,
    port: u16,
}

impl PgBouncer {
    /// Starts one before the PostgreSQL on this port of loopback, with so many connections to each database at most.
    ///
    /// # Errors
    /// PgBouncer is not installed or does not start.
    pub fn start(postgres: u16, mode: PoolMode, connections: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kvstore-pgbouncer-").tempdir()?.keep();
        let port = free_port()?;
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={postgres} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {connections}\nmax_client_conn = 1000\nserver_round_robin = 1\nserver_idle_timeout = 5\n"
        );
        let file = folder.join("pgbouncer.ini");
        fs::write(&file, settings)?;
        give_to_user(&folder)?;
        let log = folder.join("log");
        let command: Vec<_> = as_user()?.into_iter().chain([binary()?.display().to_string(), file.display().to_string()]).collect();
        let server = Guarded::start(&command, "INT", &folder, &log)?;
        let mut up = false;
        wait_until("an answer of PgBouncer", START_MAX, || {
            up = TcpStream::connect(("127.0.0.1", port)).is_ok();
            Ok(up || server.has_ended())
        })?;
        if !up {
            bail!("PgBouncer does not start: {}", fs::read_to_string(log).unwrap_or_default().trim());
        }
        Ok(Self { _server: server, port })
    }

    /// The same database by way of the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

fn binary() -> Result<PathBuf> {
    let paths = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(PathBuf::from);
    let Some(path) = paths.into_iter().find(|path| path.exists()) else {
        bail!("PgBouncer is missing: scripts/install-deps.sh test installs it")
    };
    Ok(path)
}

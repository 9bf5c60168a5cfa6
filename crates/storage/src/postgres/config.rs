//! What a store over PostgreSQL needs to know.

use std::{str::FromStr, time::Duration};

use kvstore_types::limits::{
    DATABASE_ARRIVAL_MS_MAX, DATABASE_CONNECTIONS_MAX_DEFAULT, DATABASE_WRITE_MS_MAX, IDEMPOTENCY_BYTES_MAX, RECLAIM_INTERVAL_MS,
};
use tokio_postgres::{Config, config::TargetSessionAttrs};

use super::{address::Address, pooling::Pooling, schema::Migrate, target::Target};
use crate::OpenError;

/// How long a server that says nothing, not even that it is gone, may hold a connection attempt to one of its addresses.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where the database is, and how it is used.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    pub(super) target: Target,
    /// Connections that this node holds at most.
    pub connections: usize,
    /// Whether a pooler stands before the database, and how it works.
    pub pooling: Pooling,
    /// Whether missing tables are made.
    pub migrate: Migrate,
    /// How often expired entries are looked for; `None` for never.
    pub reclaim_every: Option<Duration>,
    /// Bytes of idempotency records that are kept at most; the oldest go first.
    pub idempotency_bytes: u64,
    /// How long a write is tried.
    pub write_max: Duration,
    /// How long after the snapshot that it rests on a write may reach the database.
    pub arrival_max: Duration,
}

/// The parts of an address, where it is not given as a URL.
#[derive(Debug, Clone, Default)]
pub struct DatabaseParts {
    /// The host's name or address, or the folder of its socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// What is asked of TLS: `disable`, `prefer` (where this is `None`), `require`, `verify-ca` or `verify-full`.
    pub sslmode: Option<String>,
    /// A file with the certificates of trusted authorities, or `system`.
    pub sslrootcert: Option<String>,
}

impl PostgresConfig {
    /// From a URL (`postgres://user:password@host:port/database`) or a list of `name=value`, as libpq takes them; `sslmode` and
    /// `sslrootcert` too, where `sslmode=prefer` is the default.
    ///
    /// # Errors
    /// It does not parse, or the certificates can't be read. The error does not repeat it: it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        let address = Address::parse(url);
        let parsed = Config::from_str(&address.rest).map_err(|error| {
            let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            OpenError::Database(format!("the URL of the database can't be read: {reason}"))
        })?;
        if parsed.get_hosts().is_empty() && parsed.get_hostaddrs().is_empty() {
            return Err(OpenError::Database("the URL of the database names no host".into()));
        }
        Self::new(parsed, address.mode.as_deref(), address.roots.as_deref())
    }

    /// From its parts.
    ///
    /// # Errors
    /// `sslmode` is no mode, or the certificates can't be read.
    pub fn from_parts(parts: &DatabaseParts) -> Result<Self, OpenError> {
        let mut database = Config::new();
        database.host(&parts.host).port(parts.port).user(&parts.user).dbname(&parts.database);
        if let Some(password) = &parts.password {
            database.password(password);
        }
        Self::new(database, parts.sslmode.as_deref(), parts.sslrootcert.as_deref())
    }

    /// Where the database is, for people: without role and password.
    #[must_use]
    pub fn place(&self) -> String {
        use tokio_postgres::config::Host;
        let host = match self.target.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => self.target.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let port = self.target.config.get_ports().first().copied().unwrap_or(5432);
        let user = self.target.config.get_user().unwrap_or_default();
        format!("{host}:{port}/{}", self.target.config.get_dbname().unwrap_or(user))
    }

    fn new(mut database: Config, mode: Option<&str>, roots: Option<&str>) -> Result<Self, OpenError> {
        database.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if database.get_application_name().is_none() {
            database.application_name("kvstore");
        }
        if database.get_connect_timeout().is_none() {
            database.connect_timeout(CONNECT_MAX);
        }
        Ok(Self {
            target: Target::new(database, mode, roots).map_err(OpenError::Database)?,
            connections: DATABASE_CONNECTIONS_MAX_DEFAULT,
            pooling: Pooling::Session,
            migrate: Migrate::Run,
            reclaim_every: Some(Duration::from_millis(RECLAIM_INTERVAL_MS)),
            idempotency_bytes: IDEMPOTENCY_BYTES_MAX,
            write_max: Duration::from_millis(DATABASE_WRITE_MS_MAX),
            arrival_max: Duration::from_millis(DATABASE_ARRIVAL_MS_MAX),
        })
    }
}

//! Settings: what the operator gave, from flags, the environment, a file and the defaults, in this order of weight. The one
//! place where the environment of a server is read; past it, settings are plain values that were checked.

mod database;
mod origin;

pub(crate) use origin::{Explained, explain};

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use kvstore_storage::{CacheConfig, CacheMode};
use kvstore_types::limits;
use serde::{Deserialize, Serialize};

/// What can be given as a flag or in the environment. The names in a file are those of the fields.
#[derive(Debug, Default, Args, Serialize)]
pub(crate) struct Given {
    /// A TOML file with settings; its names are those of the flags, with underscores
    #[arg(long, env = "KVSTORE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,

    /// The address to listen on; port 0 takes a free one [default: 127.0.0.1:8000]
    #[arg(long, env = "KVSTORE_LISTEN", value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,

    /// Where the data lies; it is made if it is not there [default: ./kvstore-data]
    #[arg(long, env = "KVSTORE_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,

    /// The data tier: `embedded`, or `postgres` [default: embedded]
    #[arg(long, env = "KVSTORE_STORAGE", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<String>,

    /// Redis, as a cache before PostgreSQL: `redis://[user:password@]host:port[/database]` [default: no cache]
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_url: Option<String>,

    /// How a cached entry becomes an answer: `validate` checks its revision first, `fenced` need not [default: validate]
    #[arg(long, env = "KVSTORE_CACHE", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,

    /// With `postgres`: where the database is, as postgres://user:password@host:port/database
    #[arg(long, env = "KVSTORE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,

    /// Connections to the database that this node holds at most [default: 16]
    #[arg(long, env = "KVSTORE_DATABASE_CONNECTIONS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_connections: Option<usize>,

    /// Whether a start makes missing tables: `run`, or `check` to refuse and leave it to `kvstore migrate` [default: run]
    #[arg(long, env = "KVSTORE_MIGRATE", value_name = "WORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    migrate: Option<String>,

    /// In place of a URL: the host of the database [default: 127.0.0.1]
    #[arg(long, env = "POSTGRES_HOST", value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_host: Option<String>,

    /// Its port [default: 5432]
    #[arg(long, env = "POSTGRES_PORT", value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_port: Option<u16>,

    /// The role [default: postgres]
    #[arg(long, env = "POSTGRES_USER", value_name = "ROLE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_user: Option<String>,

    /// Its password; better given in the environment than as a flag, which others can see
    #[arg(long, env = "POSTGRES_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_password: Option<String>,

    /// The database [default: the role's name]
    #[arg(long, env = "POSTGRES_DB", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_db: Option<String>,

    /// The memory budget of caches, write buffers and requests in flight, in MiB [default: 512]
    #[arg(long, env = "KVSTORE_MEMORY_MB", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mb: Option<u64>,

    /// Bytes of a value, at most [default: 16777216]
    #[arg(long, env = "KVSTORE_MAX_VALUE_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_value_bytes: Option<usize>,

    /// Bytes of a request body, at most [default: 67108864]
    #[arg(long, env = "KVSTORE_MAX_BODY_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_body_bytes: Option<usize>,

    /// Connections held at one time [default: 10000]
    #[arg(long, env = "KVSTORE_MAX_CONNECTIONS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_connections: Option<usize>,

    /// Below this much free disk space, in MiB, puts are refused [default: 256]
    #[arg(long, env = "KVSTORE_FREE_SPACE_FLOOR_MB", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    free_space_floor_mb: Option<u64>,

    /// How long a shutdown waits for requests under way, in milliseconds [default: 10000]
    #[arg(long, env = "KVSTORE_DRAIN_MS", value_name = "MS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    drain_ms: Option<u64>,

    /// The bearer token that each request must carry; better given in the environment than as a flag, which others can see
    #[arg(long, env = "KVSTORE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,

    /// Listen off loopback without a token: everyone who reaches the port can read and write everything
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_no_auth: bool,

    /// Names that the Host header may have besides loopback and the listen address, with commas between
    #[arg(long, env = "KVSTORE_ALLOWED_HOSTS", value_name = "NAMES", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_hosts: Option<Vec<String>>,

    /// Origins whose pages may call the API (CORS), with commas between [default: none]
    #[arg(long, env = "KVSTORE_CORS_ORIGINS", value_name = "ORIGINS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    cors_origins: Option<Vec<String>>,

    /// The URL under which others reach this node, with the base path [default: `http://LISTEN/kv-store/v1`]
    #[arg(long, env = "KVSTORE_NODE_URL", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    node_url: Option<String>,

    /// What is logged: error, warn, info, debug or trace, or target=level pairs [default: info]
    #[arg(long, env = "KVSTORE_LOG", value_name = "LEVEL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

/// The data tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Storage {
    Embedded,
    Postgres,
}

/// What a start does about missing tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Migrate {
    Run,
    Check,
}

/// The settings in force.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    redis_url: Option<String>,
    cache: String,
    pub(crate) storage: Storage,
    pub(crate) database_url: Option<String>,
    pub(crate) database_connections: usize,
    pub(crate) migrate: Migrate,
    pub(crate) postgres_host: Option<String>,
    pub(crate) postgres_port: Option<u16>,
    pub(crate) postgres_user: Option<String>,
    pub(crate) postgres_password: Option<String>,
    pub(crate) postgres_db: Option<String>,
    pub(crate) memory_mb: u64,
    pub(crate) max_value_bytes: usize,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) free_space_floor_mb: u64,
    pub(crate) drain_ms: u64,
    pub(crate) token: Option<String>,
    insecure_no_auth: bool,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) cors_origins: Vec<String>,
    pub(crate) node_url: Option<String>,
    pub(crate) log: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            data_dir: "./kvstore-data".into(),
            redis_url: None,
            cache: CacheMode::default().as_str().into(),
            storage: Storage::Embedded,
            database_url: None,
            database_connections: limits::DATABASE_CONNECTIONS_MAX_DEFAULT,
            migrate: Migrate::Run,
            postgres_host: None,
            postgres_port: None,
            postgres_user: None,
            postgres_password: None,
            postgres_db: None,
            memory_mb: limits::MEMORY_MB_DEFAULT,
            max_value_bytes: limits::VALUE_BYTES_MAX_DEFAULT,
            max_body_bytes: limits::BODY_BYTES_MAX_DEFAULT,
            max_connections: limits::CONNECTIONS_MAX_DEFAULT,
            free_space_floor_mb: limits::FREE_SPACE_FLOOR_BYTES_DEFAULT >> 20,
            drain_ms: limits::DRAIN_MS_MAX_DEFAULT,
            token: None,
            insecure_no_auth: false,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            node_url: None,
            log: "info".into(),
        }
    }
}

impl Settings {
    /// Puts the sources together and checks the result.
    ///
    /// # Errors
    /// Says which setting can't be used, and what to give instead.
    pub(crate) fn resolve(given: &Given) -> anyhow::Result<Self> {
        let mut sources = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = &given.config {
            ensure!(Path::new(file).is_file(), "the settings file {} is not there, or is not a file", file.display());
            sources = sources.merge(Toml::file_exact(file));
        }
        let settings: Self = sources
            .merge(Serialized::defaults(given))
            .extract()
            .context("the settings can't be used; `kvstore serve --help` lists them")?;
        settings.check()?;
        Ok(settings)
    }

    /// The cache that was asked for. An empty URL is none: that is how a variable is taken back in many places.
    pub(crate) fn cache(&self) -> Option<CacheConfig> {
        let url = self.redis_url.as_ref().filter(|url| !url.is_empty())?;
        let mode = self.cache.parse().unwrap_or_default();
        Some(CacheConfig { mode, ..CacheConfig::new(url) })
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.cache.parse::<CacheMode>().is_ok(),
            "cache is {:?}; give --cache (KVSTORE_CACHE) as `validate` or `fenced`",
            self.cache
        );
        self.check_database()?;
        let least = limits::MEMORY_MB_MIN;
        ensure!(self.memory_mb >= least, "memory_mb is {}; give at least {least}", self.memory_mb);
        ensure!(self.memory_mb <= 1 << 30, "memory_mb is {}, which no machine has; it is counted in MiB", self.memory_mb);
        ensure!(self.max_value_bytes > 0, "max_value_bytes is 0; give at least 1");
        ensure!(
            self.max_body_bytes >= self.max_value_bytes,
            "max_body_bytes is {}, less than max_value_bytes ({}): no value of that size could be sent",
            self.max_body_bytes,
            self.max_value_bytes
        );
        ensure!(self.max_connections > 0, "max_connections is 0; give at least 1");
        ensure!(self.free_space_floor_mb <= 1 << 30, "free_space_floor_mb is {}; it is counted in MiB", self.free_space_floor_mb);
        if let Some(token) = &self.token {
            ensure!(
                !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()),
                "the token (KVSTORE_TOKEN) must be visible ASCII characters without spaces, and at least one"
            );
        }
        if !self.listen.ip().is_loopback() && self.token.is_none() && !self.insecure_no_auth {
            bail!(
                "listening on {} lets other machines read and write without a token; set KVSTORE_TOKEN, \
                 or listen on 127.0.0.1, or say --insecure-no-auth if the network is trusted",
                self.listen
            );
        }
        Ok(())
    }
}

/// Names that the deployments to come take. Serving on as if they were not there would be a surprise.
const NOT_YET: &[(&str, &str)] = &[("REPLICA_NODES", "several nodes"), ("KVSTORE_CLUSTER_SECRET", "several nodes")];

/// Variables with our prefix that `kvstore serve` or a client command reads.
const KNOWN: &[&str] = &[
    "KVSTORE_CONFIG",
    "KVSTORE_LISTEN",
    "KVSTORE_DATA_DIR",
    "KVSTORE_STORAGE",
    "KVSTORE_CACHE",
    "KVSTORE_DATABASE_URL",
    "KVSTORE_DATABASE_CONNECTIONS",
    "KVSTORE_MIGRATE",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "KVSTORE_MEMORY_MB",
    "KVSTORE_MAX_VALUE_BYTES",
    "KVSTORE_MAX_BODY_BYTES",
    "KVSTORE_MAX_CONNECTIONS",
    "KVSTORE_FREE_SPACE_FLOOR_MB",
    "KVSTORE_DRAIN_MS",
    "KVSTORE_TOKEN",
    "KVSTORE_ALLOWED_HOSTS",
    "KVSTORE_CORS_ORIGINS",
    "KVSTORE_NODE_URL",
    "KVSTORE_LOG",
    "KVSTORE_URL",
];

/// Looks through the environment for names that would be passed over.
///
/// # Errors
/// A variable asks for what this version does not have.
pub(crate) fn check_environment() -> anyhow::Result<Vec<String>> {
    for (name, needs) in NOT_YET {
        ensure!(
            std::env::var_os(name).is_none_or(|value| value.is_empty()),
            "{name} is set, and this version does not serve with {needs}; unset it to serve one node with embedded storage"
        );
    }
    let unknown = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("KVSTORE_") && !KNOWN.contains(&name.as_str()));
    // A warning and no error: orchestrators set names such as KVSTORE_SERVICE_HOST by themselves.
    Ok(unknown.collect())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_variable_of_a_flag_is_known() {
        let command = crate::commands::Cli::command();
        let serve = command.find_subcommand("serve").expect("serve is a command");
        for argument in serve.get_arguments() {
            if let Some(name) = argument.get_env() {
                let name = name.to_str().expect("a name in ASCII");
                assert!(KNOWN.contains(&name) || !name.starts_with("KVSTORE_"), "{name} would be reported as unknown");
            }
        }
    }

    #[test]
    fn defaults_can_be_used() {
        let settings = Settings::resolve(&Given::default()).expect("the defaults hold");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8000");
    }
}

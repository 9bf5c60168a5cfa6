//! Settings: what the operator gave, from flags, the environment, a file and the defaults, in this order of weight. The one
//! place where the environment of a server is read; past it, settings are plain values that were checked.

mod database;
mod environment;
mod given;
mod nodes;
mod origin;

pub(crate) use self::{
    environment::{check_environment, is_emptied},
    given::Given,
    origin::{Explained, explain},
};

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use figment::{
    Figment,
    providers::{Format, Serialized, Toml},
};
use kvstore_storage::{CacheConfig, CacheMode, Pooling};
use kvstore_types::limits;
use serde::{Deserialize, Serialize};

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
    redis_ca_file: Option<PathBuf>,
    cache: String,
    pub(crate) storage: Storage,
    pub(crate) database_url: Option<String>,
    pub(crate) database_connections: usize,
    database_pooling: String,
    pub(crate) migrate: Migrate,
    pub(crate) postgres_host: Option<String>,
    pub(crate) postgres_port: Option<u16>,
    pub(crate) postgres_user: Option<String>,
    pub(crate) postgres_password: Option<String>,
    pub(crate) postgres_db: Option<String>,
    pub(crate) postgres_sslmode: Option<String>,
    pub(crate) postgres_sslrootcert: Option<String>,
    replica_nodes: Option<String>,
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
            redis_ca_file: None,
            cache: CacheMode::default().as_str().into(),
            storage: Storage::Embedded,
            database_url: None,
            database_connections: limits::DATABASE_CONNECTIONS_MAX_DEFAULT,
            database_pooling: Pooling::default().as_str().into(),
            migrate: Migrate::Run,
            postgres_host: None,
            postgres_port: None,
            postgres_user: None,
            postgres_password: None,
            postgres_db: None,
            postgres_sslmode: None,
            postgres_sslrootcert: None,
            replica_nodes: None,
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
        Some(CacheConfig { mode, ca_file: self.redis_ca_file.clone(), ..CacheConfig::new(url) })
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.cache.parse::<CacheMode>().is_ok(),
            "cache is {:?}; give --cache (KVSTORE_CACHE) as `validate` or `fenced`",
            self.cache
        );
        self.check_database()?;
        self.other_nodes()?;
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{environment::KNOWN, *};

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

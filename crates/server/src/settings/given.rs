//! What the operator can say: the flags and their variables. Nothing is checked here.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::Serialize;

/// What can be given as a flag or in the environment. The names in a file are those of the fields.
#[derive(Debug, Default, Args, Serialize)]
pub(crate) struct Given {
    /// A TOML file with settings; its names are those of the flags, with underscores
    #[arg(long, env = "KVSTORE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(super) config: Option<PathBuf>,

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

    /// Redis, as a cache before PostgreSQL: `redis://[user:password@]host:port[/database]`, or `rediss://` with TLS [default: no cache]
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_url: Option<String>,

    /// With `rediss://`: a PEM file with the certificates of the authorities that are trusted [default: those of the machine]
    #[arg(long, env = "KVSTORE_REDIS_CA_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_ca_file: Option<PathBuf>,

    /// How a cached entry becomes an answer: `validate` checks its revision first, `fenced` need not [default: validate]
    #[arg(long, env = "KVSTORE_CACHE", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,

    /// With `postgres`: where the database is, as postgres://user:password@host:port/database?sslmode=verify-full
    #[arg(long, env = "KVSTORE_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_url: Option<String>,

    /// Connections to the database that this node holds at most [default: 16]
    #[arg(long, env = "KVSTORE_DATABASE_CONNECTIONS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_connections: Option<usize>,

    /// `transaction` behind a pooler (PgBouncer) in transaction mode [default: session]
    #[arg(long, env = "KVSTORE_DATABASE_POOLING", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    database_pooling: Option<String>,

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

    /// What is asked of TLS: disable, prefer, require, verify-ca or verify-full [default: prefer]
    #[arg(long, env = "POSTGRES_SSLMODE", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_sslmode: Option<String>,

    /// A PEM file with the certificates of the authorities that are trusted, or `system` [default: system]
    #[arg(long, env = "POSTGRES_SSLROOTCERT", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres_sslrootcert: Option<String>,

    /// With `postgres`: the other nodes on the database, which health tells of: host:port or URLs with commas between, or a JSON
    /// array of {"url": ...}
    #[arg(long, env = "REPLICA_NODES", value_name = "NODES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    replica_nodes: Option<String>,

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

//! Variables that are set and would be passed over.

use anyhow::ensure;

/// Names that the deployments to come take. Serving on as if they were not there would be a surprise.
const NOT_YET: &[&str] = &["KVSTORE_CLUSTER_SECRET"];

/// Variables with our prefix that `kvstore serve` or a client command reads.
pub(super) const KNOWN: &[&str] = &[
    "KVSTORE_CONFIG",
    "KVSTORE_LISTEN",
    "KVSTORE_DATA_DIR",
    "KVSTORE_STORAGE",
    "KVSTORE_CACHE",
    "KVSTORE_REDIS_CA_FILE",
    "KVSTORE_DATABASE_URL",
    "KVSTORE_DATABASE_CONNECTIONS",
    "KVSTORE_DATABASE_POOLING",
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

/// Whether a variable is set to nothing.
pub(crate) fn is_emptied(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Looks through the environment for names that would be passed over.
///
/// # Errors
/// A variable asks for what this version does not have.
pub(crate) fn check_environment() -> anyhow::Result<Vec<String>> {
    for name in NOT_YET {
        ensure!(std::env::var_os(name).is_none_or(|value| value.is_empty()), "{}", several_nodes(name));
    }
    let unknown = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with("KVSTORE_") && !KNOWN.contains(&name.as_str()));
    // A warning and no error: orchestrators set names such as KVSTORE_SERVICE_HOST by themselves.
    Ok(unknown.collect())
}

/// What is said of a setting that asks for several nodes with embedded storage.
pub(super) fn several_nodes(name: &str) -> String {
    format!("{name} is set, and this version does not serve with several nodes; unset it to serve one node with embedded storage")
}

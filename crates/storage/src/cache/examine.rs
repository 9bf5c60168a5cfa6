//! What a Redis says of itself, for people who look for what is wrong. Nothing is changed.

use std::time::{Duration, Instant};

use redis::AsyncConnectionConfig;

use super::{
    config::CacheConfig,
    link::{LinkError, field},
    links::client,
};
use crate::OpenError;

/// Longer than a cache is waited for: whoever looks wants to know how slow it is.
const ANSWER: Duration = Duration::from_secs(3);

/// How a Redis is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisFacts {
    /// Its version.
    pub version: String,
    /// `master`, or what it is instead.
    pub role: String,
    /// How much memory it may take, in bytes; 0 for any.
    pub memory_max: u64,
    /// How much it takes.
    pub memory_used: u64,
    /// What it does where it has no more.
    pub policy: String,
    /// How long a question took.
    pub took: Duration,
}

/// Connects and asks.
///
/// # Errors
/// The URL can't be used, or Redis can't be reached, refuses, or is none.
pub(crate) async fn examine(config: &CacheConfig) -> Result<RedisFacts, OpenError> {
    let client = client(config).map_err(OpenError::Cache)?;
    let connection = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
    let asked = async {
        let mut connection = client.get_multiplexed_async_connection_with_config(&connection).await?;
        let start = Instant::now();
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let took = start.elapsed();
        let number = |name| field(&info, name)?.parse::<u64>().map_err(|_| LinkError::NoInfo(name));
        Ok(RedisFacts {
            version: field(&info, "redis_version")?.to_owned(),
            role: field(&info, "role")?.to_owned(),
            memory_max: number("maxmemory")?,
            memory_used: number("used_memory")?,
            policy: field(&info, "maxmemory_policy")?.to_owned(),
            took,
        })
    };
    let answer: Result<RedisFacts, LinkError> = tokio::time::timeout(ANSWER * 2, asked).await.unwrap_or(Err(LinkError::Timeout));
    answer.map_err(|error| OpenError::Cache(error.to_string()))
}

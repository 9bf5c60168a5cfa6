//! `Link`: one connection to one run of one Redis, and the questions that are asked on it.
//!
//! A link never reconnects. Whoever meets an error gives the whole link up (`links.rs`), and a new one finds out what it has
//! reached. So all answers of a link come from one process, and what was true of its instance stays true.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use kvstore_types::{
    Key,
    limits::{CACHE_MEMORY_PERCENT_MAX, CACHE_TOKEN_MS},
};
use redis::{AsyncConnectionConfig, Client, RedisResult, Value, aio::MultiplexedConnection};

use super::{
    config::CacheMode,
    scripts::{self, Answer, INSTANCE_KEY},
};
use crate::{ticks::Ticks, tls};

/// Requests that wait to be written to the socket; more wait for their turn.
const PIPELINE: usize = 1_024;

/// A connection.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Which data it reaches. Empty where that does not matter.
    pub(super) instance: Arc<str>,
    /// Redis's own time in milliseconds, and when it was read.
    clock: (u64, Ticks),
    answer: Duration,
    roomy: AtomicBool,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{}", told(.0))]
    Redis(#[from] redis::RedisError),
    #[error("it gives no answer in time")]
    Timeout,
    #[error("it is a replica, which takes no writes")]
    Replica,
    #[error("its answer to INFO lacks {0}; is it Redis?")]
    NoInfo(&'static str),
    #[error("{}", super::REPLACED)]
    Replaced,
    #[error("its maxmemory-policy is {0}, which may drop marks; set it to noeviction, or use --cache validate")]
    Evicts(String),
}

/// An error of Redis. Of a certificate that is not taken it says what to give.
fn told(error: &redis::RedisError) -> String {
    match tls::fault(error) {
        Some(fault) => tls::told(fault, "Redis", "--redis-ca-file (KVSTORE_REDIS_CA_FILE)"),
        None => error.to_string(),
    }
}

impl Link {
    /// Connects, and looks at what it has reached.
    pub(super) async fn open(client: &Client, mode: CacheMode, answer: Duration, fresh: &str) -> Result<Self, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(answer))
            .set_response_timeout(Some(answer))
            .set_pipeline_buffer_size(PIPELINE);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        let clock = (seconds * 1_000 + micros / 1_000, Ticks::now());
        let link = Self { connection, instance: "".into(), clock, answer, roomy: AtomicBool::new(true) };
        match mode {
            CacheMode::Validate => {
                link.look(mode).await?;
                Ok(link)
            }
            CacheMode::Fenced => link.attach(fresh).await,
        }
    }

    /// Finds out which instance this is, and loads the scripts.
    async fn attach(self, fresh: &str) -> Result<Self, LinkError> {
        let run = self.look(CacheMode::Fenced).await?;
        let mut connection = self.connection.clone();
        for script in scripts::used_often() {
            script.load_async(&mut connection).await?;
        }
        let mut attach = scripts::ATTACH.key(INSTANCE_KEY);
        let instance: String = attach.arg(run).arg(fresh).invoke_async(&mut connection).await?;
        Ok(Self { instance: instance.into(), ..self })
    }

    /// Asks Redis how it is, and gives its run.
    pub(super) async fn look(&self, mode: CacheMode) -> Result<String, LinkError> {
        let info: String = redis::cmd("INFO").query_async(&mut self.connection.clone()).await?;
        let field = |name: &'static str| field(&info, name);
        let number = |name: &'static str| field(name)?.parse::<u64>().map_err(|_| LinkError::NoInfo(name));
        if field("role")? != "master" {
            return Err(LinkError::Replica);
        }
        let (limit, policy) = (number("maxmemory")?, field("maxmemory_policy")?);
        let evicts = limit > 0 && policy != "noeviction";
        if evicts && mode == CacheMode::Fenced {
            return Err(LinkError::Evicts(policy.to_owned()));
        }
        let full = number("used_memory")?.saturating_mul(100) > limit.saturating_mul(CACHE_MEMORY_PERCENT_MAX);
        self.roomy.store(limit == 0 || evicts || !full, Ordering::Relaxed);
        Ok(field("run_id")?.to_owned())
    }

    /// Asks whether the data is still the one that the link began with.
    pub(super) async fn check_instance(&self) -> Result<(), LinkError> {
        let instance: Option<String> = redis::cmd("GET").arg(INSTANCE_KEY).query_async(&mut self.connection.clone()).await?;
        if instance.as_deref() == Some(&*self.instance) { Ok(()) } else { Err(LinkError::Replaced) }
    }

    /// Whether there is room for more values.
    pub(super) fn is_roomy(&self) -> bool {
        self.roomy.load(Ordering::Relaxed)
    }

    /// What is cached under this key.
    pub(super) async fn get(&self, key: &Key) -> RedisResult<Option<Bytes>> {
        let mut get = redis::cmd("GET");
        get.arg(value_key(key));
        match self.connection.clone().send_packed_command(&get).await? {
            Value::BulkString(bytes) => Ok(Some(bytes.into())),
            Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(Some(Bytes::new())),
            Value::ServerError(error) => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// Sets a write's mark on keys.
    pub(super) async fn mark(&self, keys: &[Key], mark: &str, ttl: Duration) -> RedisResult<Answer> {
        let mut call = scripts::call(&scripts::MARK, keys.len() + 1);
        call.arg(INSTANCE_KEY);
        for key in keys {
            call.arg(value_key(key));
        }
        let too_late = self.clock.0 + millis(self.clock.1.elapsed()) + millis(self.answer);
        call.arg(&*self.instance).arg(mark).arg(millis(ttl)).arg(too_late);
        Ok(Answer::from_number(call.query_async(&mut self.connection.clone()).await?))
    }

    /// Asks for the right to fill a key.
    pub(super) async fn token(&self, key: &Key, token: &str) -> RedisResult<Answer> {
        let mut call = scripts::call(&scripts::TOKEN, 2);
        call.arg(INSTANCE_KEY).arg(value_key(key)).arg(&*self.instance).arg(token).arg(CACHE_TOKEN_MS);
        match call.query_async(&mut self.connection.clone()).await {
            Ok(number) => Ok(Answer::from_number(number)),
            Err(error) if is_out_of_memory(&error) => Ok(Answer::Refused),
            Err(error) => Err(error),
        }
    }

    /// Sends commands together; an error of one is not one of the others.
    pub(super) async fn send(&self, pipeline: &redis::Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        pipeline.query_async(&mut self.connection.clone()).await
    }
}

/// What an answer to INFO says of this.
pub(super) fn field<'a>(info: &'a str, name: &'static str) -> Result<&'a str, LinkError> {
    let found = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.map(str::trim).ok_or(LinkError::NoInfo(name))
}

/// Whether Redis refused since it has no memory left.
pub(super) fn is_out_of_memory(error: &redis::RedisError) -> bool {
    error.code() == Some("OOM")
}

/// The key in Redis under which a key's value lies.
pub(super) fn value_key(key: &Key) -> Vec<u8> {
    [b"kv:", key.as_bytes()].concat()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! A Redis for tests, and a way to talk to it past the cache.

use kvstore_testkit::Redis;
use redis::{FromRedisValue, aio::MultiplexedConnection};

pub(crate) fn start(arguments: &[&str]) -> Redis {
    Redis::start(arguments).expect("Redis starts")
}

/// A command from the side.
pub(crate) async fn ask<T: FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let mut connection = connect(redis).await;
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await.expect("an answer of Redis")
}

async fn connect(redis: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("a URL");
    client.get_multiplexed_async_connection().await.expect("a connection to Redis")
}

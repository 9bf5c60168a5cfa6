//! `--cache fenced`: hits without the authority, and none that is stale, whatever happens to Redis.

use std::{sync::Arc, time::Duration};

use kvstore_storage::{CacheMode::Fenced, CacheTimes, Clock};
use kvstore_testkit::{Redis, Signal};
use kvstore_types::{Consistency, Projection};

use super::{
    authority::MemoryAuthority,
    node::{Node, eventually, item, item_for, key, only_if_absent, times},
    redis::{ask, start},
};

async fn two_nodes(redis: &Redis) -> (Arc<MemoryAuthority>, Node, Node) {
    let authority = MemoryAuthority::new();
    let (one, other) = (Node::start(&authority, &redis.url(), Fenced), Node::start(&authority, &redis.url(), Fenced));
    one.becomes("on").await;
    other.becomes("on").await;
    (authority, one, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_asks_the_authority_nothing() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Fenced).await;
    node.put("k", "v").await;
    assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"));
    let (reads, checks) = (authority.reads(), authority.checks());
    assert_eq!(node.value("k").await.as_deref(), Some("v"));
    let header = node.store.read(&key("k"), Projection::Header, Consistency::Linearizable).await.expect("a read").expect("an entry");
    assert_eq!((header.value, header.header.value_len), (None, 1), "a header from the cache");
    assert_eq!((authority.reads(), authority.checks()), (reads, checks), "questions to the authority at two hits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_one_node_is_seen_by_a_read_of_the_other() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    for round in 0..50 {
        let value = format!("v{round}");
        one.put("k", &value).await;
        assert_eq!(other.value("k").await, Some(value.clone()), "right after the write");
        assert_eq!(other.warm(&authority, "k").await, Some(value), "from the cache");
    }
    assert_eq!(authority.epoch(), (2, true), "no write needed more than its mark");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_a_write_overtook_is_refused() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "old").await;
    eventually("no mark stands", async || ask::<u8>(&redis, &["EXISTS", "kvm:k"]).await == 0).await;
    authority.reads_wait.send_replace(true);
    let reads = authority.reads();
    let reader = tokio::spawn({
        let other = other.clone();
        async move { other.value("k").await }
    });
    eventually("the reader has its answer", async || authority.reads() > reads).await;
    one.put("k", "new").await;
    authority.reads_wait.send_replace(false);
    assert_eq!(reader.await.expect("a reader").as_deref(), Some("old"), "it began before the write");
    assert_eq!(other.value("k").await.as_deref(), Some("new"));
    assert_eq!(other.warm(&authority, "k").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_filled_in_while_a_write_is_under_way() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "old").await;
    other.warm(&authority, "k").await;
    authority.writes_wait.send_replace(true);
    let writer = tokio::spawn({
        let one = one.clone();
        async move { one.put("k", "new").await }
    });
    eventually("the mark stands", async || ask::<u8>(&redis, &["EXISTS", "kvm:k"]).await == 1).await;
    for _ in 0..20 {
        assert_eq!(other.value("k").await.as_deref(), Some("old"));
    }
    assert_eq!(ask::<u8>(&redis, &["EXISTS", "kv:k"]).await, 0, "values under a mark");
    authority.writes_wait.send_replace(false);
    writer.await.expect("a writer");
    assert_eq!(other.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_abandoned_keeps_its_key_from_being_cached() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "old").await;
    other.warm(&authority, "k").await;
    authority.writes_wait.send_replace(true);
    let writer = tokio::spawn({
        let one = one.clone();
        async move { one.put("k", "new").await }
    });
    eventually("the mark stands", async || ask::<u8>(&redis, &["EXISTS", "kvm:k"]).await == 1).await;
    writer.abort();
    assert!(writer.await.expect_err("it was aborted").is_cancelled());
    authority.writes_wait.send_replace(false);
    for _ in 0..20 {
        other.value("k").await;
    }
    assert_eq!(ask::<u8>(&redis, &["EXISTS", "kvm:k"]).await, 1, "nobody knows what became of the write");
    assert_eq!(ask::<u8>(&redis, &["EXISTS", "kv:k"]).await, 0, "so nothing is cached");
    one.put("other", "v").await;
    assert_eq!(other.warm(&authority, "other").await.as_deref(), Some("v"), "other keys are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_evicts() {
    let redis = start(&[]);
    let (authority, one, _) = two_nodes(&redis).await;
    one.put("k", "v").await;
    one.warm(&authority, "k").await;
    one.write(only_if_absent(item("k", "w"))).await.expect("an outcome");
    eventually("nothing is cached", async || ask::<u8>(&redis, &["EXISTS", "kv:k"]).await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_may_have_expired_is_asked_for() {
    let authority = MemoryAuthority::new();
    let redis = start(&[]);
    let margin = Duration::from_secs(30);
    let node = Node::with(&authority, &redis.url(), Fenced, CacheTimes { clock_margin: margin, ..times() });
    node.becomes("on").await;
    node.write(item_for("k", "v", 3_600)).await.expect("a put");
    assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"), "an hour is far off");
    node.write(item_for("k", "v", 20)).await.expect("a put");
    let now = authority.clock.now();
    for _ in 0..20 {
        let reads = authority.reads();
        assert_eq!(node.value("k").await.as_deref(), Some("v"));
        assert_eq!(authority.reads(), reads + 1, "20 seconds are within the margin");
    }
    assert_eq!(authority.clock.now(), now, "the clock of this test stands");
    authority.clock.advance(Duration::from_secs(21));
    assert_eq!(node.value("k").await, None);
}

/// Puts, and checks that the other node sees it, while Redis is broken in some way.
async fn work(one: &Node, other: &Node, rounds: usize, what: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let value = format!("{what} {round}");
        for (writer, reader) in [(one, other), (other, one)] {
            let begun = std::time::Instant::now();
            writer.put("k", &value).await;
            assert_eq!(reader.value("k").await.as_deref(), Some(&*value), "{what}");
            longest = longest.max(begun.elapsed());
        }
    }
    longest
}

const STALL: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread")]
async fn redis_killed_and_started_empty() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    work(&one, &other, 5, "before").await;
    redis.kill().expect("Redis ends");
    let stalled = work(&one, &other, 20, "without Redis").await;
    assert!(stalled < STALL, "the longest stall was {stalled:?}");
    assert_eq!(one.state(), "off");
    redis.start_again().expect("Redis starts");
    work(&one, &other, 20, "on the way back").await;
    one.becomes("on").await;
    other.becomes("on").await;
    work(&one, &other, 5, "after").await;
    let value = one.value("k").await;
    assert_eq!(one.warm(&authority, "k").await, value);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_started_again_with_old_data() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "old").await;
    assert_eq!(other.warm(&authority, "k").await.as_deref(), Some("old"));
    ask::<()>(&redis, &["SAVE"]).await;
    one.put("k", "new").await;
    redis.kill().expect("Redis ends");
    redis.start_again().expect("Redis starts");
    let old: Option<Vec<u8>> = ask(&redis, &["GET", "kv:k"]).await;
    assert!(old.is_some(), "Redis has the old entry again");
    for _ in 0..20 {
        assert_eq!(other.value("k").await.as_deref(), Some("new"));
        assert_eq!(one.value("k").await.as_deref(), Some("new"));
    }
    one.becomes("on").await;
    other.becomes("on").await;
    assert_eq!(other.warm(&authority, "k").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    for round in 0..5 {
        work(&one, &other, 3, "before a flush").await;
        ask::<()>(&redis, &["FLUSHALL"]).await;
        let stalled = work(&one, &other, 3, &format!("after flush {round}")).await;
        assert!(stalled < STALL, "the longest stall was {stalled:?}");
        one.becomes("on").await;
        other.becomes("on").await;
    }
    let value = one.value("k").await;
    assert_eq!(one.warm(&authority, "k").await, value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_only_readers_follow() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "v").await;
    one.warm(&authority, "k").await;
    ask::<()>(&redis, &["FLUSHALL"]).await;
    eventually("the flush is noticed", async || authority.epoch().0 > 2).await;
    for node in [&one, &other] {
        node.becomes("on").await;
        assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stopped_in_its_tracks() {
    let redis = start(&[]);
    let (_authority, one, other) = two_nodes(&redis).await;
    work(&one, &other, 5, "before").await;
    redis.signal(Signal::STOP).expect("a signal");
    let stalled = work(&one, &other, 20, "while Redis hangs").await;
    assert!(stalled < STALL, "the longest stall was {stalled:?}");
    redis.signal(Signal::CONT).expect("a signal");
    work(&one, &other, 20, "while Redis wakes").await;
    one.becomes("on").await;
    other.becomes("on").await;
    work(&one, &other, 5, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_out_of_memory() {
    let redis = start(&["--maxmemory", "100mb"]);
    let (authority, one, other) = two_nodes(&redis).await;
    work(&one, &other, 5, "before").await;
    one.put("cached", "v").await;
    one.warm(&authority, "cached").await;
    ask::<()>(&redis, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let stalled = work(&one, &other, 20, "without memory").await;
    assert!(stalled < STALL, "the longest stall was {stalled:?}");
    assert_eq!((one.state(), other.state()), ("on", "on"), "marks need no memory that is not there");
    let reads = authority.reads();
    assert_eq!(other.value("cached").await.as_deref(), Some("v"));
    assert_eq!(authority.reads(), reads, "what is cached is answered");
    assert_eq!(ask::<u8>(&redis, &["EXISTS", "kv:k"]).await, 0, "nothing more is cached");
    ask::<()>(&redis, &["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let value = one.value("k").await;
    assert_eq!(one.warm(&authority, "k").await, value);
    assert_eq!(authority.epoch(), (2, true), "the fence was never closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_refused() {
    let authority = MemoryAuthority::new();
    let redis = start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let node = Node::start(&authority, &redis.url(), Fenced);
    node.put("k", "v").await;
    assert_eq!(node.value("k").await.as_deref(), Some("v"));
    assert_eq!(node.state(), "off");
    ask::<()>(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    node.becomes("on").await;
    ask::<()>(&redis, &["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]).await;
    node.becomes("off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shuts_down_leaves_the_fence() {
    let redis = start(&[]);
    let (authority, one, other) = two_nodes(&redis).await;
    one.put("k", "v").await;
    assert_eq!(authority.nodes(), 2);
    other.store.shutdown().await.expect("a shutdown");
    assert_eq!(authority.nodes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ended_without_a_farewell_is_removed() {
    let authority = MemoryAuthority::new();
    let redis = start(&[]);
    let impatient = CacheTimes { lapse: Duration::from_secs(1), removal: Duration::from_secs(2), ..times() };
    let one = Node::with(&authority, &redis.url(), Fenced, impatient);
    one.becomes("on").await;
    let other = Node::with(&authority, &redis.url(), Fenced, impatient);
    other.becomes("on").await;
    drop(other);
    ask::<()>(&redis, &["FLUSHALL"]).await;
    one.put("k", "v").await;
    assert_eq!(one.warm(&authority, "k").await.as_deref(), Some("v"));
    assert_eq!(authority.nodes(), 1, "the other was removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_node_that_checks_nothing_is_vouched_for() {
    let redis = start(&[]);
    let (authority, one, _other) = two_nodes(&redis).await;
    let checks = Node::start(&authority, &redis.url(), kvstore_storage::CacheMode::Validate);
    one.put("k", "old").await;
    checks.put("k", "new").await;
    assert_eq!(one.value("k").await.as_deref(), Some("new"));
    one.becomes("closed").await;
}

//! `--cache validate`: what it saves, and what it never gets wrong.

use kvstore_storage::CacheMode::Validate;
use kvstore_types::{Consistency, Projection};

use super::{
    authority::MemoryAuthority,
    node::{Node, eventually, item_for, key},
    redis::{ask, start},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_reads_no_value_from_the_authority() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.put("k", "v").await;
    assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"));
    let (reads, checks) = (authority.reads(), authority.checks());
    assert_eq!(node.value("k").await.as_deref(), Some("v"));
    assert_eq!(authority.reads(), reads, "reads of values at a hit");
    assert_eq!(authority.checks(), checks + 1, "checks at a hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn absence_is_cached_and_ends_with_a_write_elsewhere() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let (one, other) = (Node::ready(&authority, &redis.url(), Validate).await, Node::ready(&authority, &redis.url(), Validate).await);
    assert_eq!(one.warm(&authority, "k").await, None);
    other.put("k", "new").await;
    assert_eq!(one.value("k").await.as_deref(), Some("new"), "the cached absence was checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_no_cache_heard_of_is_seen() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.put("k", "old").await;
    node.warm(&authority, "k").await;
    // Straight into the store, as a node without a cache would write.
    let direct = Node { store: authority.clone() };
    direct.put("k", "new").await;
    assert_eq!(node.value("k").await.as_deref(), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_entry_is_absent_though_it_is_cached() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.write(item_for("k", "v", 60)).await.expect("a put");
    node.warm(&authority, "k").await;
    authority.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(node.value("k").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_many_readers_share_queries() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    let names: Vec<_> = (0..200).map(|number| format!("k{number}")).collect();
    for name in &names {
        node.put(name, name).await;
        node.warm(&authority, name).await;
    }
    let (reads, checks) = (authority.reads(), authority.checks());
    let readers: Vec<_> = names
        .iter()
        .flat_map(|name| [name, name])
        .map(|name| {
            let (node, name) = (node.clone(), name.clone());
            tokio::spawn(async move { (node.value(&name).await, name) })
        })
        .collect();
    for reader in readers {
        let (value, name) = reader.await.expect("a reader");
        assert_eq!(value, Some(name));
    }
    assert_eq!(authority.reads(), reads, "reads of values");
    let queries = authority.checks() - checks;
    assert!(queries < 200, "400 readers at once took {queries} queries");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_left_in_redis_is_not_believed() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.put("k", "v").await;
    node.warm(&authority, "k").await;
    for foreign in [&["SET", "kv:k", ""][..], &["SET", "kv:k", "\u{1}garbage"], &["SET", "kv:k", "9"]] {
        ask::<()>(&redis, foreign).await;
        assert_eq!(node.value("k").await.as_deref(), Some("v"), "with {foreign:?}");
    }
    ask::<()>(&redis, &["DEL", "kv:k"]).await;
    ask::<()>(&redis, &["LPUSH", "kv:k", "a list"]).await;
    assert_eq!(node.value("k").await.as_deref(), Some("v"), "with a list under the key");
    assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"), "it is cached anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_another_store_count_for_nothing() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.put("a", "1").await;
    node.put("b", "2").await;
    node.warm(&authority, "a").await;
    // The payload of one key under the name of another: its checksum covers the key.
    ask::<()>(&redis, &["COPY", "kv:a", "kv:b", "REPLACE"]).await;
    assert_eq!(node.value("b").await.as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_read_from_the_authority() {
    let (authority, redis) = (MemoryAuthority::new(), start(&[]));
    let node = Node::ready(&authority, &redis.url(), Validate).await;
    node.put("k", "v").await;
    let header = node.store.read(&key("k"), Projection::Header, Consistency::Linearizable).await.expect("a read").expect("an entry");
    assert_eq!((header.value, header.header.value_len), (None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_may_come_late_and_go_and_come_back() {
    let authority = MemoryAuthority::new();
    let redis = start(&[]);
    redis.kill().expect("Redis ends");
    let node = Node::start(&authority, &redis.url(), Validate);
    node.put("k", "v").await;
    assert_eq!(node.value("k").await.as_deref(), Some("v"), "without Redis");
    assert_eq!(node.state(), "off");
    for _ in 0..2 {
        redis.start_again().expect("Redis starts");
        node.becomes("on").await;
        assert_eq!(node.warm(&authority, "k").await.as_deref(), Some("v"));
        redis.kill().expect("Redis ends");
        assert_eq!(node.value("k").await.as_deref(), Some("v"), "after Redis was killed");
        eventually("the cache is off", async || {
            assert_eq!(node.value("k").await.as_deref(), Some("v"));
            node.state() == "off"
        })
        .await;
    }
}

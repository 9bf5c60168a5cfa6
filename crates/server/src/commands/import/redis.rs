//! Redis as a source: SCAN from the first cursor to the last, strings with their times to live. Keys of other types are counted and
//! told, since this store has no such values.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use kvstore_types::Ttl;
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection, cmd, pipe};
use tokio::runtime::Runtime;

use super::{
    super::output,
    batcher::{Batcher, Becomes, Given},
    item::becomes,
};

/// Keys that are asked for at one time.
const SCAN_KEYS: usize = 1_000;
/// Bytes of values that are fetched at one time, unless one alone has more.
const FETCH_BYTES: u64 = 4 << 20;
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// A Redis that answered.
pub(super) struct Source {
    runtime: Runtime,
    connection: MultiplexedConnection,
    /// How many keys it has of every type; `None` where the user may not ask.
    pub(super) keys: Option<u64>,
    /// How many of them were looked at.
    pub(super) seen: Arc<AtomicU64>,
    /// Bytes of keys and values that were fetched.
    pub(super) read: Arc<AtomicU64>,
}

/// A string that is to be fetched.
struct Text {
    key: Vec<u8>,
    bytes: u64,
    /// As PTTL says it: -1 is none, -2 is a key that has gone.
    ttl_millis: i64,
}

impl Source {
    /// Connects, so that a wrong address is said before the work begins. Blocks; must not be called from async code.
    pub(super) fn connect(url: &str) -> anyhow::Result<Self> {
        let client = Client::open(url).context("the URL names no Redis; write it as redis://host:6379/0")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime can't be started")?;
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WAIT)).set_response_timeout(Some(ANSWER_WAIT));
        let connection = runtime.block_on(client.get_multiplexed_async_connection_with_config(&config));
        let mut connection = connection.context("can't reach the Redis; check the URL, its password and that it runs")?;
        // Only for showing how far it is: a user who may not ask for it can import as well.
        let keys = runtime.block_on(cmd("DBSIZE").query_async(&mut connection)).ok();
        Ok(Self { runtime, connection, keys, seen: Arc::default(), read: Arc::default() })
    }

    /// Gives every string to the batcher.
    pub(super) fn read(&mut self, batcher: &mut Batcher) -> anyhow::Result<()> {
        let mut others: BTreeMap<String, u64> = BTreeMap::new();
        let mut cursor = 0;
        let mut json = Vec::new();
        loop {
            let (next, keys) = self.scan(cursor)?;
            let scanned = keys.len();
            let mut texts = self.texts(keys, &mut others)?;
            self.seen.fetch_add((scanned - texts.len()) as u64, Ordering::Relaxed);
            while !texts.is_empty() {
                let rest = texts.split_off(group(&texts));
                for (text, value) in self.fetch(texts)? {
                    self.seen.fetch_add(1, Ordering::Relaxed);
                    self.read.fetch_add((text.key.len() + value.as_ref().map_or(0, Vec::len)) as u64, Ordering::Relaxed);
                    let becomes = match (value, ttl(text.ttl_millis)) {
                        (None, _) => Becomes::Nothing,
                        (Some(value), Ok(ttl)) => becomes(&text.key, &value, ttl, &mut json),
                        (Some(_), Err(reason)) => Becomes::Fault(reason),
                    };
                    let raw = if let Becomes::Item { json, .. } = &becomes { *json } else { b"?" };
                    batcher.take(Given { raw, becomes })?;
                }
                texts = rest;
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        for (kind, count) in others {
            batcher.note(format!("{} of type {kind} not imported: only strings are", output::counted(count, "key", "keys")))?;
        }
        Ok(())
    }

    fn scan(&mut self, cursor: u64) -> anyhow::Result<(u64, Vec<Vec<u8>>)> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(SCAN_KEYS);
        self.runtime.block_on(scan.query_async(&mut self.connection)).context(FAILED)
    }

    /// The strings among these keys; the others are counted by their types.
    fn texts(&mut self, keys: Vec<Vec<u8>>, others: &mut BTreeMap<String, u64>) -> anyhow::Result<Vec<Text>> {
        let mut types = pipe();
        for key in &keys {
            types.cmd("TYPE").arg(key);
        }
        let types: Vec<String> = self.runtime.block_on(types.query_async(&mut self.connection)).context(FAILED)?;
        let mut strings = Vec::with_capacity(keys.len());
        for (key, kind) in keys.into_iter().zip(types) {
            match &*kind {
                "string" => strings.push(key),
                // It has gone since.
                "none" => {}
                _ => *others.entry(kind).or_default() += 1,
            }
        }
        let mut sizes = pipe();
        for key in &strings {
            sizes.cmd("STRLEN").arg(key).cmd("PTTL").arg(key);
        }
        let sizes: Vec<i64> = self.runtime.block_on(sizes.query_async(&mut self.connection)).context(FAILED)?;
        let pairs = sizes.chunks_exact(2).map(|pair| (pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(-1)));
        Ok(strings.into_iter().zip(pairs).map(|(key, (bytes, ttl_millis))| Text { key, bytes: bytes.unsigned_abs(), ttl_millis }).collect())
    }

    fn fetch(&mut self, texts: Vec<Text>) -> anyhow::Result<Vec<(Text, Option<Vec<u8>>)>> {
        let mut gets = pipe();
        for text in &texts {
            gets.cmd("GET").arg(&text.key);
        }
        let values: Vec<Option<Vec<u8>>> = self.runtime.block_on(gets.query_async(&mut self.connection)).context(FAILED)?;
        if values.len() != texts.len() {
            return Err(anyhow!("the Redis answered {} of {} GETs; importing again is safe", values.len(), texts.len()));
        }
        Ok(texts.into_iter().zip(values).collect())
    }
}

const FAILED: &str = "the Redis did not answer as it should; importing again is safe";

/// How many of these are fetched together.
fn group(texts: &[Text]) -> usize {
    let mut bytes = 0;
    let fit = texts.iter().take_while(|text| {
        bytes += text.bytes;
        bytes <= FETCH_BYTES
    });
    fit.count().max(1)
}

fn ttl(millis: i64) -> Result<Option<Ttl>, String> {
    // What has a moment left has a second left here: no expiry would be worse.
    let seconds = u64::try_from(millis).ok().map(|millis| millis.div_ceil(1_000).max(1));
    seconds.map(Ttl::from_seconds).transpose().map_err(|error| error.to_string())
}

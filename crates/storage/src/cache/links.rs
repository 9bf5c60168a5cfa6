//! `Links`: the one link in use, and the task that brings a new one when it is given up. The circuit breaker: while there is no
//! link nobody waits for Redis, and the first error of a link ends it for all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use kvstore_types::limits::{CACHE_PING_MS, CACHE_RETRY_MS_MAX, CACHE_RETRY_MS_MIN};
use redis::{Client, ConnectionAddr, IntoConnectionInfo, RedisResult, TlsCertificates};
use tokio::sync::Notify;

use super::{
    config::{CacheConfig, CacheMode},
    link::{Link, LinkError},
    metrics::CacheMetrics,
    names::Names,
};
use crate::{OpenError, tls};

/// A client of the Redis that the settings name.
pub(super) fn client(config: &CacheConfig) -> Result<Client, String> {
    let info = config.url.as_str().into_connection_info().map_err(|error| error.to_string())?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let info = info.set_tcp_settings(tcp);
    let secure = match info.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => Some(*insecure),
        _ => None,
    };
    match (secure, &config.ca_file) {
        (Some(true), _) => {
            Err("#insecure is not taken: TLS with a server that anybody may be; name its authority by --redis-ca-file".into())
        }
        (None, Some(_)) => Err("certificates for Redis are given (--redis-ca-file), and the URL is not a rediss:// one".into()),
        (Some(false), Some(path)) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(tls::pem_of_file(path)?) };
            Client::build_with_tls(info, certificates).map_err(|error| error.to_string())
        }
        (Some(false), None) => {
            tls::roots_of_system()?;
            Client::open(info).map_err(|error| error.to_string())
        }
        (None, None) => Client::open(info).map_err(|error| error.to_string()),
    }
}

const SAID_NOTHING: u8 = 0;
const SAID_OFF: u8 = 1;
const SAID_ON: u8 = 2;

/// The link in use.
pub(super) struct Links {
    client: Client,
    mode: CacheMode,
    answer: Duration,
    current: ArcSwapOption<Link>,
    /// A link was given up, or the last one is to be.
    given_up: Notify,
    /// A new link is there.
    pub(super) renewed: Notify,
    said: AtomicU8,
    latency_micros: AtomicU64,
    names: Arc<Names>,
    metrics: CacheMetrics,
}

impl Links {
    /// Takes note of where Redis is. Nothing is connected yet.
    pub(super) fn new(config: &CacheConfig, names: Arc<Names>, metrics: CacheMetrics) -> Result<Self, OpenError> {
        let client = client(config).map_err(OpenError::Cache)?;
        Ok(Self {
            client,
            mode: config.mode,
            answer: config.times.answer,
            current: ArcSwapOption::empty(),
            given_up: Notify::new(),
            renewed: Notify::new(),
            said: AtomicU8::new(SAID_NOTHING),
            latency_micros: AtomicU64::new(0),
            names,
            metrics,
        })
    }

    /// The link, if Redis serves.
    pub(super) fn current(&self) -> Option<Arc<Link>> {
        self.current.load_full()
    }

    /// How long the last look at Redis took, once there was one.
    pub(super) fn latency(&self) -> Option<Duration> {
        let micros = self.latency_micros.load(Ordering::Relaxed);
        self.current.load().as_ref().filter(|_| micros > 0).map(|_| Duration::from_micros(micros))
    }

    /// The answer, if it is none that ends the link.
    pub(super) fn checked<T>(&self, link: &Arc<Link>, answer: RedisResult<T>) -> Option<T> {
        answer.map_err(|error| self.give_up(link, &error.to_string())).ok()
    }

    /// Ends a link for all, if it is still the one in use.
    pub(super) fn give_up(&self, link: &Arc<Link>, reason: &str) {
        self.metrics.errors.increment(1);
        let seen = self.current.compare_and_swap(link, None);
        if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, link)) {
            self.say_off(reason);
            self.given_up.notify_one();
        }
    }

    fn say_off(&self, reason: &str) {
        if self.said.swap(SAID_OFF, Ordering::Relaxed) != SAID_OFF {
            tracing::warn!(reason, "the cache is off: Redis does not serve; requests go to the database until it does");
        }
    }

    /// Says, if it was not said last, that hits are answered from now on.
    pub(super) fn say_on(&self) {
        if self.said.swap(SAID_ON, Ordering::Relaxed) != SAID_ON {
            tracing::info!(mode = self.mode.as_str(), "the cache is on");
        }
    }

    /// Keeps a link, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        let mut wait = Duration::from_millis(CACHE_RETRY_MS_MIN);
        loop {
            let Some(link) = self.current() else {
                match self.connect().await {
                    Ok(()) => wait = Duration::from_millis(CACHE_RETRY_MS_MIN),
                    Err(error) => {
                        self.metrics.errors.increment(1);
                        self.say_off(&error.to_string());
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(Duration::from_millis(CACHE_RETRY_MS_MAX));
                    }
                }
                continue;
            };
            if tokio::time::timeout(Duration::from_millis(CACHE_PING_MS), self.given_up.notified()).await.is_err() {
                self.look_at(&link).await;
            }
        }
    }

    async fn connect(&self) -> Result<(), LinkError> {
        let fresh = self.names.next();
        // Each answer has a time of its own; something that is not Redis may keep giving bytes.
        let opening = Link::open(&self.client, self.mode, self.answer, &fresh);
        let link = tokio::time::timeout(self.answer * 4, opening).await.map_err(|_| LinkError::Timeout)??;
        self.current.store(Some(Arc::new(link)));
        if self.mode == CacheMode::Validate {
            self.say_on();
        }
        self.renewed.notify_waiters();
        Ok(())
    }

    async fn look_at(&self, link: &Arc<Link>) {
        let start = Instant::now();
        let looked = match (link.look(self.mode).await, self.mode) {
            // A flush is noticed where nothing else would meet it.
            (Ok(_), CacheMode::Fenced) => link.check_instance().await,
            (looked, _) => looked.map(|_| ()),
        };
        match looked {
            Ok(()) => self.latency_micros.store(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed),
            Err(error) => self.give_up(link, &error.to_string()),
        }
    }
}

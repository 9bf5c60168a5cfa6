//! What a cache needs to know: where Redis is, in which mode it works, and its times.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use kvstore_types::limits;

/// How a hit becomes an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Its revision is checked against the authority first. Saves the transfer of the value, not the round trip.
    #[default]
    Validate,
    /// The fence vouches for it. Saves the round trip too.
    Fenced,
}

impl CacheMode {
    /// The mode's name in settings, health and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Fenced => "fenced",
        }
    }
}

/// The text names no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cache's mode is `validate` or `fenced`")]
pub struct CacheModeError;

impl FromStr for CacheMode {
    type Err = CacheModeError;

    fn from_str(text: &str) -> Result<Self, CacheModeError> {
        [Self::Validate, Self::Fenced].into_iter().find(|mode| mode.as_str() == text).ok_or(CacheModeError)
    }
}

/// A cache's settings.
#[derive(Clone)]
pub struct CacheConfig {
    /// Where Redis is: `redis://[user:password@]host:port[/database]`, `rediss://` for the same with TLS, or `unix:///path`.
    pub url: String,
    /// With `rediss://`: a file with the certificates of the authorities that are trusted; `None` for those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How a hit becomes an answer.
    pub mode: CacheMode,
    /// Its times.
    pub times: CacheTimes,
}

impl CacheConfig {
    /// The defaults.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ca_file: None, mode: CacheMode::default(), times: CacheTimes::default() }
    }
}

/// The URL may hold a password.
impl fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig").field("mode", &self.mode).field("times", &self.times).finish_non_exhaustive()
    }
}

/// A cache's times. Every node of one store must have the same, save in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheTimes {
    /// How long what was read of the fence counts.
    pub lease: Duration,
    /// What is added to a wait for leases to end, for clocks that do not run at one speed.
    pub lease_margin: Duration,
    /// What is added to the authority's time, when an expiry is compared with it.
    pub clock_margin: Duration,
    /// How long an answer of Redis is waited for.
    pub answer: Duration,
    /// How long a mark stands that nobody removes: longer than any transaction can last.
    pub mark: Duration,
    /// How old a node's last beat may be when it writes without asking the authority first.
    pub lapse: Duration,
    /// How long a node's beats must stand still before another removes it: longer than `lapse` and any write together.
    pub removal: Duration,
    /// One hit in this many is compared with the authority.
    pub compare_one_in: u64,
}

impl Default for CacheTimes {
    fn default() -> Self {
        Self {
            lease: Duration::from_millis(limits::CACHE_LEASE_MS),
            lease_margin: Duration::from_millis(limits::CACHE_LEASE_MARGIN_MS),
            clock_margin: Duration::from_millis(limits::CACHE_CLOCK_MARGIN_MS),
            answer: Duration::from_millis(limits::CACHE_ANSWER_MS_MAX),
            mark: Duration::from_secs(limits::CACHE_MARK_SECONDS),
            lapse: Duration::from_millis(limits::CACHE_LAPSE_MS),
            removal: Duration::from_millis(limits::CACHE_REMOVAL_MS),
            compare_one_in: limits::CACHE_COMPARE_ONE_IN,
        }
    }
}

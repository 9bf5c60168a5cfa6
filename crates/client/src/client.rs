//! `Client`: one server, one pool of connections.

use std::time::Duration;

use kvstore_types::limits;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::{AddressError, ClientError, address::Address};

/// A client of one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) address: Address,
    pub(crate) http: reqwest::Client,
}

impl Client {
    /// A client of the server at `url` (`http://host:port`), which sends `token` with each request. Nothing is connected yet.
    ///
    /// # Errors
    /// The URL or the token can't be used.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        Self::with_timeout(url, token, Duration::from_millis(limits::CLIENT_READ_MS_MAX))
    }

    /// The same, which gives up on a request when its server has been silent for so long.
    ///
    /// # Errors
    /// The URL or the token can't be used.
    pub fn with_timeout(url: &str, token: Option<&str>, timeout: Duration) -> Result<Self, ClientError> {
        let address = Address::parse(url)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| AddressError::Token)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("kvstore/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout.min(Duration::from_millis(limits::CLIENT_CONNECT_MS_MAX)))
            .read_timeout(timeout)
            .pool_idle_timeout(Duration::from_millis(limits::CLIENT_IDLE_MS_MAX))
            // A redirect would send a write, and the token, to a place that nobody chose.
            .redirect(reqwest::redirect::Policy::none())
            // What is sent again is decided in send.rs alone.
            .retry(reqwest::retry::never())
            // Proxies come from the environment, which only the binary may read.
            .no_proxy()
            .build()
            .map_err(|error| ClientError::Connect { url: address.as_str().into(), reason: error.to_string() })?;
        Ok(Self { address, http })
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        self.address.as_str()
    }
}

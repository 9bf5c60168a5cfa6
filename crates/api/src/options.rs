//! `ApiOptions`: what the API needs to be told. Where the values come from is the server's business.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kvstore_types::limits;

/// What the API needs beside the service.
#[derive(Clone)]
pub struct ApiOptions {
    /// The bearer token that every request but health probes must carry; `None` asks for none.
    pub token: Option<String>,
    /// Hosts, with or without a port, that a request may be addressed to, beside loopback and the listen address.
    pub allowed_hosts: Vec<String>,
    /// The address that the server listens on.
    pub listen: SocketAddr,
    /// Origins whose pages may read answers; empty switches CORS off, `*` admits all.
    pub cors_origins: Vec<String>,
    /// The URL under which clients reach this node, with the base path.
    pub node_url: String,
    /// Renders the metrics as Prometheus text.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Time between two pieces of a body.
    pub body_idle_timeout: Duration,
    /// Time for a whole body.
    pub body_timeout: Duration,
    /// KV requests served at one time; more are answered 503 at once. Health and metrics are not counted.
    pub max_requests: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            token: None,
            allowed_hosts: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            cors_origins: Vec::new(),
            node_url: "http://127.0.0.1:8000/kv-store/v1".to_owned(),
            render_metrics: Arc::new(String::new),
            body_idle_timeout: Duration::from_millis(limits::BODY_IDLE_TIMEOUT_MS_DEFAULT),
            body_timeout: Duration::from_millis(limits::BODY_TIMEOUT_MS_DEFAULT),
            max_requests: limits::REQUESTS_MAX_DEFAULT,
        }
    }
}

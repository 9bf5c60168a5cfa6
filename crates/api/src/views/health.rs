//! `GET /health/`: what this node says of itself, asked through the whole data tier.

use std::time::Duration;

use axum::extract::Request;
use http::StatusCode;
use kvstore_service::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::Api,
    errors::Problem,
    openapi::schemas,
    query::Query,
    respond::{self, Response},
};

/// What a node says of itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `healthy`, `degraded` where it reads but refuses some writes, or `unhealthy`.
    #[schema(example = "healthy")]
    status: &'static str,
    cluster: Cluster,
    storage: Storage,
    /// Left out where there is no cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
}

/// The nodes that hold the data together, or that serve from one database.
#[derive(Serialize, ToSchema)]
struct Cluster {
    /// Whether kvstore replicates the data. Over PostgreSQL it does not: that is the database's work.
    replication_enabled: bool,
    total_nodes: u32,
    healthy_nodes: u32,
    unhealthy_nodes: u32,
    required_for_quorum: u32,
    has_quorum: bool,
    can_accept_writes: bool,
    /// Whether the other nodes go on when one of them ends.
    automatic_failover_enabled: bool,
    /// The URL of the node that orders writes; null where several do, each for itself, over one database.
    leader: Option<String>,
    /// This node comes first.
    nodes: Vec<Node>,
}

impl Cluster {
    fn of(health: &kvstore_service::Health, own_url: &str) -> Self {
        let can_serve = health.can_serve();
        let own = Node { url: own_url.to_owned(), healthy: can_serve, state: health.status.state.as_str() };
        let others =
            health.others.states().map(|(url, state)| Node { url: url.to_owned(), healthy: state.serves(), state: state.as_str() });
        let nodes: Vec<_> = std::iter::once(own).chain(others).collect();
        let count = |nodes: usize| u32::try_from(nodes).unwrap_or(u32::MAX);
        let healthy = nodes.iter().filter(|node| node.healthy).count();
        let is_alone = nodes.len() == 1;
        Self {
            replication_enabled: false,
            total_nodes: count(nodes.len()),
            healthy_nodes: count(healthy),
            unhealthy_nodes: count(nodes.len() - healthy),
            required_for_quorum: 1,
            has_quorum: healthy > 0,
            can_accept_writes: health.can_accept_writes(),
            automatic_failover_enabled: !is_alone,
            leader: is_alone.then(|| own_url.to_owned()),
            nodes,
        }
    }
}

/// One node.
#[derive(Serialize, ToSchema)]
struct Node {
    url: String,
    healthy: bool,
    /// As `storage.state`; of another node also `not_asked`, `silent`, or `foreign` where something else answers. It is asked every
    /// two seconds.
    #[schema(example = "ready")]
    state: &'static str,
}

/// The data tier.
#[derive(Serialize, ToSchema)]
struct Storage {
    /// The backend's name.
    #[schema(example = "embedded")]
    backend: &'static str,
    /// `ready`, `disk_full`, `read_only`, `unreachable`, `stopping` or `failed`.
    #[schema(example = "ready")]
    state: &'static str,
    /// How long a small read took; null where it failed.
    latency_ms: Option<f64>,
    applied_revision: u64,
    disk_free_bytes: Option<u64>,
    disk_used_bytes: Option<u64>,
}

/// The cache before the data tier.
#[derive(Serialize, ToSchema)]
struct Cache {
    /// What keeps the entries.
    #[schema(example = "redis")]
    backend: &'static str,
    /// `validate` or `fenced`.
    #[schema(example = "validate")]
    mode: &'static str,
    /// `on`, `closed` (it works, but entries do not count now) or `off`.
    #[schema(example = "on")]
    state: &'static str,
    /// How long it took to answer when it was last asked; null where it is off.
    latency_ms: Option<f64>,
}

/// The node's health
#[utoipa::path(
    get,
    path = "/kv-store/v1/health/",
    tag = "operation",
    security(()),
    responses(
        (status = 200, description = "The node can serve", body = Health),
        (status = 503, description = "The node can't serve", content((Health = "application/json"), (schemas::Problem = "application/problem+json"))),
    ),
)]
pub(crate) async fn health(api: &Api, request: Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let health = api.service.health().await;
    let can_serve = health.can_serve();
    let (status_code, status) = match health.status.state {
        State::Ready if can_serve => (StatusCode::OK, "healthy"),
        _ if can_serve => (StatusCode::OK, "degraded"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let document = Health {
        status,
        cluster: Cluster::of(&health, &api.options.node_url),
        storage: Storage {
            backend: health.status.backend,
            state: health.status.state.as_str(),
            latency_ms: health.probe.map(millis),
            applied_revision: health.status.applied.0,
            disk_free_bytes: health.status.disk_free_bytes,
            disk_used_bytes: health.status.disk_used_bytes,
        },
        cache: health.status.cache.map(|cache| Cache {
            backend: cache.backend,
            mode: cache.mode,
            state: cache.state,
            latency_ms: cache.latency.map(millis),
        }),
    };
    let bytes = serde_json::to_vec(&document).unwrap_or_default();
    Ok(respond::plain(status_code, "application/json", bytes))
}

/// Milliseconds, to the microsecond.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

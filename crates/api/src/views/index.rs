//! `/`: where everything else is.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    api::Api,
    openapi::schemas,
    respond::{self, Response},
};

/// Where everything is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Index {
    name: &'static str,
    version: &'static str,
    /// The base of all operations.
    api: String,
    /// The node's health.
    health: &'static str,
    /// The OpenAPI document.
    schema: &'static str,
    /// Prometheus metrics.
    metrics: &'static str,
}

/// Where everything is
#[utoipa::path(get, path = "/", tag = "operation", responses((status = 200, description = "Paths", body = Index), schemas::CommonProblems))]
pub(crate) fn index(api: &Api) -> Response {
    let index = Index {
        name: "kvstore",
        version: env!("CARGO_PKG_VERSION"),
        api: api.options.node_url.clone(),
        health: "/kv-store/v1/health/",
        schema: "/kv-store/schema/",
        metrics: "/metrics",
    };
    respond::plain(StatusCode::OK, "application/json", serde_json::to_vec(&index).unwrap_or_default())
}

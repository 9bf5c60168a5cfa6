//! `/metrics`: Prometheus text.

use std::sync::atomic::Ordering;

use http::StatusCode;

use crate::{
    api::Api,
    respond::{self, Response},
};

/// Metrics
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "Prometheus text", body = String, content_type = "text/plain")),
)]
pub(crate) fn metrics(api: &Api) -> Response {
    // Gauges of what is counted anyway are set when they are asked for.
    api.metrics.in_flight.set(api.in_flight.load(Ordering::Relaxed) as f64);
    api.metrics.in_flight_bytes.set(api.service.budget().used() as f64);
    respond::plain(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", (api.options.render_metrics)())
}

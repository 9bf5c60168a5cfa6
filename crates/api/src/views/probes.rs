//! `/livez` and `/readyz`: what a supervisor and a load balancer ask.

use http::StatusCode;

use crate::{
    api::Api,
    respond::{self, Response},
};

/// Whether the process runs
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operation",
    security(()),
    responses((status = 200, description = "It runs", body = String, content_type = "text/plain")),
)]
pub(crate) fn livez() -> Response {
    respond::plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
}

/// Whether the node can serve
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    security(()),
    responses(
        (status = 200, description = "It can serve", body = String, content_type = "text/plain"),
        (status = 503, description = "It can't; the text is the state of its store", body = String, content_type = "text/plain"),
    ),
)]
pub(crate) async fn readyz(api: &Api) -> Response {
    let health = api.service.health().await;
    let status = if health.can_serve() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    respond::plain(status, "text/plain; charset=utf-8", format!("{}\n", health.status.state.as_str()))
}

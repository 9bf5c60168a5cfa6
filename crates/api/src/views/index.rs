//! `/`: where everything else is. A page for browsers, JSON for everything else.
//!
//! It is open where a token is set, for the reasons in `pages.rs`: what it tells is in the health too, which is open for supervisors.

use axum::extract::Request;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    accept,
    api::Api,
    assets,
    respond::{self, Response},
};

/// The page, with places for what differs from server to server.
const PAGE: &str = include_str!("../../web/index.html");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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
    /// The document in Swagger UI.
    docs: &'static str,
    /// The document in ReDoc.
    redoc: &'static str,
    /// Prometheus metrics.
    metrics: &'static str,
}

/// Where everything is
///
/// A page for browsers (`Accept: text/html`), JSON for everything else.
#[utoipa::path(
    get,
    path = "/",
    tag = "documents",
    security(()),
    responses(
        (status = 200, description = "Paths", content((Index = "application/json"), (String = "text/html"))),
    ),
)]
pub(crate) fn index(api: &Api, request: &Request) -> Response {
    let mut response = if accept::prefers(request.headers(), "text", "html") {
        assets::confine(respond::plain(StatusCode::OK, "text/html; charset=utf-8", page(api, request)), POLICY)
    } else {
        respond::plain(StatusCode::OK, "application/json", serde_json::to_vec(&paths(api)).unwrap_or_default())
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

fn paths(api: &Api) -> Index {
    Index {
        name: "kvstore",
        version: env!("CARGO_PKG_VERSION"),
        api: api.options.node_url.clone(),
        health: "/kv-store/v1/health/",
        schema: "/kv-store/schema/",
        docs: "/kv-store/docs/",
        redoc: "/kv-store/redoc/",
        metrics: "/metrics",
    }
}

/// The page's first command is for the host by which the reader came here, which the layer has checked.
fn page(api: &Api, request: &Request) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let node = api.options.node_url.strip_suffix("/kv-store/v1").unwrap_or(&api.options.node_url);
    let origin = host.map_or_else(|| node.to_owned(), |host| format!("http://{host}"));
    let (token, note, metrics) = if api.options.token.is_some() {
        let note = "<p class=\"quiet\">This server asks for its token: put it into <code>KVSTORE_TOKEN</code> in your shell first. \
            In Swagger UI it goes under Authorize.</p>";
        (" -H \"Authorization: Bearer $KVSTORE_TOKEN\"", note, "; it asks for the token")
    } else {
        ("", "", "")
    };
    PAGE.replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{token_note}}", note)
        .replace("{{metrics_note}}", metrics)
        .replace("{{token}}", &escaped(token))
        .replace("{{origin}}", &escaped(&origin))
}

/// A text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for part in text.chars() {
        match part {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_host_becomes_markup() {
        assert_eq!(escaped("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    }
}

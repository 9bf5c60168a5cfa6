//! `/kv-store/schema/`: the OpenAPI document, as JSON or YAML.

use axum::extract::Request;
use http::{HeaderValue, StatusCode, header};

use crate::{
    accept,
    api::Api,
    errors::Problem,
    openapi::schemas,
    query::Query,
    respond::{self, Response},
};

/// This document
#[utoipa::path(
    get,
    path = "/kv-store/schema/",
    tag = "documents",
    security(()),
    responses(
        (status = 200, description = "OpenAPI 3.1", content(
            (schemas::AnyObject = "application/json"),
            (String = "application/yaml"),
        )),
    ),
)]
pub(crate) fn schema(api: &Api, request: &Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let yaml = ["application/yaml", "application/x-yaml", "text/yaml", "application/vnd.oai.openapi"]
        .into_iter()
        .filter_map(|name| name.split_once('/'))
        .any(|(kind, subtype)| accept::prefers(request.headers(), kind, subtype));
    let mut response = if yaml {
        respond::plain(StatusCode::OK, "application/yaml", api.document.yaml())
    } else {
        respond::plain(StatusCode::OK, "application/json", api.document.json())
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

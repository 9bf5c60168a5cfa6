//! `/kv-store/docs/`, `/kv-store/redoc/` and the files that they load.
//!
//! They are open where a token is set. A browser that follows a link has no way to send one, and there is nothing to protect: every
//! copy of this binary serves the same bytes, and none of the store's data. What a page then calls asks for the token as always;
//! in Swagger UI it is typed in under "Authorize" and sent with each call.

use axum::extract::Request;
use utoipa::{IntoParams, ToSchema};

use crate::{
    assets::{self, ASSETS_PATH, DOCS, REDOC},
    errors::{Kind, Problem},
    query::Query,
    respond::Response,
};

/// Swagger UI: its script writes `style` attributes, and its drawings are `data:` URLs. It calls this server and no other.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// ReDoc: its script makes `style` elements, and its search runs in a worker that it makes from a text.
const REDOC_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI
///
/// This document as a page on which each operation can be tried.
#[utoipa::path(
    get,
    path = "/kv-store/docs/",
    tag = "documents",
    security(()),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "`If-None-Match` names the current ETag"),
    ),
)]
pub(crate) fn docs(request: &Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    Ok(assets::confine(assets::answer(&DOCS, request.headers()), DOCS_POLICY))
}

/// ReDoc
///
/// This document as a page for reading.
#[utoipa::path(
    get,
    path = "/kv-store/redoc/",
    tag = "documents",
    security(()),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "`If-None-Match` names the current ETag"),
    ),
)]
pub(crate) fn redoc(request: &Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    Ok(assets::confine(assets::answer(&REDOC, request.headers()), REDOC_POLICY))
}

/// The name of a file of the pages.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "read by the macros that build the document")]
pub(crate) struct FileInPath {
    /// One of the files that the pages load.
    #[param(inline, example = "icon.svg")]
    file: File,
}

/// The files, as the document lists them.
#[derive(serde::Serialize, ToSchema)]
#[expect(dead_code, reason = "read by the macros that build the document")]
enum File {
    #[serde(rename = "docs.js")]
    DocsJs,
    #[serde(rename = "icon.svg")]
    Icon,
    #[serde(rename = "index.js")]
    IndexJs,
    #[serde(rename = "pages.css")]
    PagesCss,
    #[serde(rename = "redoc.css")]
    RedocCss,
    #[serde(rename = "redoc.js")]
    RedocJs,
    #[serde(rename = "redoc.standalone.js")]
    Redoc,
    #[serde(rename = "swagger-ui-bundle.js")]
    SwaggerUi,
    #[serde(rename = "swagger-ui.css")]
    SwaggerUiCss,
}

/// A file of the pages
#[utoipa::path(
    get,
    path = "/kv-store/assets/{file}",
    tag = "documents",
    security(()),
    params(FileInPath),
    responses(
        (status = 200, description = "The file", content((String = "text/javascript"), (String = "text/css"), (String = "image/svg+xml"))),
        (status = 304, description = "`If-None-Match` names the current ETag"),
    ),
)]
pub(crate) fn asset(request: &Request) -> Result<Response, Problem> {
    Query::parse(request.uri().query(), &[])?;
    let name = request.uri().path().strip_prefix(ASSETS_PATH).unwrap_or_default();
    let asset = assets::find(name).ok_or_else(|| Problem::new(Kind::UnknownPath, "The pages have no file of this name."))?;
    Ok(assets::answer(asset, request.headers()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_the_files_that_are_served() {
        let schema = serde_json::to_value(<File as utoipa::PartialSchema>::schema()).unwrap();
        let listed: Vec<_> = schema["enum"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let served: Vec<_> = assets::ASSETS.iter().map(|asset| asset.name).collect();
        assert_eq!(listed, served);
    }
}

//! `GET /kv/`: a page of keys in order.

use axum::{body::Body, extract::Request};
use http::{StatusCode, header};
use kvstore_service::RangeAnswer;
use kvstore_types::{Consistency, Key, KeyRange, Projection, Scan, limits::PAGE_ENTRIES_MAX};

use super::read_value::consistency;
use crate::{
    api::Api,
    body::NoLength,
    errors::Problem,
    openapi::schemas,
    path::sentence,
    query::{Query, bad},
    respond::{self, Response},
    serializers::{entries_body, write_escaped},
};

/// Read a page of keys
///
/// Keys come in the order of their bytes. The next page starts strictly after `next_cursor`, which is there exactly when `has_more`
/// is true. With `key` this reads that one key, for keys whose path a client or a proxy would rewrite.
#[utoipa::path(
    get,
    path = "/kv-store/v1/kv/",
    tag = "values",
    params(schemas::RangeOptions, schemas::ReadHeaders),
    responses(
        (status = 200, description = "A page; with `key`, that entry", content(
            (schemas::PageOrEntry = "application/json"),
            (schemas::Bytes = "application/octet-stream"),
        )),
        (status = 304, description = "With `key`: `If-None-Match` names the current ETag"),
    ),
)]
pub(crate) async fn read_range(api: &Api, request: Request) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["start", "end", "prefix", "limit", "cursor", "reverse", "keys_only", "consistency"])?;
    let consistency = consistency(&query)?;
    let RangeAnswer { page, reservation } = api.service.read_range(&scan(&query)?, consistency).await?;
    let before = format!("{{\"count\":{},\"results\":[", page.entries.len()).into_bytes();
    let mut after = Vec::with_capacity(64);
    match &page.next {
        None => after.extend_from_slice(b"],\"has_more\":false}"),
        Some(next) => {
            after.extend_from_slice(b"],\"has_more\":true,\"next_cursor\":\"");
            write_escaped(&mut after, next.as_str());
            after.extend_from_slice(b"\"}");
        }
    }
    let expires = page.entries.iter().any(|entry| entry.header.expires_at.is_some());
    let entries = page.entries.into_iter().map(Some).collect();
    let mut response = respond::kv_json(StatusCode::OK, entries_body(before, entries, after, Some(reservation)));
    let headers = response.headers_mut();
    if expires {
        respond::no_store(headers);
    }
    respond::applied(headers, (consistency == Consistency::Stale && api.service.tells_applied()).then_some(page.applied));
    Ok(response)
}

/// Read a page's headers
#[utoipa::path(
    head,
    path = "/kv-store/v1/kv/",
    tag = "values",
    params(schemas::RangeOptions, schemas::ReadHeaders),
    responses(
        (status = 200, description = "The headers of GET"),
        (status = 304, description = "With `key`: `If-None-Match` names the current ETag"),
    ),
)]
pub(crate) async fn head_range(api: &Api, request: Request) -> Result<Response, Problem> {
    let mut response = read_range(api, request).await?;
    *response.body_mut() = Body::new(NoLength);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    Ok(response)
}

fn scan(query: &Query<'_>) -> Result<Scan, Problem> {
    let key = |name: &str| {
        let key = query.non_empty(name).map(Key::new).transpose();
        key.map_err(|error| bad(format!("{name} is not a key: {error}.")))
    };
    let range = KeyRange::new(key("start")?, key("end")?, query.non_empty("prefix"));
    Ok(Scan {
        range: range.map_err(|error| bad(sentence(&error.to_string())))?,
        after: key("cursor")?,
        limit: query.get("limit").map_or(Ok(PAGE_ENTRIES_MAX), limit)?,
        reverse: query.flag("reverse")?,
        projection: if query.flag("keys_only")? { Projection::Header } else { Projection::Full },
    })
}

/// Any integer above the greatest page counts as that page, however many digits it has.
fn limit(text: &str) -> Result<usize, Problem> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let limit = digits.parse().unwrap_or(PAGE_ENTRIES_MAX).min(PAGE_ENTRIES_MAX);
    if is_number && limit > 0 {
        Ok(limit)
    } else {
        Err(bad(format!("limit is a whole number from 1 up; more than {PAGE_ENTRIES_MAX} counts as that.")))
    }
}

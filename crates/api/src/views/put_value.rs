//! `PUT /kv/<key>/`: stores one value, from JSON or byte for byte.

use axum::extract::Request;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kvstore_service::{PutAnswer, PutValue};
use kvstore_types::{Key, Ttl};

use crate::{
    accept::Form,
    api::Api,
    body::{self, Limit, Received},
    conditions,
    entries::{PutBody, parse_put},
    errors::{Kind, Problem},
    openapi::schemas,
    path::{self, KV_KEY},
    query::{self, Query},
    request_headers::{Media, idempotency_key, media},
    respond::{self, Response},
    serializers::entry_body,
};

/// Store a value
///
/// With `Content-Type: application/json` the body is `{"value": ...}`. With any other media type, or none, the body is the value,
/// byte for byte. A put without a time to live clears an earlier expiry.
#[utoipa::path(
    put,
    path = "/kv-store/v1/kv/{key}/",
    tag = "values",
    params(
        schemas::KeyInPath,
        ("ttl" = Option<i64>, Query, description = "Seconds to live, for a body that is not JSON", minimum = 1, maximum = 315_360_000),
        schemas::WriteHeaders,
    ),
    request_body(content(
        (schemas::PutBody = "application/json"),
        (schemas::Bytes = "application/octet-stream"),
    ), description = "The value"),
    responses(
        (status = 201, description = "The key was absent; the entry as it is now", body = schemas::Entry),
        (status = 200, description = "The key had a value; the entry as it is now", body = schemas::Entry),
    ),
)]
pub(crate) async fn put_value(api: &Api, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (key, query) = path::key_and_query(&parts.uri, &["ttl"])?;
    let answer = put(api, &key, &query, &parts.headers, body).await;
    named(answer, &key)
}

async fn put(api: &Api, key: &Key, query: &Query<'_>, headers: &HeaderMap, body: axum::body::Body) -> Result<Response, Problem> {
    let condition = conditions::of_write(headers)?;
    let idempotency_key = idempotency_key(headers)?;
    let is_json = media(headers)? == Media::Json;
    let limits = api.service.limits();
    let body_limit = Limit { bytes: limits.body_bytes_max, name: "max_body_bytes" };
    let value_limit = Limit { bytes: limits.value_bytes_max, name: "max_value_bytes" };
    let limit = if is_json || body_limit.bytes < value_limit.bytes { body_limit } else { value_limit };
    let query_ttl = ttl(query)?;
    if is_json && query_ttl.is_some() {
        return Err(query::bad("The ttl of a JSON body is its member \"ttl\"; leave the parameter out.".to_owned()));
    }
    let Received { bytes, reservation } = body::receive(api, headers, body, limit).await?;
    let PutBody { value, ttl } = if is_json {
        let parsed = parse_put(&bytes)?;
        drop(bytes);
        parsed
    } else {
        PutBody { value: bytes.into(), ttl: query_ttl }
    };
    let put = PutValue { key: key.clone(), value, ttl, condition, idempotency_key };
    match api.service.put_value(put).await? {
        PutAnswer::Stored { entry, created, replayed } => {
            let header = entry.header;
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            let mut response = respond::kv_json(status, entry_body(entry, Some(reservation)));
            let headers = response.headers_mut();
            respond::describe(headers, &header, Form::Json);
            respond::replayed(headers, replayed);
            if let Some(location) = path::location(key).filter(|_| created) {
                headers.insert(header::LOCATION, location);
            }
            Ok(response)
        }
        PutAnswer::ConditionFailed(current) => Err(condition_failed(current.as_ref())),
    }
}

fn ttl(query: &Query<'_>) -> Result<Option<Ttl>, Problem> {
    let Some(text) = query.get("ttl") else { return Ok(None) };
    let seconds = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let ttl = Ttl::from_seconds(seconds.unwrap_or(0));
    ttl.map(Some).map_err(|error| query::bad(path::sentence(&error.to_string())))
}

/// The answer to a write whose condition did not hold: it names what is there.
pub(super) fn condition_failed(current: Option<&kvstore_types::Header>) -> Problem {
    match current {
        Some(header) => {
            let detail = format!("The condition did not hold: the key has revision {}.", header.revision);
            Problem::new(Kind::PreconditionFailed, detail).header(header::ETAG, conditions::etag(header, Form::Json))
        }
        None => Problem::new(Kind::PreconditionFailed, "The condition did not hold: the key does not exist."),
    }
}

/// Names the key in a write's answer, so that a client notices a path that was rewritten on its way.
pub(super) fn named(answer: Result<Response, Problem>, key: &Key) -> Result<Response, Problem> {
    let name = path::kv_key(key).unwrap_or(HeaderValue::from_static(""));
    match answer {
        Ok(mut response) => {
            response.headers_mut().insert(KV_KEY, name);
            Ok(response)
        }
        Err(problem) => Err(problem.header(KV_KEY, name)),
    }
}

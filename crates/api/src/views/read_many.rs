//! `POST /read/`: many keys from one snapshot.

use std::borrow::Cow;

use axum::extract::Request;
use http::StatusCode;
use kvstore_service::ManyAnswer;
use kvstore_types::{Key, limits::READ_KEYS_MAX};

use super::read_value::consistency;
use crate::{
    api::Api,
    body::{self, Limit, Received},
    errors::{Faults, Kind, Problem},
    json,
    openapi::schemas,
    query::Query,
    request_headers::expect_json,
    respond::{self, Response},
    serializers::entries_body,
};

/// Read many keys at once
///
/// The answer holds an entry or null for each key, in their order, from one snapshot.
#[utoipa::path(
    post,
    path = "/kv-store/v1/read/",
    tag = "values",
    params(schemas::Freshness),
    request_body(content = schemas::ReadBody, description = "Up to 1,000 keys"),
    responses(
        (status = 200, description = "An entry or null for each key", body = schemas::ManyAnswer),
    ),
)]
pub(crate) async fn read_many(api: &Api, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query(), &["consistency"])?;
    let consistency = consistency(&query)?;
    expect_json(&parts.headers)?;
    let limit = Limit { bytes: api.service.limits().body_bytes_max, name: "max_body_bytes" };
    let Received { bytes, reservation } = body::receive(api, &parts.headers, body, limit).await?;
    let keys = parse_keys(&bytes)?;
    drop((bytes, reservation));
    let ManyAnswer { entries, applied, reservation } = api.service.read_many(&keys, consistency).await?;
    let expires = entries.iter().flatten().any(|entry| entry.header.expires_at.is_some());
    let body = entries_body(b"{\"results\":[".to_vec(), entries, b"]}".to_vec(), Some(reservation));
    let mut response = respond::kv_json(StatusCode::OK, body);
    respond::applied(response.headers_mut(), applied);
    if expires {
        respond::no_store(response.headers_mut());
    }
    Ok(response)
}

fn parse_keys(body: &[u8]) -> Result<Vec<Key>, Problem> {
    let text = json::text(body)?;
    json::check_syntax(text)?;
    let mut faults = Faults::default();
    let keys = keys(text, &mut faults);
    if faults.count() == 0 { Ok(keys) } else { Err(Problem::with_faults(Kind::BadItems, faults)) }
}

fn keys(text: &str, faults: &mut Faults) -> Vec<Key> {
    let Some([keys]) = json::members(text, "", &["keys"], faults) else { return Vec::new() };
    let Some(keys) = keys else {
        faults.push("/keys", "the member is missing");
        return Vec::new();
    };
    let Some((keys, count)) = json::elements(keys, "/keys", READ_KEYS_MAX, faults) else { return Vec::new() };
    if count > READ_KEYS_MAX {
        faults.push("/keys", format!("it has {count} keys; the limit is {READ_KEYS_MAX}"));
        return Vec::new();
    }
    let parsed = keys.into_iter().enumerate().filter_map(|(index, raw)| {
        let at = || format!("/keys/{index}");
        let text: Cow<'_, str> = json::member::<String>(raw, at, "a string", faults)?.into();
        Key::new(&text).map_err(|error| faults.push(at(), error.to_string())).ok()
    });
    parsed.collect()
}

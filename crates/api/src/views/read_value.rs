//! `GET` and `HEAD` of `/kv/<key>/`: an entry as JSON, or its value's bytes.

use axum::{body::Body, extract::Request};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use kvstore_service::ReadAnswer;
use kvstore_types::{Consistency, Entry, Header, Key, Projection, Revision};

use crate::{
    accept::{self, Form},
    api::Api,
    body::{Held, NoLength, full},
    conditions,
    dates::http_date,
    errors::{Kind, Problem},
    openapi::schemas,
    path,
    query::{Query, bad},
    respond::{self, Response},
    serializers::entry_body,
};

const KV_VERSION: HeaderName = HeaderName::from_static("kv-version");

/// Read a value
#[utoipa::path(
    get,
    path = "/kv-store/v1/kv/{key}/",
    tag = "values",
    params(schemas::KeyInPath, schemas::ReadOptions, schemas::ReadHeaders),
    responses(
        (status = 200, description = "The entry, or with `Accept: application/octet-stream` or `raw=true` the value's bytes",
            content((schemas::Entry = "application/json"), (schemas::Bytes = "application/octet-stream"))),
        (status = 304, description = "`If-None-Match` names the current ETag"),
    ),
)]
pub(crate) async fn read_value(api: &Api, request: Request) -> Result<Response, Problem> {
    let asked = Asked::of(&request)?;
    let ReadAnswer { entry, applied, reservation } = api.service.read_value(&asked.key, Projection::Full, asked.consistency).await?;
    let entry = entry.ok_or_else(|| not_found_as_of(applied))?;
    let header = entry.header;
    if let Some(response) = not_modified(request.headers(), &header, asked.form, applied) {
        return Ok(response);
    }
    let body = match (asked.form, reservation) {
        (Form::Json, reservation) => entry_body(entry, reservation),
        (Form::Raw, None) => full(value_of(entry)),
        (Form::Raw, Some(reservation)) => Body::new(Held::new(full(value_of(entry)), reservation)),
    };
    Ok(answer(body, &header, asked.form, applied))
}

fn value_of(entry: Entry) -> bytes::Bytes {
    entry.value.unwrap_or_default()
}

/// Read a value's headers
#[utoipa::path(
    head,
    path = "/kv-store/v1/kv/{key}/",
    tag = "values",
    params(schemas::KeyInPath, schemas::ReadOptions, schemas::ReadHeaders),
    responses(
        (status = 200, description = "The headers of GET"),
        (status = 304, description = "`If-None-Match` names the current ETag"),
    ),
)]
pub(crate) async fn head_value(api: &Api, request: Request) -> Result<Response, Problem> {
    let asked = Asked::of(&request)?;
    let ReadAnswer { entry, applied, .. } = api.service.read_value(&asked.key, Projection::Header, asked.consistency).await?;
    let header = entry.ok_or_else(|| not_found_as_of(applied))?.header;
    if let Some(response) = not_modified(request.headers(), &header, asked.form, applied) {
        return Ok(response);
    }
    let mut response = answer(Body::new(NoLength), &header, asked.form, applied);
    if asked.form == Form::Raw {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(header.value_len));
    }
    Ok(response)
}

/// What a reader asks for.
struct Asked {
    key: Key,
    form: Form,
    consistency: Consistency,
}

impl Asked {
    fn of(request: &Request) -> Result<Self, Problem> {
        let (key, query) = path::key_and_query(request.uri(), &["raw", "consistency"])?;
        let form = match query.get("raw") {
            None => accept::form(request.headers()),
            Some(_) if query.flag("raw")? => Form::Raw,
            Some(_) => Form::Json,
        };
        Ok(Self { key, form, consistency: consistency(&query)? })
    }
}

/// How fresh the answer must be.
pub(super) fn consistency(query: &Query<'_>) -> Result<Consistency, Problem> {
    match query.get("consistency") {
        None | Some("linearizable") => Ok(Consistency::Linearizable),
        Some("stale") => Ok(Consistency::Stale),
        Some(_) => Err(bad("consistency is linearizable or stale.".to_owned())),
    }
}

/// 304 where the reader has this state already.
fn not_modified(headers: &HeaderMap, entry: &Header, form: Form, applied: Option<Revision>) -> Option<Response> {
    if !headers.contains_key(header::IF_NONE_MATCH) || !conditions::not_modified(headers, &conditions::etag(entry, form)) {
        return None;
    }
    let mut response = respond::kv(StatusCode::NOT_MODIFIED, Body::empty());
    respond::describe(response.headers_mut(), entry, form);
    respond::applied(response.headers_mut(), applied);
    Some(response)
}

fn answer(body: Body, entry: &Header, form: Form, applied: Option<Revision>) -> Response {
    let mut response = match form {
        Form::Json => respond::kv_json(StatusCode::OK, body),
        Form::Raw => respond::kv(StatusCode::OK, body),
    };
    let headers = response.headers_mut();
    respond::describe(headers, entry, form);
    respond::applied(headers, applied);
    if form == Form::Raw {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(KV_VERSION, HeaderValue::from(entry.version));
        if let Some(date) = http_date(entry.updated_at) {
            headers.insert(header::LAST_MODIFIED, date);
        }
    }
    response
}

/// The key is absent.
pub(super) fn not_found() -> Problem {
    Problem::new(Kind::KeyNotFound, "The key does not exist, or it has expired.")
}

fn not_found_as_of(applied: Option<Revision>) -> Problem {
    match applied {
        None => not_found(),
        Some(revision) => not_found().header(HeaderName::from_static("kv-applied-revision"), HeaderValue::from(revision.0)),
    }
}

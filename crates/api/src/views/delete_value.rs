//! `DELETE /kv/<key>/`.

use axum::{body::Body, extract::Request};
use http::{HeaderMap, StatusCode};
use kvstore_service::{DeleteAnswer, DeleteValue};
use kvstore_types::Key;

use super::{
    put_value::{condition_failed, named},
    read_value::not_found,
};
use crate::{
    api::Api,
    conditions,
    errors::Problem,
    openapi::schemas,
    path,
    request_headers::idempotency_key,
    respond::{self, Response},
};

/// Delete a key
#[utoipa::path(
    delete,
    path = "/kv-store/v1/kv/{key}/",
    tag = "values",
    params(schemas::KeyInPath, schemas::WriteHeaders),
    responses(
        (status = 204, description = "The key is deleted"),
    ),
)]
pub(crate) async fn delete_value(api: &Api, request: Request) -> Result<Response, Problem> {
    let (key, _) = path::key_and_query(request.uri(), &[])?;
    named(delete(api, &key, request.headers()).await, &key)
}

async fn delete(api: &Api, key: &Key, headers: &HeaderMap) -> Result<Response, Problem> {
    let condition = conditions::of_write(headers)?;
    let idempotency_key = idempotency_key(headers)?;
    match api.service.delete_value(DeleteValue { key: key.clone(), condition, idempotency_key }).await? {
        DeleteAnswer::Deleted { replayed } => {
            let mut response = respond::kv(StatusCode::NO_CONTENT, Body::empty());
            respond::replayed(response.headers_mut(), replayed);
            Ok(response)
        }
        DeleteAnswer::Absent => Err(not_found()),
        DeleteAnswer::ConditionFailed(current) => Err(condition_failed(current.as_ref())),
    }
}

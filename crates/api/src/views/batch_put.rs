//! `POST /kv/batch/`: many puts, all or nothing.

use axum::extract::Request;
use http::{HeaderName, HeaderValue, StatusCode};
use kvstore_service::{BatchAnswer, BatchPut};
use kvstore_types::FailedCondition;

use crate::{
    api::Api,
    body::{self, Limit, full},
    conditions,
    entries::parse_batch,
    errors::{Faults, Kind, Problem},
    openapi::schemas,
    query::Query,
    request_headers::{expect_json, idempotency_key, prefers_minimal},
    respond::{self, Response},
    serializers::entries_body,
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Store many values, all or nothing
///
/// The answer holds the entries in the order of the items; with `Prefer: return=minimal` their count and the batch's revision.
#[utoipa::path(
    post,
    path = "/kv-store/v1/kv/batch/",
    tag = "values",
    params(schemas::BatchHeaders),
    request_body(content = schemas::BatchBody, description = "1 to 10,000 items with distinct keys"),
    responses(
        (status = 200, description = "All values are stored", body = schemas::BatchAnswer),
    ),
)]
pub(crate) async fn batch_put(api: &Api, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Query::parse(parts.uri.query(), &[])?;
    conditions::none_on_batch(&parts.headers)?;
    expect_json(&parts.headers)?;
    let idempotency_key = idempotency_key(&parts.headers)?;
    let limit = Limit { bytes: api.service.limits().body_bytes_max, name: "max_body_bytes" };
    let received = body::receive(api, &parts.headers, body, limit).await?;
    let batch = parse_batch(&received.bytes, idempotency_key)?;
    let reservation = received.parsed(api, batch.items().len(), batch.weight())?;
    match api.service.batch_put(BatchPut(batch)).await? {
        BatchAnswer::Stored { revision, entries, replayed } => {
            let minimal = prefers_minimal(&parts.headers);
            let expires = entries.iter().any(|entry| entry.header.expires_at.is_some());
            let body = if minimal {
                full(format!("{{\"count\":{},\"revision\":{revision}}}", entries.len()).into())
            } else {
                entries_body(b"[".to_vec(), entries.into_iter().map(Some).collect(), b"]".to_vec(), Some(reservation))
            };
            let mut response = respond::kv_json(StatusCode::OK, body);
            let headers = response.headers_mut();
            respond::replayed(headers, replayed);
            if expires {
                respond::no_store(headers);
            }
            if minimal {
                headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
            }
            Ok(response)
        }
        BatchAnswer::ConditionFailed(failed) => Err(conditions_failed(&failed)),
    }
}

fn conditions_failed(failed: &[FailedCondition]) -> Problem {
    let mut faults = Faults::default();
    for FailedCondition { index, current } in failed {
        let detail = match current {
            Some(header) => format!("the condition did not hold: the key has revision {}", header.revision),
            None => "the condition did not hold: the key does not exist".to_owned(),
        };
        faults.push(format!("/items/{index}"), detail);
    }
    Problem::with_faults(Kind::PreconditionFailed, faults)
}

//! `POST /restore/`: entries come back with all their metadata.

use axum::extract::Request;
use http::StatusCode;
use kvstore_types::RestoreOutcome;

use crate::{
    api::Api,
    body::{self, Limit, full},
    conditions,
    errors::{Faults, Kind, Problem},
    openapi::schemas,
    query::Query,
    request_headers::expect_json,
    respond::{self, Response},
    restored::parse_restore,
};

/// Restore entries as they were
///
/// Versions, revisions and times are kept. The batch is applied, all or nothing, only if the store's last applied revision is
/// `if_applied_revision`: so nothing but the restore has written since the store was empty. An entry that is there already is passed
/// over, so that a batch can be sent again.
#[utoipa::path(
    post,
    path = "/kv-store/v1/restore/",
    tag = "operation",
    request_body(content = schemas::RestoreBody, description = "1 to 10,000 entries with distinct keys"),
    responses(
        (status = 200, description = "All entries are there", body = schemas::RestoreAnswer),
    ),
)]
pub(crate) async fn restore(api: &Api, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Query::parse(parts.uri.query(), &[])?;
    conditions::none_on_batch(&parts.headers)?;
    expect_json(&parts.headers)?;
    let limit = Limit { bytes: api.service.limits().body_bytes_max, name: "max_body_bytes" };
    let received = body::receive(api, &parts.headers, body, limit).await?;
    let batch = parse_restore(&received.bytes)?;
    let _reservation = received.parsed(api, batch.items().len(), batch.weight())?;
    let (count, expected) = (batch.items().len(), batch.expected());
    match api.service.restore(batch).await? {
        RestoreOutcome::Restored { applied } => {
            let answer = format!("{{\"count\":{count},\"applied_revision\":{applied}}}");
            Ok(respond::kv_json(StatusCode::OK, full(answer.into())))
        }
        RestoreOutcome::Moved { applied } => Err(Problem::new(
            Kind::PreconditionFailed,
            format!(
                "The store's last applied revision is {applied}, not {expected}: something else was written to it. Restore into an empty store, and let nothing else write until that is done."
            ),
        )),
        RestoreOutcome::Occupied(failed) => {
            let mut faults = Faults::default();
            for failed in failed {
                let holds = failed.current.map_or_else(String::new, |header| format!(": the key holds revision {}", header.revision));
                faults.push(format!("/items/{}/key", failed.index), format!("another entry is there{holds}"));
            }
            Err(Problem::with_faults(Kind::PreconditionFailed, faults))
        }
        RestoreOutcome::Ahead(positions) => {
            let mut faults = Faults::default();
            for at in positions {
                faults.push(format!("/items/{at}/updated_at"), "it is more than an hour ahead of this server's clock; set the clock right");
            }
            Err(Problem::with_faults(Kind::BadItems, faults))
        }
    }
}

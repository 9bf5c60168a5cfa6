//! `GET /backup/`: a consistent copy of the whole store, while it serves.

use axum::extract::Request;
use http::{HeaderValue, StatusCode, header};
use kvstore_types::limits::{BACKUP_RATE_MB_DEFAULT, BACKUP_RATE_MB_MAX};

use crate::{
    api::Api,
    archive::{self, Rate},
    errors::Problem,
    openapi::schemas,
    query::{Query, bad},
    respond::{self, Response},
};

/// Back up the store
///
/// A tar archive of a consistent copy: every write acknowledged before the request is in it, and of each batch all or nothing. The
/// first entry, `kvstore-backup.json`, lists the files; the last, `kvstore-backup.b3`, holds their BLAKE3 checksums. An archive
/// without its last entry broke off. Unpacked into a directory, it is what `kvstore restore` takes.
#[utoipa::path(
    get,
    path = "/kv-store/v1/backup/",
    tag = "operation",
    params(schemas::BackupOptions),
    responses(
        (status = 200, description = "The archive", body = schemas::Bytes, content_type = "application/x-tar"),
    ),
)]
pub(crate) async fn backup(api: &Api, request: Request) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query(), &["rate_mb"])?;
    let rate = query.get("rate_mb").map_or(Ok(BACKUP_RATE_MB_DEFAULT), rate_mb)?;
    let backup = api.service.backup().await?;
    let mut response = respond::kv(StatusCode::OK, archive::body(backup, Rate { bytes_per_second: rate << 20 }));
    let headers = response.headers_mut();
    respond::no_store(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"kvstore-backup.tar\""));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn rate_mb(text: &str) -> Result<u64, Problem> {
    let rate = text.parse().ok().filter(|rate| *rate <= BACKUP_RATE_MB_MAX);
    rate.ok_or_else(|| bad(format!("rate_mb is a whole number of MiB per second, up to {BACKUP_RATE_MB_MAX}; 0 stands for no limit.")))
}

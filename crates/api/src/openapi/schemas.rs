//! The shapes that the OpenAPI document shows. They describe; what comes in is parsed by `entries.rs`, what goes out is written by
//! `serializers.rs`.

#![expect(dead_code, reason = "read by the macros that build the document")]

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// An entry.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry {
    #[schema(example = "user:1")]
    key: String,
    /// Text; other bytes as base64, with `encoding` beside it. Left out with `keys_only`.
    #[schema(example = "Ada", required = false, nullable = false)]
    value: Option<String>,
    /// There where the value is base64.
    #[schema(required = false, nullable = false)]
    encoding: Option<Encoding>,
    /// 1 at creation, one more at each update.
    #[schema(minimum = 1)]
    version: u64,
    /// The batch that wrote this state; the ETag.
    #[schema(minimum = 1)]
    revision: u64,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// There where it is set.
    #[schema(format = DateTime, required = false, nullable = false)]
    expires_at: Option<String>,
}

/// How a value that is not text is written.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    Base64,
}

/// A value, byte for byte.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Bytes(Vec<u8>);

/// Any JSON object.
#[derive(Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct AnyObject(serde_json::Value);

/// The body of a put.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutBody {
    value: String,
    #[schema(required = false, nullable = false)]
    encoding: Option<Encoding>,
    /// Seconds to live.
    #[schema(minimum = 1, maximum = 315_360_000, required = false, nullable = false)]
    ttl: Option<u64>,
}

/// One item of a batch.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchItem {
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\x00]+$")]
    key: String,
    value: String,
    #[schema(required = false, nullable = false)]
    encoding: Option<Encoding>,
    /// Seconds to live.
    #[schema(minimum = 1, maximum = 315_360_000, required = false, nullable = false)]
    ttl: Option<u64>,
    /// A revision, or an ETag; `*` asks that the key exists.
    #[schema(required = false, nullable = false)]
    if_match: Option<RevisionOrTag>,
    /// Only `*`: the key must be absent.
    #[schema(required = false, nullable = false, pattern = r"^\*$")]
    if_none_match: Option<String>,
}

/// A revision as a number, or an ETag.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum RevisionOrTag {
    Revision(u64),
    Tag(String),
}

/// A batch.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    #[schema(min_items = 1, max_items = 10_000)]
    items: Vec<BatchItem>,
}

/// The entries in the order of the items; or, with `Prefer: return=minimal`, their count.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchAnswer {
    Entries(Vec<Entry>),
    Minimal(MinimalAnswer),
}

/// What a batch did, in short.
#[derive(Serialize, ToSchema)]
pub(crate) struct MinimalAnswer {
    count: u64,
    revision: u64,
}

/// Entries to restore.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreBody {
    /// The store's last applied revision: 0 in an empty store, then what the last answer said.
    #[schema(maximum = 9_007_199_254_740_992_i64)]
    if_applied_revision: u64,
    #[schema(min_items = 1, max_items = 10_000)]
    items: Vec<Entry>,
}

/// What a restore did.
#[derive(Serialize, ToSchema)]
pub(crate) struct RestoreAnswer {
    count: u64,
    /// The store's last applied revision now.
    applied_revision: u64,
}

/// Keys to read.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadBody {
    #[schema(max_items = 1_000)]
    keys: Vec<String>,
}

/// An entry or null for each key, in their order.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManyAnswer {
    results: Vec<Option<Entry>>,
}

/// A page.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    count: u64,
    results: Vec<Entry>,
    has_more: bool,
    /// The last key examined; there exactly when `has_more` is true.
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
}

/// A page; with `key`, that entry.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PageOrEntry {
    Page(Page),
    Entry(Entry),
}

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    #[schema(example = "urn:kvstore:problem:bad-key")]
    r#type: String,
    title: String,
    status: u16,
    /// One sentence that a person can act on.
    detail: String,
    /// One for each fault of the body; at most 100.
    #[schema(required = false, nullable = false)]
    errors: Option<Vec<Fault>>,
    /// On every 5xx to a write.
    #[schema(required = false, nullable = false)]
    outcome: Option<Outcome>,
    /// Names the request in the server's log.
    request_id: String,
}

/// One fault of a body.
#[derive(Serialize, ToSchema)]
pub(crate) struct Fault {
    /// A JSON pointer into the body.
    #[schema(example = "/items/3/ttl")]
    pointer: String,
    detail: String,
}

/// What is known of a failed write.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    NotApplied,
    Unknown,
}

/// The key in the path: percent-encoded UTF-8, 1 to 255 characters.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyInPath {
    /// The key. A slash may be sent raw or as %2F.
    #[param(min_length = 1, max_length = 255, pattern = r"^[^\x00]+$", example = "user:1")]
    key: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadOptions {
    /// The value's bytes instead of JSON.
    #[param(required = false, nullable = false)]
    raw: Option<bool>,
    /// `stale` may be served from what this node has applied.
    #[param(inline, required = false, nullable = false)]
    consistency: Option<Consistency>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Freshness {
    /// `stale` may be served from what this node has applied.
    #[param(inline, required = false, nullable = false)]
    consistency: Option<Consistency>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Consistency {
    Linearizable,
    Stale,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RangeOptions {
    /// Read this one key instead; then only `raw` and `consistency` are taken beside it.
    #[param(min_length = 1, max_length = 255, pattern = r"^[^\x00]+$", required = false, nullable = false)]
    key: Option<String>,
    /// With `key`: the value's bytes instead of JSON.
    #[param(required = false, nullable = false)]
    raw: Option<bool>,
    /// The first key, inclusive.
    #[param(max_length = 255, pattern = r"^[^\x00]*$", required = false, nullable = false)]
    start: Option<String>,
    /// The last key, inclusive.
    #[param(max_length = 255, pattern = r"^[^\x00]*$", required = false, nullable = false)]
    end: Option<String>,
    /// Only keys that begin with this.
    #[param(required = false, nullable = false)]
    prefix: Option<String>,
    /// Entries on the page; above 10,000 counts as 10,000.
    #[param(minimum = 1, default = 10_000, required = false, nullable = false)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(max_length = 255, pattern = r"^[^\x00]*$", required = false, nullable = false)]
    cursor: Option<String>,
    /// From the greatest key down.
    #[param(required = false, nullable = false)]
    reverse: Option<bool>,
    /// Entries without their values.
    #[param(required = false, nullable = false)]
    keys_only: Option<bool>,
    /// `stale` may be served from what this node has applied.
    #[param(inline, required = false, nullable = false)]
    consistency: Option<Consistency>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BackupOptions {
    /// How fast it is sent, in MiB per second; 0 for as fast as it can be.
    #[param(minimum = 0, maximum = 1_000_000, default = 64, required = false, nullable = false)]
    rate_mb: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ReadHeaders {
    /// 304 where one of these ETags is the current one.
    #[param(rename = "If-None-Match", required = false, nullable = false)]
    if_none_match: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct WriteHeaders {
    /// Write only where the key has this ETag, or with `*` where it exists.
    #[param(
        rename = "If-Match",
        pattern = r#"^(\*|(0|[1-9][0-9]{0,19})(-raw)?|"(0|[1-9][0-9]{0,19})(-raw)?")$"#,
        required = false,
        nullable = false
    )]
    if_match: Option<String>,
    /// Only `*`: write only where the key is absent.
    #[param(rename = "If-None-Match", pattern = r"^\*$", required = false, nullable = false)]
    if_none_match: Option<String>,
    /// A repeat under the same key gets the first answer again.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$", required = false, nullable = false)]
    idempotency_key: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct BatchHeaders {
    /// A repeat under the same key gets the first answer again.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, pattern = "^[!-~]+$", required = false, nullable = false)]
    idempotency_key: Option<String>,
    /// `return=minimal` for a short answer.
    #[param(rename = "Prefer", required = false, nullable = false)]
    prefer: Option<String>,
}

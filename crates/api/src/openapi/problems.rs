//! Which problems each operation can answer with, one example of every kind, and the table of all kinds. Types, titles and statuses
//! are those of `errors.rs`.

use std::{collections::BTreeMap, fmt::Write};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use utoipa::openapi::{Components, Content, Ref, RefOr, Response, example::Example, path::Operation as Described};

use crate::{
    errors::{Kind, TYPE_PREFIX},
    urls::{Operation, Resource, Route},
};

pub(super) const MEDIA: &str = "application/problem+json";

/// Problems of every operation: what comes before any view has a say.
const OF_ALL: &[Kind] =
    &[Kind::BadRequest, Kind::HeadTimeout, Kind::UriTooLong, Kind::WrongHost, Kind::HeadTooLarge, Kind::Internal, Kind::Overloaded];
const OF_BODIES: &[Kind] = &[Kind::BadJson, Kind::BadItems, Kind::BodyTimeout, Kind::TooLarge, Kind::MediaType];
const OF_WRITES: &[Kind] = &[Kind::BadCondition, Kind::PreconditionFailed, Kind::IdempotencyMismatch, Kind::OutcomeUnknown, Kind::NoSpace];

const OF_BACKUPS: &[Kind] = &[Kind::BackupUnderWay, Kind::Unavailable, Kind::NotSupported, Kind::NoSpace];

/// The kinds that an operation can answer with.
fn kinds(route: &Route) -> Vec<Kind> {
    let operation = route.operation;
    let reads_many = operation == Operation::ReadMany;
    let takes_body = reads_many || matches!(operation, Operation::PutValue | Operation::BatchPut | Operation::Restore);
    // A page is asked for at the same path as a key that is named in the query.
    let names_key = matches!(route.resource, Resource::Value | Resource::Keys);
    let takes_query = !matches!(operation, Operation::Livez | Operation::Readyz | Operation::Metrics | Operation::Index);
    let groups: [(bool, &[Kind]); 9] = [
        (true, OF_ALL),
        (!operation.is_open(), &[Kind::Unauthorized]),
        (takes_query, &[Kind::BadQuery]),
        (names_key, &[Kind::BadKey]),
        (names_key && operation != Operation::PutValue, &[Kind::KeyNotFound]),
        (operation == Operation::Asset, &[Kind::UnknownPath]),
        (takes_body, OF_BODIES),
        (operation.is_write(), OF_WRITES),
        (operation == Operation::Backup, OF_BACKUPS),
    ];
    let mut kinds: Vec<Kind> = groups.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, kinds)| kinds).copied().collect();
    if operation.can_be_shed() {
        kinds.push(Kind::Unavailable);
    }
    kinds
}

/// Adds the problems of an operation to what its view says of its answers.
pub(super) fn describe(described: &mut Described, route: &Route) {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds(route) {
        by_status.entry(kind.row().0.as_u16()).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let known = described.responses.responses.entry(status.to_string()).or_insert_with(|| RefOr::T(Response::new(meaning(status))));
        let RefOr::T(response) = known else { continue };
        if route.method == Method::HEAD {
            continue;
        }
        let mut content = Content::new(Some(Ref::from_schema_name("Problem")));
        for kind in kinds {
            let name = example_name(kind, route.operation.is_write());
            content.examples.insert(name.clone(), RefOr::Ref(Ref::new(format!("#/components/examples/{name}"))));
        }
        response.content.insert(MEDIA.to_owned(), RefOr::T(content));
    }
}

/// What a status means, whatever the operation.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The request can't be understood, or it asks for what is not allowed; `detail` says what to change",
        401 => "A valid token is needed",
        404 => "There is no such key, or no such file",
        408 => "The request did not arrive in time",
        409 => "Another backup is under way",
        412 => "A condition did not hold: nothing is changed. `ETag` names the current revision where one key is written",
        413 => "Over a limit, which is named",
        414 => "The target is too long",
        415 => "The body has a media type or a coding that is not taken",
        421 => "The request is for another host",
        422 => "The idempotency key was used for another request",
        431 => "The head is too large",
        500 => "Stored data could not be read, or the server failed; a write says in `outcome` what became of it",
        501 => "This store can't do that",
        503 => "Overloaded, or the store can't serve now: nothing was done. `Retry-After` says when to come back",
        504 => "The outcome of the write is unknown: read before repeating it, or repeat it under its idempotency key",
        507 => "Too little disk space: nothing was done",
        _ => "A problem",
    }
}

/// A write that fails with a 5xx also says what became of it.
fn example_name(kind: Kind, is_write: bool) -> String {
    let suffix = if is_write && kind.row().0.is_server_error() { "-of-a-write" } else { "" };
    format!("{}{suffix}", kind.slug())
}

/// Adds the examples to the parts that the document shares.
pub(super) fn share(components: &mut Components) {
    for kind in Kind::ALL {
        for is_write in [false, true] {
            let only_writes = kind == Kind::OutcomeUnknown;
            if is_write || !only_writes {
                let mut example = Example::new();
                example.summary = kind.row().2.to_owned();
                example.value = Some(document(kind, is_write));
                components.examples.insert(example_name(kind, is_write), RefOr::T(example));
            }
        }
    }
}

fn document(kind: Kind, is_write: bool) -> Value {
    let (status, slug, title) = kind.row();
    let mut document = json!({
        "type": format!("{TYPE_PREFIX}{slug}"), "title": title, "status": status.as_u16(), "detail": detail(kind),
    });
    let Some(members) = document.as_object_mut() else { return document };
    if let Some(faults) = faults(kind) {
        members.insert("errors".to_owned(), faults);
    }
    if is_write && status.is_server_error() {
        let outcome = if status == StatusCode::GATEWAY_TIMEOUT { "unknown" } else { "not_applied" };
        members.insert("outcome".to_owned(), outcome.into());
    }
    members.insert("request_id".to_owned(), "5f6c3ad20e9b7184-42".into());
    document
}

#[rustfmt::skip]
const fn detail(kind: Kind) -> &'static str {
    match kind {
        Kind::BadRequest          => "The body broke off or is not framed as HTTP asks.",
        Kind::BadKey              => "The key has 300 characters; the limit is 255.",
        Kind::BadQuery            => "consistency is linearizable or stale.",
        Kind::BadJson             => "The body is not valid JSON: expected `,` or `}` at line 1 column 17.",
        Kind::BadItems            => "The body has 2 faults; see errors.",
        Kind::BadCondition        => "If-Match takes * or one ETag as this server gives it, like \"42\".",
        Kind::Unauthorized        => "Send the server's token as \"Authorization: Bearer <token>\".",
        Kind::UnknownPath         => "There is nothing at this path; keys are at /kv-store/v1/kv/<key>/.",
        Kind::KeyNotFound         => "The key does not exist, or it has expired.",
        Kind::MethodNotAllowed    => "This path takes GET, PUT, HEAD, DELETE.",
        Kind::BodyTimeout         => "No further part of the body arrived in time.",
        Kind::HeadTimeout         => "Send the whole head of the request at once.",
        Kind::BackupUnderWay      => "Another backup is under way; wait until it has ended.",
        Kind::PreconditionFailed  => "The condition did not hold: the key has revision 42.",
        Kind::TooLarge            => "The body has 67108865 bytes; the limit is 67108864 (max_body_bytes).",
        Kind::UriTooLong          => "Shorten the path or the query.",
        Kind::MediaType           => "This operation takes JSON; send Content-Type: application/json.",
        Kind::WrongHost           => "The Host header names a host that this server does not answer for; allow it with KVSTORE_ALLOWED_HOSTS.",
        Kind::IdempotencyMismatch => "This idempotency key was used before with another payload; send a new key with a new request.",
        Kind::HeadTooLarge        => "The request has 70 header fields; the limit is 64.",
        Kind::Internal            => "Reading stored data failed; see the server's log.",
        Kind::NotSupported        => "This store keeps its data in memory alone, so there are no files to copy.",
        Kind::Overloaded          => "Too many requests are under way; try again later.",
        Kind::Unavailable         => "The server is shutting down; try again later.",
        Kind::OutcomeUnknown      => "The write may have been applied or not; read the key before repeating it, or repeat it under its idempotency key.",
        Kind::NoSpace             => "Free disk space is below 268435456 bytes; delete keys or make room on the disk. Deletes are still taken.",
    }
}

fn faults(kind: Kind) -> Option<Value> {
    (kind == Kind::BadItems).then(|| {
        json!([
            { "pointer": "/items/3/ttl", "detail": "it must be a whole number of seconds from 1 to 315360000" },
            { "pointer": "/items/4/value", "detail": "the member is missing" },
        ])
    })
}

/// All kinds as a table, for the document's description.
pub(super) fn table() -> String {
    let mut table = String::from("| Type | Status | Meaning |\n|---|---|---|\n");
    for kind in Kind::ALL {
        let (status, slug, title) = kind.row();
        // Writing to a String can't fail.
        let _ = writeln!(table, "| `{TYPE_PREFIX}{slug}` | {} | {title} |", status.as_u16());
    }
    table
}

//! Which headers each answer can have.

use utoipa::openapi::{Components, Header, ObjectBuilder, Ref, RefOr, Type, path::Operation as Described};

use crate::urls::{Operation, Resource, Route};

/// The headers, with their meanings and an example.
#[rustfmt::skip]
const HEADERS: [(&str, &str, &str); 17] = [
    ("Cache-Control", "`no-cache`, or `no-store` for what expires and for problems", "no-cache"),
    ("Content-Disposition", "Of a backup: a name to save it under", "attachment; filename=\"kvstore-backup.tar\""),
    ("Content-Security-Policy", "Of a page: it loads from this server and from nowhere else", "default-src 'none'; script-src 'self'"),
    ("ETag", "The revision, in quotes; of the bytes `\"<revision>-raw\"`; of a file, a hash", "\"42\""),
    ("Idempotency-Replayed", "`true` where this is the first answer under the idempotency key, given again", "true"),
    ("KV-Applied-Revision", "With `consistency=stale`: what this node has applied", "42"),
    ("KV-Key", "The key, percent-encoded. A client that sent another one knows that its path was rewritten on the way", "fruit%2Fapple"),
    ("KV-Version", "Of the bytes: the entry's version", "1"),
    ("Last-Modified", "Of the bytes: when the entry was last written", "Sun, 22 Nov 2026 21:00:00 GMT"),
    ("Location", "The key's path", "/kv-store/v1/kv/fruit%2Fapple/"),
    ("Preference-Applied", "`return=minimal` where the short answer was asked for", "return=minimal"),
    ("Referrer-Policy", "Of a page", "no-referrer"),
    ("Retry-After", "Seconds after which to try again", "1"),
    ("Vary", "The answer depends on these headers of the request", "Accept"),
    ("WWW-Authenticate", "How to send the token", "Bearer realm=\"kvstore\""),
    ("X-Content-Type-Options", "The content is what Content-Type says", "nosniff"),
    ("X-Request-Id", "Names the request in the server's log: the id that was sent, or on a problem one of the server's own", "5f6c3ad20e9b7184-42"),
];

/// Adds the headers to the parts that the document shares.
pub(super) fn share(components: &mut Components) {
    for (name, description, example) in HEADERS {
        let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String));
        header.description = Some(description.to_owned());
        header.example = Some(example.into());
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
}

/// Adds the headers of each answer of an operation.
pub(super) fn describe(described: &mut Described, route: &Route) {
    for (status, response) in &mut described.responses.responses {
        let (Ok(status), RefOr::T(response)) = (status.parse(), response) else { continue };
        let reference = |name: &str| RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
        response.headers = of_answer(route, status).into_iter().map(|name| (name.to_owned(), reference(name))).collect();
    }
}

fn of_answer(route: &Route, status: u16) -> Vec<&'static str> {
    let operation = route.operation;
    let is_kv = operation.can_be_shed();
    let of_key = matches!(route.resource, Resource::Value | Resource::Keys);
    let is_problem = status >= 400;
    let is_read = is_kv && !operation.is_write();
    let mut names = vec!["Cache-Control", "X-Request-Id"];
    let mut put = |applies: bool, more: &[&'static str]| names.extend(more.iter().filter(|_| applies));
    put(is_problem || is_kv || matches!(operation, Operation::Schema | Operation::Index), &["Vary"]);
    put(is_problem || !is_kv || (is_read && of_key && status == 200), &["X-Content-Type-Options"]);
    put(status == 401, &["WWW-Authenticate"]);
    put(status == 503, &["Retry-After"]);
    // The key of a write is known before anything can go wrong but what every operation has in common.
    put(operation.is_write() && of_key, &["KV-Key"]);
    put(operation.is_write() && !is_problem, &["Idempotency-Replayed"]);
    put(operation.is_write() && of_key && matches!(status, 200 | 201 | 412), &["ETag"]);
    put(status == 201, &["Location"]);
    put(operation == Operation::Backup && !is_problem, &["Content-Disposition", "Vary"]);
    put(operation == Operation::BatchPut && status == 200, &["Preference-Applied"]);
    put(is_read && matches!(status, 200 | 304 | 404), &["KV-Applied-Revision"]);
    put(is_read && of_key && matches!(status, 200 | 304), &["ETag"]);
    put(is_read && of_key && status == 200, &["KV-Version", "Last-Modified"]);
    put(matches!(operation, Operation::Docs | Operation::Redoc | Operation::Asset) && !is_problem, &["ETag"]);
    let is_page = matches!(operation, Operation::Docs | Operation::Redoc | Operation::Index);
    put(is_page && !is_problem, &["Content-Security-Policy", "Referrer-Policy"]);
    names
}

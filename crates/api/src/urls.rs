//! The route table, whole. A request's path names a resource; the table says which operation a method is there.

use http::{Method, Uri};

use crate::{
    assets::{self, ASSETS_PATH},
    query,
};

/// Where the API lives.
pub(crate) const BASE: &str = "/kv-store/v1";
/// What comes before a key.
pub(crate) const KV: &str = "/kv-store/v1/kv/";

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Value,
    Keys,
    Batch,
    Read,
    Backup,
    Restore,
    Health,
    Livez,
    Readyz,
    Metrics,
    Schema,
    Docs,
    Redoc,
    Asset,
    Index,
}

/// What a request does; also the `operation` label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    ReadValue,
    HeadValue,
    PutValue,
    DeleteValue,
    ReadRange,
    HeadRange,
    BatchPut,
    Restore,
    ReadMany,
    Backup,
    Health,
    Livez,
    Readyz,
    Metrics,
    Schema,
    Docs,
    Redoc,
    Asset,
    Index,
    /// No such path or method.
    Unknown,
}

/// A line of the table.
pub(crate) struct Route {
    pub(crate) resource: Resource,
    pub(crate) method: Method,
    pub(crate) operation: Operation,
    /// The path as the OpenAPI document writes it.
    pub(crate) path: &'static str,
}

const fn route(resource: Resource, method: Method, operation: Operation, path: &'static str) -> Route {
    Route { resource, method, operation, path }
}

#[rustfmt::skip]
pub(crate) static ROUTES: [Route; 29] = [
    route(Resource::Value,   Method::GET,    Operation::ReadValue,   "/kv-store/v1/kv/{key}/"),
    route(Resource::Value,   Method::PUT,    Operation::PutValue,    "/kv-store/v1/kv/{key}/"),
    route(Resource::Value,   Method::HEAD,   Operation::HeadValue,   "/kv-store/v1/kv/{key}/"),
    route(Resource::Value,   Method::DELETE, Operation::DeleteValue, "/kv-store/v1/kv/{key}/"),
    // With `?key=` GET and HEAD are of that key: see `operation`.
    route(Resource::Keys,    Method::GET,    Operation::ReadRange,   "/kv-store/v1/kv/"),
    route(Resource::Keys,    Method::HEAD,   Operation::HeadRange,   "/kv-store/v1/kv/"),
    route(Resource::Keys,    Method::PUT,    Operation::PutValue,    "/kv-store/v1/kv/"),
    route(Resource::Keys,    Method::DELETE, Operation::DeleteValue, "/kv-store/v1/kv/"),
    route(Resource::Batch,   Method::POST,   Operation::BatchPut,    "/kv-store/v1/kv/batch/"),
    route(Resource::Restore, Method::POST,   Operation::Restore,     "/kv-store/v1/restore/"),
    route(Resource::Read,    Method::POST,   Operation::ReadMany,    "/kv-store/v1/read/"),
    route(Resource::Backup,  Method::GET,    Operation::Backup,      "/kv-store/v1/backup/"),
    route(Resource::Health,  Method::GET,    Operation::Health,      "/kv-store/v1/health/"),
    route(Resource::Health,  Method::HEAD,   Operation::Health,      "/kv-store/v1/health/"),
    route(Resource::Livez,   Method::GET,    Operation::Livez,       "/livez"),
    route(Resource::Livez,   Method::HEAD,   Operation::Livez,       "/livez"),
    route(Resource::Readyz,  Method::GET,    Operation::Readyz,      "/readyz"),
    route(Resource::Readyz,  Method::HEAD,   Operation::Readyz,      "/readyz"),
    route(Resource::Metrics, Method::GET,    Operation::Metrics,     "/metrics"),
    route(Resource::Schema,  Method::GET,    Operation::Schema,      "/kv-store/schema/"),
    route(Resource::Schema,  Method::HEAD,   Operation::Schema,      "/kv-store/schema/"),
    route(Resource::Docs,    Method::GET,    Operation::Docs,        "/kv-store/docs/"),
    route(Resource::Docs,    Method::HEAD,   Operation::Docs,        "/kv-store/docs/"),
    route(Resource::Redoc,   Method::GET,    Operation::Redoc,       "/kv-store/redoc/"),
    route(Resource::Redoc,   Method::HEAD,   Operation::Redoc,       "/kv-store/redoc/"),
    route(Resource::Asset,   Method::GET,    Operation::Asset,       "/kv-store/assets/{file}"),
    route(Resource::Asset,   Method::HEAD,   Operation::Asset,       "/kv-store/assets/{file}"),
    route(Resource::Index,   Method::GET,    Operation::Index,       "/"),
    route(Resource::Index,   Method::HEAD,   Operation::Index,       "/"),
];

/// Why a request has no operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No such path.
    Path,
    /// The path does not take the method; these it takes.
    Method(String),
}

/// The operation of a request.
pub(crate) fn operation(method: &Method, uri: &Uri) -> Result<Operation, NoRoute> {
    let resource = resource(method, uri.path()).ok_or(NoRoute::Path)?;
    let found = ROUTES.iter().find(|route| route.resource == resource && route.method == *method);
    match found.map(|route| route.operation) {
        Some(Operation::ReadRange) if query::names_key(uri.query()) => Ok(Operation::ReadValue),
        Some(Operation::HeadRange) if query::names_key(uri.query()) => Ok(Operation::HeadValue),
        Some(operation) => Ok(operation),
        None => Err(NoRoute::Method(allowed(resource, uri.path()))),
    }
}

/// What a path names. A key named `batch` is a key like any other: only a POST is the batch.
fn resource(method: &Method, path: &str) -> Option<Resource> {
    if let Some(rest) = path.strip_prefix(KV) {
        return Some(match rest {
            "" => Resource::Keys,
            "batch" | "batch/" if method == Method::POST => Resource::Batch,
            _ => Resource::Value,
        });
    }
    Some(match path.strip_suffix('/').unwrap_or(path) {
        "/kv-store/v1/kv" => Resource::Keys,
        "/kv-store/v1/read" => Resource::Read,
        "/kv-store/v1/backup" => Resource::Backup,
        "/kv-store/v1/restore" => Resource::Restore,
        "/kv-store/v1/health" => Resource::Health,
        "/livez" => Resource::Livez,
        "/readyz" => Resource::Readyz,
        "/metrics" => Resource::Metrics,
        "/kv-store/schema" => Resource::Schema,
        "/kv-store/docs" => Resource::Docs,
        "/kv-store/redoc" => Resource::Redoc,
        path if path.strip_prefix(ASSETS_PATH).is_some_and(|name| assets::find(name).is_some()) => Resource::Asset,
        "" => Resource::Index,
        _ => return None,
    })
}

fn allowed(resource: Resource, path: &str) -> String {
    let batch = matches!(path.strip_prefix(KV), Some("batch" | "batch/"));
    let routes = ROUTES.iter().filter(|route| route.resource == resource || (batch && route.resource == Resource::Batch));
    routes.map(|route| route.method.as_str()).collect::<Vec<_>>().join(", ")
}

impl Operation {
    /// All of them, in the order of their declaration.
    #[rustfmt::skip]
    pub(crate) const ALL: [Self; 20] = [
        Self::ReadValue, Self::HeadValue, Self::PutValue, Self::DeleteValue, Self::ReadRange, Self::HeadRange, Self::BatchPut,
        Self::Restore, Self::ReadMany, Self::Backup, Self::Health, Self::Livez, Self::Readyz, Self::Metrics, Self::Schema, Self::Docs,
        Self::Redoc, Self::Asset, Self::Index, Self::Unknown,
    ];

    /// The operation's name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ReadValue => "read_value",
            Self::HeadValue => "head_value",
            Self::PutValue => "put_value",
            Self::DeleteValue => "delete_value",
            Self::ReadRange => "read_range",
            Self::HeadRange => "head_range",
            Self::BatchPut => "batch_put",
            Self::Restore => "restore",
            Self::ReadMany => "read_many",
            Self::Backup => "backup",
            Self::Health => "health",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::Schema => "schema",
            Self::Docs => "docs",
            Self::Redoc => "redoc",
            Self::Asset => "asset",
            Self::Index => "index",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it can change data, so that a 5xx must say what became of it.
    pub(crate) const fn is_write(self) -> bool {
        matches!(self, Self::PutValue | Self::DeleteValue | Self::BatchPut | Self::Restore)
    }

    /// Whether it answers without a token: what a load balancer asks, and the documents, which are the same at every server and
    /// which a browser could not send a token for.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Livez | Self::Readyz | Self::Schema | Self::Docs | Self::Redoc | Self::Asset | Self::Index)
    }

    /// Whether it is refused when too many requests are under way. Health and metrics never are, and there is one backup at a time.
    pub(crate) const fn can_be_shed(self) -> bool {
        (self as usize) <= Self::ReadMany as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, uri: &'static str) -> Result<Operation, NoRoute> {
        operation(&method, &Uri::from_static(uri))
    }

    #[test]
    fn only_a_post_is_the_batch() {
        assert_eq!(of(Method::POST, "/kv-store/v1/kv/batch/"), Ok(Operation::BatchPut));
        assert_eq!(of(Method::POST, "/kv-store/v1/kv/batch"), Ok(Operation::BatchPut));
        assert_eq!(of(Method::PUT, "/kv-store/v1/kv/batch/"), Ok(Operation::PutValue));
        assert_eq!(of(Method::GET, "/kv-store/v1/kv/batch"), Ok(Operation::ReadValue));
        assert_eq!(of(Method::PATCH, "/kv-store/v1/kv/batch/"), Err(NoRoute::Method("GET, PUT, HEAD, DELETE, POST".into())));
        assert_eq!(of(Method::POST, "/kv-store/v1/kv/a/"), Err(NoRoute::Method("GET, PUT, HEAD, DELETE".into())));
    }

    #[test]
    fn operations_are_listed_in_order() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "{}", operation.name());
        }
    }

    #[test]
    fn a_key_in_the_query_is_a_read_of_one() {
        assert_eq!(of(Method::GET, "/kv-store/v1/kv/?limit=1"), Ok(Operation::ReadRange));
        assert_eq!(of(Method::GET, "/kv-store/v1/kv/?raw=true&key="), Ok(Operation::ReadValue));
        assert_eq!(of(Method::HEAD, "/kv-store/v1/kv?key=a"), Ok(Operation::HeadValue));
    }
}

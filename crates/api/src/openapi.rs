//! The OpenAPI document, built from the views. It is made when it is first asked for, and kept.

pub(crate) mod schemas;

mod examples;
mod headers;
mod problems;
mod sharing;

use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Model, RefOr,
        path::{Operation, ParameterIn},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use self::sharing::Shared;
use crate::{
    urls::{ROUTES, Route},
    views,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kvstore",
        description = "A persistent key-value store.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "The server that this document comes from")),
    paths(
        views::read_value, views::head_value, views::put_value, views::delete_value, views::read_range, views::head_range,
        views::batch_put, views::restore, views::read_many, views::backup, views::health, views::livez, views::readyz, views::metrics, views::schema,
        views::docs, views::redoc, views::asset, views::index,
    ),
    components(schemas(schemas::Problem)),
    tags(
        (name = "values", description = "Reading and writing"),
        (name = "operation", description = "Running a node"),
        (name = "documents", description = "This document, and pages to read it"),
    ),
    security(("token" = []), ()),
    modifiers(&Introduction, &Token, &KeyInQuery, &HeadLikeGet, &Answers),
)]
struct Description;

/// What a reader should know before the first operation. The table of problems is the one that the server answers by.
struct Introduction;

const INTRODUCTION: &str = include_str!("openapi/introduction.md");

impl Modify for Introduction {
    fn modify(&self, model: &mut Model) {
        model.info.description = Some(INTRODUCTION.replace("{{problems}}", problems::table().trim_end()).trim_end().to_owned());
    }
}

/// The token that a server may ask for.
struct Token;

impl Modify for Token {
    fn modify(&self, model: &mut Model) {
        let components = model.components.get_or_insert_with(Default::default);
        let description = "The server's token (`KVSTORE_TOKEN`). A server without one takes every request.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// `/kv/?key=` takes the writes of `/kv/<key>/` too, with the key in the query.
struct KeyInQuery;

impl Modify for KeyInQuery {
    fn modify(&self, model: &mut Model) {
        let Some(value) = model.paths.paths.get("/kv-store/v1/kv/{key}/").cloned() else { return };
        let Some(keys) = model.paths.paths.get_mut("/kv-store/v1/kv/") else { return };
        keys.put = value.put.map(with_key_in_query);
        keys.delete = value.delete.map(with_key_in_query);
    }
}

fn with_key_in_query(mut operation: Operation) -> Operation {
    operation.operation_id = operation.operation_id.map(|id| format!("{id}_by_query"));
    operation.summary = operation.summary.map(|summary| format!("{summary}, named in the query"));
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "key"
        {
            parameter.parameter_in = ParameterIn::Query;
        }
    }
    operation
}

/// HEAD of these paths is GET without a body; a description of its own would say nothing more.
struct HeadLikeGet;

impl Modify for HeadLikeGet {
    fn modify(&self, model: &mut Model) {
        for path in [
            "/kv-store/v1/health/",
            "/livez",
            "/readyz",
            "/kv-store/schema/",
            "/kv-store/docs/",
            "/kv-store/redoc/",
            "/kv-store/assets/{file}",
            "/",
        ] {
            let Some(item) = model.paths.paths.get_mut(path) else { continue };
            let Some(mut head) = item.get.clone() else { continue };
            head.operation_id = head.operation_id.map(|id| format!("head_{id}"));
            head.summary = head.summary.map(|summary| format!("{summary}, headers only"));
            for response in head.responses.responses.values_mut() {
                if let RefOr::T(response) = response {
                    response.content.clear();
                }
            }
            item.head = Some(head);
        }
    }
}

/// What views need not say one by one: problems, headers and examples.
struct Answers;

impl Modify for Answers {
    fn modify(&self, model: &mut Model) {
        let mut shared = Shared::default();
        for route in &ROUTES {
            if let Some(described) = described(model, route) {
                problems::describe(described, route);
                headers::describe(described, route);
                examples::describe(described, route);
                shared.take(described);
            }
        }
        let components = model.components.get_or_insert_with(Default::default);
        problems::share(components);
        headers::share(components);
        shared.put(components);
    }
}

/// A route's operation in the document.
fn described<'a>(model: &'a mut Model, route: &Route) -> Option<&'a mut Operation> {
    let item = model.paths.paths.get_mut(route.path)?;
    match route.method {
        Method::GET => item.get.as_mut(),
        Method::HEAD => item.head.as_mut(),
        Method::PUT => item.put.as_mut(),
        Method::POST => item.post.as_mut(),
        Method::DELETE => item.delete.as_mut(),
        _ => None,
    }
}

/// The document in both its forms.
pub(crate) struct Document {
    json: LazyLock<Bytes>,
    yaml: LazyLock<Bytes>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            // A failure is a mistake in this crate, which the snapshot test would show.
            json: LazyLock::new(|| build(|model| model.to_pretty_json().unwrap_or_default())),
            yaml: LazyLock::new(|| build(|model| model.to_yaml().unwrap_or_default())),
        }
    }
}

/// Builds on a thread of its own: what building takes, stack and heap, goes back with the thread and is not kept for good.
fn build(write: fn(&Model) -> String) -> Bytes {
    let builder = std::thread::Builder::new().name("document".to_owned());
    let built = builder.spawn(move || write(&Description::openapi()));
    built.ok().and_then(|thread| thread.join().ok()).unwrap_or_default().into()
}

impl Document {
    pub(crate) fn json(&self) -> Bytes {
        self.json.clone()
    }

    pub(crate) fn yaml(&self) -> Bytes {
        self.yaml.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::ROUTES;

    #[test]
    fn the_document_and_the_route_table_name_the_same_operations() {
        let document: serde_json::Value = serde_json::from_slice(&Document::default().json()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut documented: Vec<_> = paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase())))
            .collect();
        let mut routed: Vec<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        documented.sort();
        routed.sort();
        assert_eq!(documented, routed);
    }

    #[test]
    fn operation_ids_are_distinct() {
        let document: serde_json::Value = serde_json::from_slice(&Document::default().json()).unwrap();
        let items = document["paths"].as_object().unwrap().values();
        let mut ids: Vec<_> =
            items.flat_map(|item| item.as_object().unwrap().values().map(|operation| operation["operationId"].to_string())).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
    }
}

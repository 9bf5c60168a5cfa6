//! The OpenAPI document, built from the views. It is made when it is first asked for, and kept.

pub(crate) mod schemas;

use std::sync::LazyLock;

use bytes::Bytes;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Model, RefOr,
        path::{Operation, ParameterIn},
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use crate::views;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kvstore",
        description = "A persistent key-value store. Errors are `application/problem+json` (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        views::read_value, views::head_value, views::put_value, views::delete_value, views::read_range, views::head_range,
        views::batch_put, views::restore, views::read_many, views::health, views::livez, views::readyz, views::metrics, views::schema, views::index,
    ),
    components(schemas(schemas::Problem)),
    tags(
        (name = "values", description = "Reading and writing"),
        (name = "operation", description = "Running a node"),
    ),
    security(("token" = []), ()),
    modifiers(&Token, &KeyInQuery, &HeadLikeGet),
)]
struct Description;

/// The token that a server may ask for.
struct Token;

impl Modify for Token {
    fn modify(&self, model: &mut Model) {
        let components = model.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
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
        for path in ["/kv-store/v1/health/", "/livez", "/readyz", "/"] {
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

/// The document in both its forms.
pub(crate) struct Document {
    json: LazyLock<Bytes>,
    yaml: LazyLock<Bytes>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            // A failure is a mistake in this crate, which the snapshot test would show.
            json: LazyLock::new(|| Description::openapi().to_pretty_json().unwrap_or_default().into()),
            yaml: LazyLock::new(|| Description::openapi().to_yaml().unwrap_or_default().into()),
        }
    }
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

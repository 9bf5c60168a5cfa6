//! The views, a file each: parse, one service call, serialize.

mod backup;
mod batch_put;
mod delete_value;
mod health;
mod index;
mod metrics;
mod pages;
mod probes;
mod put_value;
mod read_many;
mod read_range;
mod read_value;
mod restore;
mod schema;

use axum::extract::Request;

use crate::{api::Api, errors::Problem, respond::Response, urls::Operation};

// The OpenAPI document is built from these; each has its description beside it.
pub(crate) use self::{
    backup::*, batch_put::*, delete_value::*, health::*, index::*, metrics::*, pages::*, probes::*, put_value::*, read_many::*,
    read_range::*, read_value::*, restore::*, schema::*,
};

/// Calls the view of an operation.
pub(crate) async fn call(api: &Api, operation: Operation, request: Request) -> Result<Response, Problem> {
    match operation {
        Operation::ReadValue => read_value(api, request).await,
        Operation::HeadValue => head_value(api, request).await,
        Operation::PutValue => put_value(api, request).await,
        Operation::DeleteValue => delete_value(api, request).await,
        Operation::ReadRange => read_range(api, request).await,
        Operation::HeadRange => head_range(api, request).await,
        Operation::BatchPut => batch_put(api, request).await,
        Operation::Restore => restore(api, request).await,
        Operation::ReadMany => read_many(api, request).await,
        Operation::Backup => backup(api, request).await,
        Operation::Health => health(api, request).await,
        Operation::Livez => Ok(livez()),
        Operation::Readyz => Ok(readyz(api).await),
        Operation::Metrics => Ok(metrics(api)),
        Operation::Schema => schema(api, &request),
        Operation::Docs => docs(&request),
        Operation::Redoc => redoc(&request),
        Operation::Asset => asset(&request),
        Operation::Index => Ok(index(api, &request)),
        Operation::Unknown => Err(Problem::new(crate::errors::Kind::UnknownPath, "There is nothing at this path.")),
    }
}

//! The API tier of kvstore: HTTP over the service tier.
//!
//! A view parses a request, makes one service call and serializes the answer. This crate knows no backend, no settings and no
//! command line; the wire contract is API.md, the route table is `urls.rs`, and `errors.rs` is the one table of problems.

mod accept;
mod api;
mod archive;
mod assets;
mod body;
mod conditions;
mod dates;
mod entries;
mod errors;
mod guarded_io;
mod hosts;
mod json;
mod layer;
mod metrics;
mod openapi;
mod options;
mod path;
mod query;
mod request_headers;
mod respond;
mod restored;
mod serializers;
mod serve;
mod urls;
mod views;

pub use layer::App;
pub use options::ApiOptions;
pub use serve::{ServeOptions, serve};

//! The cache over real Redis: what it saves, and that no fault of Redis is seen by a reader or a writer.

pub(crate) mod authority;
pub(crate) mod conforms;
mod fenced;
pub(crate) mod node;
pub(crate) mod redis;
mod refused;
mod speed;
mod validate;

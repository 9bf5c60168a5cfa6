//! What kvstore is measured against. Each peer runs in a process of its own.

pub(crate) mod bare_rocksdb;
pub(crate) mod bare_rocksdb_process;
pub(crate) mod bare_route;
pub(crate) mod etcd;
pub(crate) mod redis;
mod rocksdb_route;

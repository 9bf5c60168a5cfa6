//! `Api`: what every view shares.

use std::sync::atomic::AtomicUsize;

use kvstore_service::Service;

use crate::{hosts::Hosts, metrics::Metrics, openapi::Document, options::ApiOptions};

/// The service, the options and what is derived from them once.
pub(crate) struct Api {
    pub(crate) service: Service,
    pub(crate) options: ApiOptions,
    pub(crate) hosts: Hosts,
    pub(crate) metrics: Metrics,
    pub(crate) document: Document,
    /// Requests under way.
    pub(crate) in_flight: AtomicUsize,
    /// KV requests under way: those that can be shed.
    pub(crate) kv_in_flight: AtomicUsize,
}

impl Api {
    pub(crate) fn new(service: Service, options: ApiOptions) -> Self {
        Self {
            service,
            hosts: Hosts::new(&options),
            options,
            metrics: Metrics::new(),
            document: Document::default(),
            in_flight: AtomicUsize::new(0),
            kv_in_flight: AtomicUsize::new(0),
        }
    }
}

//! The API's metrics, all of them here. Handles are kept, so that a request costs no look-up by name.
//!
//! | Name | Meaning |
//! |---|---|
//! | `kvstore_requests_total{operation,status}` | requests answered |
//! | `kvstore_request_duration_seconds{operation}` | time from a request's head to its answer's head |
//! | `kvstore_requests_in_flight` | requests being answered |
//! | `kvstore_shed_total` | requests refused since too many were under way |
//! | `kvstore_connections` | open connections |
//! | `kvstore_connections_refused_total` | connections closed at once since too many were open |
//! | `kvstore_in_flight_bytes` | bytes of bodies and answers that the budget holds |
//!
//! A recorder must be installed before the app is built and connections are served.

use std::{sync::OnceLock, time::Duration};

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::urls::Operation;

/// The statuses that answers have, most frequent first. Any other is counted as `other`.
const STATUSES: [u16; 21] = [200, 201, 204, 304, 404, 412, 400, 401, 405, 408, 409, 413, 415, 421, 422, 431, 500, 501, 503, 504, 507];

/// Handles of one operation.
struct PerOperation {
    name: &'static str,
    duration: Histogram,
    /// Made when first needed: most pairs never occur.
    by_status: [OnceLock<Counter>; STATUSES.len() + 1],
}

/// Handles of all metrics of requests.
pub(crate) struct Metrics {
    operations: Vec<PerOperation>,
    pub(crate) in_flight: Gauge,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) shed: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe();
        let operations = Operation::ALL.iter().map(|operation| PerOperation {
            name: operation.name(),
            duration: histogram!("kvstore_request_duration_seconds", "operation" => operation.name()),
            by_status: Default::default(),
        });
        Self {
            operations: operations.collect(),
            in_flight: gauge!("kvstore_requests_in_flight"),
            in_flight_bytes: gauge!("kvstore_in_flight_bytes"),
            shed: counter!("kvstore_shed_total"),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, operation: Operation, status: StatusCode, took: Duration) {
        let Some(handles) = self.operations.get(operation as usize) else { return };
        handles.duration.record(took.as_secs_f64());
        let code = status.as_u16();
        let place = STATUSES.iter().position(|known| *known == code);
        if let Some(slot) = handles.by_status.get(place.unwrap_or(STATUSES.len())) {
            let label = || place.map_or_else(|| "other".to_owned(), |_| code.to_string());
            let register = || counter!("kvstore_requests_total", "operation" => handles.name, "status" => label());
            slot.get_or_init(register).increment(1);
        }
    }
}

/// Handles of the metrics of connections.
#[derive(Clone)]
pub(crate) struct ConnectionMetrics {
    pub(crate) open: Gauge,
    pub(crate) refused: Counter,
}

impl ConnectionMetrics {
    pub(crate) fn new() -> Self {
        Self { open: gauge!("kvstore_connections"), refused: counter!("kvstore_connections_refused_total") }
    }
}

fn describe() {
    describe_counter!("kvstore_requests_total", "Requests answered, by operation and status.");
    describe_histogram!("kvstore_request_duration_seconds", metrics::Unit::Seconds, "Time from a request's head to its answer's head.");
    describe_gauge!("kvstore_requests_in_flight", "Requests being answered.");
    describe_counter!("kvstore_shed_total", "Requests refused since too many were under way.");
    describe_gauge!("kvstore_connections", "Open connections.");
    describe_counter!("kvstore_connections_refused_total", "Connections closed at once since too many were open.");
    describe_gauge!("kvstore_in_flight_bytes", metrics::Unit::Bytes, "Bytes of bodies and answers in flight.");
}

//! Logs and metrics: where they go and in which form. What is logged and counted is decided where it happens.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::resources;

/// From the answer of a cache to a write that waits for a slow disk.
const LATENCY_BUCKETS_SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Batches in a commit group, up to the limit of a group.
const GROUP_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1_024.0, 4_096.0];
/// Histograms keep each sample until the upkeep sorts it into its bucket: this bounds their memory.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Starts logging on stderr: text on a terminal, JSON otherwise.
pub(crate) fn start_logs(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("the log level {level:?} can't be read; use error, warn, info, debug or trace, or target=level pairs"))?;
    // It tells of each table that it looks at, with the paths of the machine that built it.
    let filter = filter.add_directive("refinery_core=warn".parse().context("a directive")?);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        logs.with_target(false).try_init().map_err(anyhow::Error::from_boxed)
    } else {
        logs.json().flatten_event(true).try_init().map_err(anyhow::Error::from_boxed)
    }
}

/// Starts counting. The handle gives the text of `/metrics`.
pub(crate) fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), LATENCY_BUCKETS_SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_group_batches".into()), GROUP_BUCKETS))
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics recorder can't be started")?;
    metrics::describe_gauge!("process_resident_memory_bytes", metrics::Unit::Bytes, "Memory that the process holds");
    metrics::describe_gauge!("kvstore_build_info", "1, with the version as its label");
    metrics::gauge!("kvstore_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// Keeps the recorder's memory bounded until it is dropped.
pub(crate) async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// The function that the API calls for `/metrics`.
pub(crate) fn renderer(handle: PrometheusHandle) -> Arc<dyn Fn() -> String + Send + Sync> {
    let resident = metrics::gauge!("process_resident_memory_bytes");
    Arc::new(move || {
        if let Some(bytes) = resources::resident_bytes() {
            resident.set(bytes as f64);
        }
        handle.render()
    })
}

//! All wiring of a server, from top to bottom: settings in, an exit code out.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use kvstore_api::{ApiOptions, App, ServeOptions};
use kvstore_service::{Limits, Service};
use kvstore_storage::{
    Budget, CacheConfig, DatabaseFacts, DatabaseParts, Distributed, EmbeddedConfig, MemoryPlan, Migrate, OpenError, PostgresConfig,
    RedisFacts, Store, SystemClock, distribute_postgres, examine_postgres, is_fenced, migrate_postgres, open_cached, open_embedded,
    open_postgres,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::{
    banner::{self, Banner},
    exit::{Exit, Fatal},
    nodes, resources,
    settings::{self, Settings, Storage},
    shutdown::Signals,
    telemetry,
};

/// After a failed write the process exits; this is what those who wait for an answer get.
const FAILED_DRAIN: Duration = Duration::from_secs(1);
/// Connections that wait to be accepted; the kernel has a limit of its own (net.core.somaxconn).
const BACKLOG: u32 = 1024;

/// Serves until a signal comes or the store fails.
/// `unknown` names variables that look like settings and are none.
pub(crate) fn serve(settings: Settings, unknown: &[String]) -> anyhow::Result<Exit> {
    telemetry::start_logs(&settings.log)?;
    for name in unknown {
        tracing::warn!(name, "this variable is not a setting and is ignored; `kvstore serve --help` lists the settings");
    }
    resources::raise_open_files();
    let metrics = telemetry::start_metrics()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("kvstore")
        .enable_all()
        .build()
        .context("the threads of the server can't be started")?;
    let exit = runtime.block_on(run(settings, metrics));
    // A blocking read that hangs on a broken disk must not keep the process.
    runtime.shutdown_timeout(FAILED_DRAIN);
    exit
}

async fn run(settings: Settings, metrics: PrometheusHandle) -> anyhow::Result<Exit> {
    let signals = Signals::register().context("signals can't be caught")?;
    let shutdown = CancellationToken::new();
    tokio::spawn(signals.watch(shutdown.clone()));
    tokio::spawn(telemetry::upkeep(metrics.clone()));

    // Taken before anything is made in the data directory, and listened on once there is something to answer with.
    let socket = bind(settings.listen).map_err(|error| cant_listen(settings.listen, &error))?;
    let plan = MemoryPlan::from_mb(settings.memory_mb);
    let store = open_store(&settings, plan).await?;
    let limits = Limits { value_bytes_max: settings.max_value_bytes, body_bytes_max: settings.max_body_bytes };
    let service = Service::new(Arc::clone(&store), Budget::new(plan.in_flight), limits).beside(nodes::watch(settings.other_nodes()?));

    let listener = match socket.listen(BACKLOG) {
        Ok(listener) => listener,
        Err(error) => {
            close(&*store).await;
            return Err(cant_listen(settings.listen, &error).into());
        }
    };
    let address = listener.local_addr().context("the listener has no address")?;
    let options = api_options(&settings, address, telemetry::renderer(metrics));
    let app = App::new(service, options);
    announce(&settings, address);

    let serving = kvstore_api::serve(listener, app, serve_options(&settings), shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        served = &mut serving => {
            let left = served.context("serving failed")?;
            if left > 0 {
                tracing::warn!(connections = left, "connections that did not end in time were closed");
            }
            close(&*store).await;
            tracing::info!("stopped");
            Ok(Exit::Ok)
        }
        reason = store.failed() => {
            tracing::error!(reason, "the store failed; the process exits, since what the failed write left behind is not known. Check the disk, then start again");
            shutdown.cancel();
            // Those who wait are told that their outcome is unknown, if they take the answer now.
            let _ = tokio::time::timeout(FAILED_DRAIN, serving).await;
            Err(Fatal::new(Exit::StoreFailed, format!("the store failed: {reason}; check the disk, then start again")).into())
        }
    }
}

/// Takes an address. Nobody can connect yet: a client that is refused goes elsewhere, and one that is let in would wait.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As every listener does: an address whose last connections are still being closed can be taken again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cant_listen(address: SocketAddr, error: &io::Error) -> Fatal {
    Fatal::new(Exit::Listen, format!("can't listen on {address}: {error}; stop what uses it, or choose another with --listen"))
}

async fn open_store(settings: &Settings, memory: MemoryPlan) -> anyhow::Result<Arc<dyn Store>> {
    let cache = settings.cache();
    if settings.storage == Storage::Postgres {
        let store = open_postgres(database(settings)?).await.map_err(|error| refused_database(settings, &error))?;
        return match cache {
            Some(cache) => Ok(open_cached(store, &cache).map_err(Fatal::from)?),
            None => {
                if is_fenced(&*store).await {
                    tracing::error!(
                        "other nodes of this database answer from a fenced cache, and this one would not tell them of its writes: \
                         start it with their REDIS_URL and --cache fenced"
                    );
                }
                Ok(store)
            }
        };
    }
    if cache.is_some() {
        tracing::warn!("REDIS_URL is set and not used: the embedded store has a cache of its own; Redis goes before PostgreSQL");
    }
    let config =
        EmbeddedConfig { memory, free_space_floor_bytes: settings.free_space_floor_mb << 20, ..EmbeddedConfig::new(&settings.data_dir) };
    let opened = tokio::task::spawn_blocking(move || open_embedded(&config, Arc::new(SystemClock::default())));
    Ok(opened.await.context("opening the store broke off")?.map_err(Fatal::from)?)
}

/// Makes or changes the tables of the database that the settings name. Says how many migrations ran.
pub(crate) fn migrate(settings: &Settings) -> anyhow::Result<usize> {
    let config = database(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime can't be started")?;
    Ok(runtime.block_on(migrate_postgres(config)).map_err(|error| refused_database(settings, &error))?)
}

/// The same, and shards the table of entries.
pub(crate) fn distribute(settings: &Settings) -> anyhow::Result<(usize, Distributed)> {
    let config = database(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime can't be started")?;
    Ok(runtime.block_on(distribute_postgres(config)).map_err(|error| refused_database(settings, &error))?)
}

/// Where the database of the settings is, and how.
pub(crate) async fn examine_database(settings: &Settings) -> anyhow::Result<(String, DatabaseFacts)> {
    let config = database(settings)?;
    let facts = examine_postgres(&config).await.map_err(|error| refused_database(settings, &error))?;
    Ok((config.place(), facts))
}

/// How the Redis of a cache is.
pub(crate) async fn examine_redis(cache: &CacheConfig) -> Result<RedisFacts, OpenError> {
    kvstore_storage::examine_redis(cache).await
}

fn database(settings: &Settings) -> anyhow::Result<PostgresConfig> {
    let mut config = match &settings.database_url {
        Some(url) => PostgresConfig::from_url(url).map_err(|error| refused_database(settings, &error))?,
        None => {
            let user = settings.postgres_user.clone().unwrap_or_else(|| "postgres".into());
            let parts = DatabaseParts {
                host: settings.postgres_host.clone().unwrap_or_else(|| "127.0.0.1".into()),
                port: settings.postgres_port.unwrap_or(5432),
                database: settings.postgres_db.clone().unwrap_or_else(|| user.clone()),
                password: settings.postgres_password.clone(),
                sslmode: settings.postgres_sslmode.clone(),
                sslrootcert: settings.postgres_sslrootcert.clone(),
                user,
            };
            PostgresConfig::from_parts(&parts).map_err(|error| refused_database(settings, &error))?
        }
    };
    config.connections = settings.database_connections;
    config.pooling = settings.pooling();
    config.migrate = match settings.migrate {
        settings::Migrate::Run => Migrate::Run,
        settings::Migrate::Check => Migrate::Check,
    };
    Ok(config)
}

/// Names the setting that an error of the database speaks of.
fn refused_database(settings: &Settings, error: &OpenError) -> Fatal {
    let named = match settings.database_url {
        Some(_) => "KVSTORE_DATABASE_URL (--database-url)",
        None => "POSTGRES_HOST and the like, POSTGRES_SSLMODE and POSTGRES_SSLROOTCERT among them",
    };
    Fatal::new(Exit::Error, format!("{error}; the database is the one of {named}"))
}

async fn close(store: &dyn Store) {
    if let Err(error) = store.shutdown().await {
        tracing::error!(%error, "the last flush failed; what was acknowledged is safe in the log");
    }
}

fn api_options(settings: &Settings, address: SocketAddr, render_metrics: Arc<dyn Fn() -> String + Send + Sync>) -> ApiOptions {
    ApiOptions {
        token: settings.token.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        listen: address,
        cors_origins: settings.cors_origins.clone(),
        node_url: settings.node_url.clone().unwrap_or_else(|| format!("http://{}/kv-store/v1", banner::reachable(address))),
        render_metrics,
        ..ApiOptions::default()
    }
}

fn serve_options(settings: &Settings) -> ServeOptions {
    ServeOptions { max_connections: settings.max_connections, drain: Duration::from_millis(settings.drain_ms), ..ServeOptions::default() }
}

fn announce(settings: &Settings, address: SocketAddr) {
    let data = match settings.storage {
        Storage::Embedded => std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone()).display().to_string(),
        // The URL may hold a password.
        Storage::Postgres => database(settings).map_or_else(|_| String::new(), |config| format!("PostgreSQL at {}", config.place())),
    };
    let banner = Banner { address, data: &data, memory_mb: settings.memory_mb, needs_token: settings.token.is_some() };
    // A closed stderr is no reason not to serve.
    let _ = std::io::stderr().write_all(banner.text().as_bytes());
    tracing::info!(%address, data, "serving");
}

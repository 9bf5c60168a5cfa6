//! The backends of this crate as fixtures: in memory, and embedded in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use kvstore_storage::{
    Checkpoint, EmbeddedConfig, Engine, ManualClock, MemoryPlan, OpenError, Store,
    conformance::{Fixture, Stop, engine::EngineFixture},
    open_embedded, open_engine, open_memory, open_memory_engine,
};
use kvstore_types::Timestamp;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The time at which the clocks of tests begin: late in 2026.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

/// How often a store reclaims in the runs that are to meet reclaiming everywhere. Longer than a reclaiming takes, which in the
/// specification looks at every entry.
pub(crate) const EAGER: Option<Duration> = Some(Duration::from_millis(20));

pub(crate) fn config(dir: &Path, reclaim_every: Option<Duration>) -> EmbeddedConfig {
    EmbeddedConfig { memory: MemoryPlan::from_mb(64), free_space_floor_bytes: 0, reclaim_every, ..EmbeddedConfig::new(dir) }
}

/// The specification.
pub(crate) struct Memory {
    name: &'static str,
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
}

impl Memory {
    pub(crate) fn fixture(reclaim_every: Option<Duration>) -> Arc<dyn Fixture> {
        let clock = Arc::new(ManualClock::at(START));
        let store = open_memory(clock.clone(), reclaim_every).expect("a thread for the committer");
        let name = if reclaim_every.is_some() { "memory, reclaiming eagerly" } else { "memory" };
        Arc::new(Self { name, clock, store })
    }
}

#[async_trait]
impl Fixture for Memory {
    fn name(&self) -> &str {
        self.name
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Stop> {
        Ok(Arc::clone(&self.store))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }

    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        Ok(None)
    }
}

/// The embedded store, in a directory that goes with the fixture.
pub(crate) struct Embedded {
    dir: TempDir,
    crashes: AtomicUsize,
    reclaim_every: Option<Duration>,
    clock: Arc<ManualClock>,
    store: Mutex<Option<Arc<dyn Store>>>,
}

impl Embedded {
    pub(crate) fn fixture(reclaim_every: Option<Duration>) -> Arc<dyn Fixture> {
        Arc::new(Self {
            dir: TempDir::new().expect("a temporary directory"),
            crashes: AtomicUsize::new(0),
            reclaim_every,
            clock: Arc::new(ManualClock::at(START)),
            store: Mutex::new(None),
        })
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn open(&self, dir: PathBuf) -> Result<Arc<dyn Store>, Stop> {
        let (config, clock) = (config(&dir, self.reclaim_every), self.clock.clone());
        // The threads of a store that was shut down may hold its directory for a moment more.
        let opened = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let (config, clock) = (config.clone(), clock.clone());
                match tokio::task::spawn_blocking(move || open_embedded(&config, clock)).await? {
                    Err(OpenError::InUse(_)) => tokio::task::yield_now().await,
                    opened => return Ok(opened?),
                }
            }
        });
        opened.await.map_err(|_| Stop::Failed("the data directory is still in use after 30 seconds".into()))?
    }
}

#[async_trait]
impl Fixture for Embedded {
    fn name(&self) -> &str {
        if self.reclaim_every.is_some() { "embedded, reclaiming eagerly" } else { "embedded" }
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Stop> {
        let mut slot = self.store.lock().await;
        if slot.is_none() {
            *slot = Some(self.open(self.data_dir()).await?);
        }
        Ok(slot.clone().expect("it was just opened"))
    }

    async fn reopen(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        let mut slot = self.store.lock().await;
        if let Some(store) = slot.take() {
            store.shutdown().await?;
            released(store).await?;
        }
        let store = self.open(self.data_dir()).await?;
        *slot = Some(Arc::clone(&store));
        Ok(Some(store))
    }

    async fn copy(&self, checkpoint: Checkpoint) -> Result<Option<Arc<dyn Store>>, Stop> {
        let copy = self.dir.path().join(format!("copy-{}", self.crashes.fetch_add(1, Ordering::SeqCst)));
        let database = copy.join("db-000001");
        fs::create_dir_all(&database)?;
        for file in checkpoint.files() {
            std::io::copy(&mut checkpoint.open(file)?, &mut fs::File::create(database.join(&file.name))?)?;
        }
        fs::write(copy.join("CURRENT"), "db-000001\n")?;
        fs::write(copy.join("IDENTITY"), "kvstore format 1\nid 00\n")?;
        Ok(Some(self.open(copy).await?))
    }

    async fn crash(&self) -> Result<Option<Arc<dyn Store>>, Stop> {
        // What a killed process leaves is its files as they are now.
        let copy = self.dir.path().join(format!("crash-{}", self.crashes.fetch_add(1, Ordering::SeqCst)));
        copy_dir(&self.data_dir(), &copy)?;
        Ok(Some(self.open(copy).await?))
    }
}

/// Waits until the store was let go of by all: reads that run on other threads hold it, and its directory, for a moment more.
async fn released(store: Arc<dyn Store>) -> Result<(), Stop> {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    });
    waited.await.map_err(|_| Stop::Failed("the case still holds the store that it reopens".into()))
}

fn copy_dir(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            copy_dir(&item.path(), &target)?;
        } else {
            fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

/// An engine for the engine suite.
pub(crate) struct EngineOf {
    dir: TempDir,
    paths: AtomicUsize,
    kind: EngineKind,
}

/// Which engine.
#[derive(Clone, Copy)]
pub(crate) enum EngineKind {
    Memory,
    Rocks,
}

impl EngineOf {
    pub(crate) fn fixture(kind: EngineKind) -> Arc<dyn EngineFixture> {
        Arc::new(Self { dir: TempDir::new().expect("a temporary directory"), paths: AtomicUsize::new(0), kind })
    }
}

impl EngineFixture for EngineOf {
    fn name(&self) -> &str {
        match self.kind {
            EngineKind::Memory => "memory",
            EngineKind::Rocks => "rocks",
        }
    }

    fn open(&self) -> Result<Arc<dyn Engine>, Stop> {
        match self.kind {
            EngineKind::Memory => Ok(open_memory_engine()),
            EngineKind::Rocks => Ok(open_engine(&config(&self.dir.path().join("data"), None))?),
        }
    }

    fn keeps(&self) -> bool {
        matches!(self.kind, EngineKind::Rocks)
    }

    fn new_path(&self) -> PathBuf {
        self.dir.path().join(format!("path-{}", self.paths.fetch_add(1, Ordering::SeqCst)))
    }
}

//! `Postgres`: a cluster of PostgreSQL in a temporary folder, with a database per test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::{
    certificates::Issued,
    guard::{Guarded, Signal},
    wait::{free_port, wait_until},
};

/// How long a start may take, recovery after a crash included.
const START_MAX: Duration = Duration::from_secs(120);
/// PostgreSQL refuses to run as root, so root starts it as this user, whom Debian's package makes.
const USER: &str = "postgres";

/// Whether commits wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Syncing {
    /// As in production: for what is measured, and for what is killed.
    On,
    /// Much faster, and enough where nothing crashes.
    #[default]
    Off,
}

/// How a cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Whether commits wait for the disk.
    pub syncing: Syncing,
    /// More settings of `postgresql.conf`, such as `("max_connections", "20")`.
    pub settings: Vec<(String, String)>,
    /// The server's certificate; without one it takes no TLS.
    pub certificate: Option<Issued>,
}

/// A running cluster. Its superuser is `postgres`; over TCP a role named `guarded` needs its password, every other role needs none.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    options: PostgresOptions,
    server: Mutex<Option<Guarded>>,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    /// PostgreSQL is not installed or does not start; the error shows what it printed.
    pub fn start(options: PostgresOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kvstore-postgres-").tempdir()?;
        give_to_user(folder.path())?;
        let data = folder.path().join("data");
        let mut initdb = as_postgres(&binary("initdb")?)?;
        initdb.args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"]).arg(&data);
        succeeded("initdb", initdb.current_dir(folder.path()).output()?)?;
        let access = "local all all trust\nhost all guarded all scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), access)?;
        if let Some(issued) = &options.certificate {
            let (_, key) = issued.write_to(&data)?;
            give_to_user(&key)?;
        }
        // From here on the guard removes the folder.
        let cluster = Self { folder: folder.keep(), port: free_port()?, options, server: Mutex::new(None), databases: AtomicU32::new(0) };
        cluster.start_again()?;
        Ok(cluster)
    }

    /// The cluster that all tests of a process share, started at the first call, without syncs. It ends with the process.
    ///
    /// # Errors
    /// As for `start`.
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: LazyLock<Mutex<Option<Arc<Postgres>>>> = LazyLock::new(Mutex::default);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = &*shared {
            return Ok(Arc::clone(cluster));
        }
        let settings = vec![("max_connections".into(), "400".into())];
        let cluster = Arc::new(Self::start(PostgresOptions { settings, ..PostgresOptions::default() })?);
        Ok(Arc::clone(shared.insert(cluster)))
    }

    /// Starts the server again, on the same port, after `stop` or `kill`, and waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&self) -> Result<()> {
        let log = self.log();
        let mut server = self.lock();
        // What a killed server leaves runs on for a moment, and a new one refuses to start beside it.
        wait_until("the start of PostgreSQL", START_MAX, || {
            // Dropped, an earlier one would take the folder along.
            if let Some(earlier) = server.take() {
                earlier.end("QUIT")?;
            }
            let guarded = Guarded::start(&self.command()?, "QUIT", &self.folder, &log)?;
            let mut up = false;
            wait_until("an answer of PostgreSQL", START_MAX, || {
                up = self.tool("pg_isready")?.arg("-q").status()?.success();
                Ok(up || guarded.has_ended())
            })?;
            if up {
                *server = Some(guarded);
            } else {
                guarded.end("QUIT")?;
                let words = self.last_words();
                if !words.contains("pre-existing shared memory") && !words.contains("lock file") {
                    bail!("PostgreSQL does not start: {words}");
                }
            }
            Ok(up)
        })
    }

    fn command(&self) -> Result<Vec<String>> {
        let mut command = as_user()?;
        command.push(binary("postgres")?.display().to_string());
        command.extend(["-D".into(), self.folder.join("data").display().to_string(), "-p".into(), self.port.to_string()]);
        let mut set = |name: &str, value: &str| command.extend(["-c".into(), format!("{name}={value}")]);
        set("listen_addresses", "127.0.0.1");
        set("unix_socket_directories", &self.folder.display().to_string());
        if self.options.syncing == Syncing::Off {
            set("fsync", "off");
            set("full_page_writes", "off");
        }
        if self.options.certificate.is_some() {
            set("ssl", "on");
        }
        for (name, value) in &self.options.settings {
            set(name, value);
        }
        Ok(command)
    }

    /// Ends the server in order: sessions are cut, and what was committed is written out.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub fn stop(&self) -> Result<()> {
        self.end("INT")
    }

    /// Ends the server as a crash would, with SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self) -> Result<()> {
        self.end("KILL")
    }

    fn end(&self, signal: &str) -> Result<()> {
        self.lock().take().context("PostgreSQL does not run")?.end(signal)
    }

    /// Sends a signal to the server's first process.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.lock().as_ref().context("PostgreSQL does not run")?.signal(signal)
    }

    /// The id of the server's first process.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> Result<i32> {
        Ok(self.lock().as_ref().context("PostgreSQL does not run")?.pid().as_raw_nonzero().get())
    }

    /// Makes a new, empty database and gives its URL.
    ///
    /// # Errors
    /// The server refuses.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.sql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(&name))
    }

    /// The URL of a database, for the superuser over TCP.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// Where the server's log goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Runs SQL as the superuser and gives what `psql` prints: rows, unaligned.
    ///
    /// # Errors
    /// The SQL fails.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.tool("psql")?;
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", sql]);
        succeeded("psql", psql.output()?)
    }

    /// One of PostgreSQL's own tools, aimed at this server: `psql`, `pgbench`, `pg_dump`.
    ///
    /// # Errors
    /// PostgreSQL is not installed.
    pub fn tool(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(binary(name)?);
        command.env("PGHOST", &self.folder).env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        Ok(command)
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Guarded>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.lock().take());
        // A server that was stopped has no guard to remove it.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The newest PostgreSQL on this machine.
fn binary(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = versions.filter(|path| path.join("bin/postgres").exists()).max_by_key(|path| {
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
        number.unwrap_or_default()
    });
    Ok(newest.context("PostgreSQL is missing: scripts/install-deps.sh test installs it")?.join("bin").join(name))
}

/// The user that PostgreSQL runs as, where it is not this one.
fn other_user() -> Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.first() == Some(&USER));
    let fields = fields.context("there is no user named postgres: scripts/install-deps.sh test installs PostgreSQL, which makes it")?;
    let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).context("a damaged /etc/passwd");
    Ok(Some((number(2)?, number(3)?)))
}

/// Makes that user the owner of a file or folder.
pub(crate) fn give_to_user(path: &Path) -> Result<()> {
    if let Some((uid, gid)) = other_user()? {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// What comes before a command for it to run as that user. The signal at the parent's death is set anew: changing the user clears it.
pub(crate) fn as_user() -> Result<Vec<String>> {
    let Some((uid, gid)) = other_user()? else { return Ok(Vec::new()) };
    let parts = ["setpriv".into(), format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()];
    Ok(parts.into_iter().chain(["--pdeathsig".into(), "QUIT".into(), "--".into()]).collect())
}

fn as_postgres(program: &Path) -> Result<Command> {
    let mut parts = as_user()?;
    parts.push(program.display().to_string());
    let mut parts = parts.into_iter();
    let mut command = Command::new(parts.next().context("a program")?);
    command.args(parts);
    Ok(command)
}

fn succeeded(what: &str, output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

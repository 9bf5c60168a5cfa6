//! `kvstore backup`: a consistent copy of a running server's data, in a directory.
//!
//! It comes into a directory beside the one asked for, which gets its name once all of it is on disk and was found sound.

mod pieces;
mod unpack;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context;
use clap::Args;
use indicatif::HumanBytes;
use kvstore_client::BackupStream;
use kvstore_storage::{Position, Within, lies_within};
use kvstore_types::{
    backup::{FOLDER, Manifest},
    limits::BACKUP_PIECES_MAX,
};
use tokio::sync::mpsc::{Sender, channel};

use super::{
    connect::{Server, explain},
    output::{self, Answer},
    progress::{Amount, Items, Progress, Shown, Total},
};
use crate::{
    exit::{BACKUP_HELP, Exit, Fatal},
    shutdown::Signals,
};

/// Copy a running server's data into a directory
///
/// The copy is consistent: every write acknowledged before it began is in it. The server goes on serving. `kvstore restore` makes a
/// data directory of it, and `kvstore check` reads all of it.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(super) struct Backup {
    /// The directory to make; it must not exist yet, or be empty
    dir: PathBuf,

    /// How fast the server sends, in MiB per second; 0 for as fast as it can [default: 64]
    #[arg(long, value_name = "MIB")]
    rate_mb: Option<u32>,

    /// How progress is shown on stderr
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Shown,

    #[command(flatten)]
    answer: Answer,

    #[command(flatten)]
    server: Server,
}

impl Backup {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let started = Instant::now();
        check_target(&self.dir)?;
        check_place(&self.dir)?;
        let mut signals = Signals::register().context("signals can't be caught")?;
        let client = self.server.client()?;
        // Before the server is asked: it makes one copy at a time, and needs a moment to see that nobody takes it.
        let partial = Partial::make(&self.dir)?;
        let stream = tokio::select! {
            answered = client.backup(self.rate_mb) => answered.map_err(explain)?,
            signal = signals.next() => return Err(cut_short(signal).into()),
        };
        let progress = Progress::start(self.progress, Items::Nothing, Total::Unknown, Amount::default());
        let (manifest, position) = receive(stream, &partial.0, progress, signals).await?;
        partial.become_whole(&self.dir)?;
        let (files, bytes, revision) = (manifest.files.len(), manifest.bytes(), position.revision);
        let (took, dir) = (started.elapsed().as_secs_f64(), self.dir.display());
        if self.answer.is_json() {
            let directory = dir.to_string();
            output::print_line(&serde_json::json!({
                "revision": revision.0, "files": files, "bytes": bytes, "seconds": took, "directory": directory, "identity": manifest.identity,
            }))?;
        } else {
            writeln!(io::stdout(), "backed up revision {revision} ({files} files, {}, {took:.1} s) to {dir}", HumanBytes(bytes))?;
        }
        Ok(Exit::Ok)
    }
}

/// Refuses a directory that holds anything.
fn check_target(dir: &Path) -> Result<(), Fatal> {
    let refused = |reason: String| Err(Fatal::new(Exit::DataDir, reason));
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => refused(format!("{} can't be used: {error}; name a new directory", dir.display())),
        Ok(mut files) => match files.next() {
            None if is_elsewhere(dir) => refused(format!(
                "{0} is a link or another file system, which a backup can't take the place of; name a new directory in it: {0}/backup",
                dir.display()
            )),
            None => Ok(()),
            Some(_) => refused(format!("{} is not empty; name a new directory for each backup", dir.display())),
        },
    }
}

/// Refuses a directory within one of ours.
pub(super) fn check_place(dir: &Path) -> Result<(), Fatal> {
    let (what, place) = match lies_within(dir) {
        None => return Ok(()),
        Some(Within::DataDir(place)) => ("the data directory", place),
        Some(Within::Backup(place)) => ("the backup", place),
    };
    let message = format!("{} lies in {what} {}, where nothing else belongs; name a directory elsewhere", dir.display(), place.display());
    Err(Fatal::new(Exit::DataDir, message))
}

/// Whether what is written beside a directory would not be where its contents are: a link, or a place where something is mounted.
fn is_elsewhere(dir: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).ok().filter(|metadata| !metadata.is_symlink()).map(|metadata| metadata.dev());
    device(dir).is_none_or(|own| device(&dir.join("..")) != Some(own))
}

fn cut_short(signal: &str) -> Fatal {
    Fatal::new(Exit::Killed, format!("{signal} cut the backup short; what had come was removed"))
}

/// Takes the archive in, on a thread that may wait for the disk, and has it opened. It does not return before the thread has ended:
/// what it wrote can be removed then.
async fn receive(
    mut stream: BackupStream,
    dir: &Path,
    mut progress: Progress,
    mut signals: Signals,
) -> anyhow::Result<(Manifest, Position)> {
    let (out, pieces) = channel(BACKUP_PIECES_MAX);
    let unpacking = tokio::task::spawn_blocking({
        let dir = dir.to_owned();
        move || {
            let mut received = 0;
            let unpacked = unpack::unpack(pieces::Pieces::new(pieces), &dir, &mut |step| match step {
                unpack::Step::Total(bytes) => progress.set_total(Total::Bytes(bytes)),
                unpack::Step::Received(bytes) => {
                    received += bytes;
                    progress.at(Amount { entries: 0, bytes: received });
                }
            });
            progress.end(Amount { entries: 0, bytes: received });
            let manifest = unpacked?;
            let position = open(&dir.join(FOLDER), &manifest)?;
            Ok::<_, Fatal>((manifest, position))
        }
    });
    let passed = tokio::select! {
        passed = pass_on(&mut stream, &out) => passed,
        signal = signals.next() => Err(cut_short(signal).into()),
    };
    drop(out);
    let unpacked = unpacking.await.context("the thread that writes the backup broke off")?;
    // A stream that broke off is the cause of whatever is missing.
    passed?;
    Ok(unpacked?)
}

async fn pass_on(stream: &mut BackupStream, out: &Sender<bytes::Bytes>) -> anyhow::Result<()> {
    loop {
        let piece = stream.next_piece().await.map_err(|error| {
            anyhow::anyhow!("the backup broke off: {error}; what had come was removed. Look into the server's log, and try again")
        })?;
        // The other side stops taking pieces when something is wrong, and says itself what.
        let Some(piece) = piece else { return Ok(()) };
        if out.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

/// Opens what has come, without changing it.
fn open(database: &Path, manifest: &Manifest) -> Result<Position, Fatal> {
    let position = kvstore_storage::read_position(database)
        .map_err(|error| Fatal::new(Exit::Damaged, format!("the backup can't be opened: {error}; try again")))?;
    if position.revision < manifest.revision() {
        let (found, promised) = (position.revision, manifest.revision());
        let message = format!("the backup ends at revision {found}, and the server promised {promised}; try again");
        return Err(Fatal::new(Exit::Damaged, message));
    }
    Ok(position)
}

/// The directory that a backup comes into. What is not whole goes with it.
struct Partial(PathBuf);

impl Partial {
    fn make(dir: &Path) -> Result<Self, Fatal> {
        let refused = |message: String| Fatal::new(Exit::DataDir, message);
        let Some(name) = dir.file_name() else {
            return Err(refused(format!("{} is not a name for a new directory", dir.display())));
        };
        let mut name = name.to_owned();
        name.push(".partial");
        let partial = dir.with_file_name(name);
        // It holds everything that the store does: nobody else may read it.
        match fs::DirBuilder::new().mode(0o700).create(&partial) {
            Ok(()) => Ok(Self(partial)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(refused(format!(
                "{} is there: another backup writes to it, or one was cut short; if none does, remove it and try again",
                partial.display()
            ))),
            Err(error) => Err(refused(format!("{} can't be made: {error}", partial.display()))),
        }
    }

    /// Gives it its name, once the names in it are on disk.
    fn become_whole(self, dir: &Path) -> Result<(), Fatal> {
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let sync = |dir: &Path| File::open(dir)?.sync_all();
        let renamed = sync(&self.0.join(FOLDER)).and_then(|()| sync(&self.0)).and_then(|()| fs::rename(&self.0, dir));
        renamed
            .and_then(|()| sync(parent))
            .map_err(|error| Fatal::new(Exit::DataDir, format!("the backup can't get its name, {}: {error}", dir.display())))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = writeln!(io::stderr(), "warning: {} could not be removed: {error}; remove it by hand", self.0.display());
            }
        }
    }
}

//! A full disk: below the floor writes are refused as not applied, while deletes are taken, until there is room again; a store on a disk
//! without a free block still starts and reads, and writes once it is started with room.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use kvstore_client::{Client, ClientError, WriteOutcome};
use tokio::time::Instant;

use crate::cli::{Setup, not_run};
use crate::mount::{Disk, Made};
use crate::server::{Launch, Server};
use crate::summary::Report;
use crate::value;
use crate::workload::request;

const DISK_MIB: u64 = 320;
const FLOOR_MIB: &str = "96";
const VALUE: usize = 1 << 20;

/// Lies on the disk from the start, so that taking it away gives room above the floor again, whatever the store has given back.
const BALLAST: usize = 64 << 20;

/// Puts after which the floor must have been met.
const PUTS_MAX: u64 = 2 * DISK_MIB;

/// The filler's pieces, from coarse to fine.
const PIECES: [usize; 3] = [1 << 20, 64 << 10, 4 << 10];

/// How long the server may take to notice that there is room again.
const NOTICE_MAX: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(50);

pub(crate) async fn run(setup: &Setup) -> anyhow::Result<Report> {
    let disk = match Disk::make(&setup.scratch, "full", DISK_MIB)? {
        Made::Disk(disk) => disk,
        Made::Impossible(why) => return not_run(why),
    };
    let launch =
        Launch::new(&setup.binary, disk.path.join("data"), setup.scratch.join("full.log")).argument("--free-space-floor-mb", FLOOR_MIB);
    let mut check = Check { launch, filler: disk.path.join("filler"), stored: 0, faults: Vec::new() };
    let ballast = disk.path.join("ballast");
    std::fs::write(&ballast, vec![0xa5; BALLAST])?;
    let server = check.launch.start().await?;
    check.fill_to_the_floor(&server.client).await?;
    check.delete(&server.client, 0).await;
    std::fs::remove_file(&ballast)?;
    check.writes_again(&server.client, "once there is room above the floor").await;
    let server = check.restart_without_a_free_byte(server).await?;
    check.all_there(&server.client, "after a restart on a full disk").await?;
    check.refused(&server.client).await;
    server.kill().await?;
    let server = check.launch.start().await.context("on a full disk, after a kill")?;
    check.all_there(&server.client, "after a kill on a full disk").await?;
    std::fs::remove_file(&check.filler)?;
    server.stop().await?;
    let server = check.launch.start().await.context("with room again")?;
    check.all_there(&server.client, "with room again").await?;
    check.writes_again(&server.client, "after a restart with room").await;
    check.delete(&server.client, 1).await;
    server.kill().await?;
    let counted = format!(
        "{} values of 1 MiB to the floor of {FLOOR_MIB} MiB, then 507; deletes taken; 2 restarts without a free byte",
        check.stored
    );
    Ok(Report::of(check.faults, counted))
}

struct Check {
    launch: Launch,
    filler: std::path::PathBuf,
    stored: u64,
    faults: Vec<String>,
}

/// The first of the stored values that is never deleted.
const KEPT: u64 = 2;

impl Check {
    async fn fill_to_the_floor(&mut self, client: &Client) -> anyhow::Result<()> {
        for n in 0..PUTS_MAX {
            match request::put(client, &key(n), big(n)).await {
                Ok(()) => self.stored += 1,
                Err(error) => {
                    self.expect_507("a put below the floor", &error);
                    anyhow::ensure!(self.stored > KEPT, "the disk was full after {} values", self.stored);
                    return Ok(());
                }
            }
        }
        anyhow::bail!("{PUTS_MAX} MiB were taken on a disk of {DISK_MIB} MiB");
    }

    /// Stops the server, leaves no free byte, and starts it again.
    async fn restart_without_a_free_byte(&mut self, server: Server) -> anyhow::Result<Server> {
        let filler = self.filler.clone();
        fill(&filler).await?;
        let status = server.stop().await?;
        if !status.success() {
            self.faults.push(format!("on a full disk the server ended with {status} on SIGTERM"));
        }
        // What the server gave back as it ended.
        fill(&filler).await?;
        self.launch.start().await.context("on a disk without a free byte")
    }

    async fn all_there(&mut self, client: &Client, when: &str) -> anyhow::Result<()> {
        for n in KEPT..self.stored {
            if request::get(client, &key(n)).await?.as_ref() != Some(&big(n)) {
                self.faults.push(format!("{when}, {} is not there or is not what was stored", key(n)));
            }
        }
        Ok(())
    }

    async fn refused(&mut self, client: &Client) {
        match request::put(client, "full/refused", big(0)).await {
            Ok(()) => self.faults.push("a put was taken on a disk without a free byte".to_owned()),
            Err(error) => self.expect_507("a put on a full disk", &error),
        }
    }

    async fn delete(&mut self, client: &Client, n: u64) {
        match request::delete(client, &key(n)).await {
            Ok(true) => match request::get(client, &key(n)).await {
                Ok(None) => {}
                Ok(Some(_)) => self.faults.push(format!("{} was deleted, and is there", key(n))),
                Err(error) => self.faults.push(format!("{} was deleted, and a read says {error:#}", key(n))),
            },
            Ok(false) => self.faults.push(format!("{} was not there to delete", key(n))),
            Err(error) => self.faults.push(format!("a delete below the floor was refused: {error}")),
        }
    }

    async fn writes_again(&mut self, client: &Client, when: &str) {
        let deadline = Instant::now() + NOTICE_MAX;
        loop {
            match request::put(client, "full/again", big(1)).await {
                Ok(()) => return,
                Err(error) if Instant::now() > deadline => {
                    self.faults.push(format!("{when}, a put still fails after {NOTICE_MAX:?}: {error}"));
                    return;
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    fn expect_507(&mut self, what: &str, error: &ClientError) {
        if error.status() != Some(507) || error.outcome() != WriteOutcome::NotApplied {
            self.faults.push(format!("{what} should be answered 507 with outcome not_applied, and was answered: {error:?}"));
        }
    }
}

fn key(n: u64) -> String {
    format!("full/{n:05}")
}

/// Bytes that no compression makes smaller.
fn big(n: u64) -> Bytes {
    value::value(3 * n, 0, VALUE)
}

/// Writes until no block is free any more. A server that is ending gives space back meanwhile, so whole passes are made until one
/// finds nothing.
async fn fill(path: &Path) -> anyhow::Result<()> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        loop {
            let mut written = 0;
            for size in PIECES {
                written += fill_with(&mut file, &vec![0xa5; size])?;
            }
            if written == 0 {
                return Ok(());
            }
        }
    })
    .await?
}

fn fill_with(file: &mut File, piece: &[u8]) -> anyhow::Result<usize> {
    let mut total = 0;
    loop {
        match file.write(piece) {
            Ok(written) => total += written,
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => return Err(error).context("filling the disk"),
        }
    }
    // Space that was only promised is taken now.
    match file.sync_data() {
        Err(error) if error.kind() != ErrorKind::StorageFull => Err(error).context("filling the disk"),
        _ => Ok(total),
    }
}

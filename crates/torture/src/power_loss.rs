//! Power loss: the file system under a loaded server is shut down without flushing its journal, which is what the disk would hold if the
//! power had gone; then it is mounted again and the store compared with what was acknowledged.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rustix::ioctl::{Setter, ioctl};

use crate::cli::{Setup, not_run};
use crate::journal::{Answer, Op};
use crate::mount::{Disk, Made};
use crate::round::Rounds;
use crate::server::Launch;
use crate::summary::Report;

const DISK_MIB: u64 = 1_024;

const LOAD_MS: std::ops::Range<u64> = 500..2_500;

/// `EXT4_IOC_SHUTDOWN` of Linux's `fs/ext4/ext4.h`.
const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587d;

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: nothing more reaches the disk.
const NO_LOG_FLUSH: u32 = 2;

pub(crate) async fn run(setup: &Setup, cuts: u32) -> anyhow::Result<Report> {
    let mut disk = match Disk::make(&setup.scratch, "power", DISK_MIB)? {
        Made::Disk(disk) => disk,
        Made::Impossible(why) => return not_run(why),
    };
    let data_dir = disk.path.join("data");
    let launch = Launch::new(&setup.binary, data_dir, setup.scratch.join("power.log")).argument("--free-space-floor-mb", "16");
    let mut rounds = Rounds::default();
    for cut in 1..=cuts {
        let server = launch.start().await?;
        let load = rounds.load(std::slice::from_ref(&server.client));
        Rounds::until_all_kinds(&load, Duration::from_millis(rand::rng().random_range(LOAD_MS))).await?;
        let cut_at = Instant::now();
        if let Err(error) = cut_power(&disk.path) {
            return not_run(format!("the file system cannot be shut down: {error:#}"));
        }
        // It may have ended by itself by now; a kill is good for both.
        let (mut ops, _) = rounds.crashed(load).await;
        forget_answers_after(cut_at, &mut ops);
        server.kill().await?;
        disk.unmount()?;
        disk.mount()?;
        let server = launch.start().await?;
        rounds.check(&server.client, cut, &ops).await?;
        server.kill().await?;
        let repeated = rounds.take_repeats();
        let server = launch.start().await?;
        rounds.check(&server.client, cut, &repeated).await?;
        server.kill().await?;
        if !rounds.faults.is_empty() {
            break;
        }
    }
    disk.unmount()?;
    let counted = format!("{cuts} power cuts; {}", rounds.text());
    Ok(Report::of(rounds.faults, counted))
}

/// A machine without power answers nothing. Here the process lives on for a moment, and Linux may tell it that a sync succeeded which
/// the shutdown overtook (`jbd2_complete_transaction` does not look at an aborted journal if it finds the transaction gone).
fn forget_answers_after(cut_at: Instant, ops: &mut [Op]) {
    for op in ops {
        if matches!(op.answer, Answer::Applied { completed_at, .. } if completed_at > cut_at) {
            op.answer = Answer::Unknown;
        }
    }
}

#[expect(unsafe_code, reason = "rustix cannot know an ioctl of one file system")]
fn cut_power(path: &Path) -> anyhow::Result<()> {
    let root = File::open(path)?;
    // SAFETY: the number belongs to this call, which reads one u32 through the pointer and keeps nothing.
    unsafe { ioctl(&root, Setter::<EXT4_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH))? };
    Ok(())
}

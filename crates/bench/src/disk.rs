//! What a plain program meets on the disk: one that overwrites blocks of a file and syncs each. A server that syncs what it
//! acknowledges can't be steadier than that, so a figure that a few stalls decide is shown beside it.

use std::{
    fmt,
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tempfile::NamedTempFile;

use crate::load::Stop;

/// A sync that takes longer is a stall.
const STALL: Duration = Duration::from_millis(5);
/// A larger share of the time in stalls is felt by whoever syncs: a hundredth would be all of a p99.
const CALM_SHARE: f64 = 0.001;
const BLOCK_BYTES: usize = 4096;
/// Few enough that the whole file is in memory, and enough that no block is written twice in a row.
const BLOCKS: u64 = 256;

/// What a plain program met.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stalls {
    median: Duration,
    longest: Duration,
    /// The share of the time, pauses included, that went into stalls.
    share: f64,
}

impl Stalls {
    /// Overwrites and syncs blocks of a file in a folder, with pauses, until it is stopped.
    ///
    /// # Errors
    /// The file can't be made, written or synced.
    pub(crate) async fn meet(folder: &Path, pause: Duration, stop: Stop) -> Result<Self> {
        let file = NamedTempFile::new_in(folder).context("making a file to overwrite")?;
        let _end = EndOnDrop(stop.clone());
        tokio::task::spawn_blocking(move || overwrite(file.as_file(), pause, &stop)).await?.context("overwriting a file")
    }

    /// Whether stalls took no more time than can be passed over.
    pub(crate) fn is_calm(&self) -> bool {
        self.share <= CALM_SHARE
    }
}

impl fmt::Display for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "p50 {:.2} ms, {:.1} at most, {:.2} % of the time in stalls", ms(self.median), ms(self.longest), self.share * 100.0)
    }
}

/// Ends a run that nobody waits for any more: its thread would go on.
struct EndOnDrop(Stop);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}

#[expect(clippy::disallowed_methods, reason = "a pause of a load is no wait for a condition")]
fn overwrite(file: &File, pause: Duration, stop: &Stop) -> Result<Stalls> {
    let block = [1; BLOCK_BYTES];
    let write = |index: u64| file.write_all_at(&block, index * BLOCK_BYTES as u64);
    // Blocks that were never written are allocated, and that is the file system's work.
    for index in 0..BLOCKS {
        write(index)?;
    }
    file.sync_all()?;

    let mut all = Histogram::<u64>::new(3)?;
    let (mut longest, mut stalled) = (Duration::ZERO, Duration::ZERO);
    let started = Instant::now();
    for index in (0..BLOCKS).cycle() {
        let before = Instant::now();
        write(index)?;
        file.sync_data()?;
        let taken = before.elapsed();
        all.record(u64::try_from(taken.as_micros())?)?;
        longest = longest.max(taken);
        if taken > STALL {
            stalled += taken;
        }
        if stop.is_past(Instant::now()) {
            break;
        }
        std::thread::sleep(pause);
    }
    let share = stalled.as_secs_f64() / started.elapsed().as_secs_f64();
    // The histogram tells the upper end of a bucket.
    let median = Duration::from_micros(all.value_at_quantile(0.5)).min(longest);
    Ok(Stalls { median, longest, share })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plain_program_meets_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let stalls = Stalls::meet(folder.path(), Duration::ZERO, Stop::after(Duration::from_millis(20))).await.unwrap();
        assert!(stalls.longest >= stalls.median && (0.0..=1.0).contains(&stalls.share), "{stalls:?}");
        assert!(Stalls { share: 0.0, ..stalls.clone() }.is_calm() && !Stalls { share: 0.01, ..stalls }.is_calm());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file is gone");
        let stop = Stop::after(Duration::from_secs(600));
        let unwanted = tokio::time::timeout(Duration::from_millis(1), Stalls::meet(folder.path(), Duration::ZERO, stop.clone())).await;
        assert!(unwanted.is_err() && stop.is_past(Instant::now()), "what nobody waits for is ended");
        assert!(Stalls::meet(&folder.path().join("missing"), Duration::ZERO, Stop::after(Duration::ZERO)).await.is_err());
    }
}

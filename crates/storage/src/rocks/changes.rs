//! Whether a directory has to be read again: it may hold many thousand tables, and mostly nothing has changed.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

/// The times of files come in steps of the kernel's clock (4 ms, or 10): two changes within one have the same time.
const CLOCK_STEP_MAX: Duration = Duration::from_millis(50);

/// What is known of one directory.
#[derive(Default)]
pub(super) struct Changes {
    /// When it had changed last, and when that was seen first.
    last: Option<(SystemTime, Instant)>,
    /// It was read when no other change could have the same time any more.
    is_settled: bool,
}

impl Changes {
    /// Reads the directory, unless what was read before still stands.
    pub(super) fn read<T>(&mut self, dir: &Path, read: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
        let changed = fs::metadata(dir)?.modified()?;
        let first_seen = match self.last {
            Some((last, first_seen)) if last == changed => first_seen,
            _ => {
                let now = Instant::now();
                *self = Self { last: Some((changed, now)), is_settled: false };
                now
            }
        };
        if self.is_settled {
            return Ok(None);
        }
        let settles = first_seen.elapsed() > CLOCK_STEP_MAX;
        let found = read()?;
        self.is_settled = settles;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(dir: &Path) -> io::Result<usize> {
        Ok(fs::read_dir(dir)?.count())
    }

    #[test]
    fn a_directory_is_read_until_nothing_can_be_missed() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut changes = Changes::default();
        let (began, mut reads) = (Instant::now(), 0);
        while changes.read(dir.path(), || count(dir.path())).unwrap().is_some() {
            reads += 1;
            assert!(began.elapsed() < Duration::from_secs(20), "it never settles");
        }
        assert!(reads > 1 && began.elapsed() > CLOCK_STEP_MAX, "{reads} reads");
        // Each change is seen at once, whatever the clock's step.
        for n in 1..10 {
            fs::write(dir.path().join(n.to_string()), b"").unwrap();
            assert_eq!(changes.read(dir.path(), || count(dir.path())).unwrap(), Some(n));
        }
    }

    #[test]
    fn a_directory_that_could_not_be_read_is_read_again() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut changes = Changes::default();
        let began = Instant::now();
        while began.elapsed() <= CLOCK_STEP_MAX * 2 {
            assert!(changes.read(dir.path(), || Err::<(), _>(io::ErrorKind::Other.into())).is_err());
        }
        assert_eq!(changes.read(dir.path(), || count(dir.path())).unwrap(), Some(0));
    }
}

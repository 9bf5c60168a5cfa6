//! `kvstore check`: reads all that a data directory or a backup holds, and says what is damaged. It changes nothing.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use kvstore_storage::{BackupDir, CheckObserver, CheckProgress, Checked, Finding, check_database, check_embedded};

use super::{bar, output};
use crate::exit::{Exit, Fatal};

const HELP: &str = "Exit codes: 0 sound; 2 wrong usage; 3 the directory can't be checked: in use, not ours, of a newer version; 4 damaged.\n\
Each finding is a line on stdout: its place, its key with control characters escaped, and what is wrong.";

/// Read everything in a data directory or a backup, and report damage
///
/// No server may use the directory. Nothing in it is changed.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Check {
    /// A backup, or a data directory
    dir: Option<PathBuf>,

    /// The data directory, if none is named before
    #[arg(long, env = "KVSTORE_DATA_DIR", value_name = "DIR", required_unless_present = "dir")]
    data_dir: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let started = Instant::now();
        let dir = self.dir.or(self.data_dir).unwrap_or_default();
        let mut observer = Observer { bar: bar::items(), findings: 0, failed: None };
        let checked = if BackupDir::is_one(&dir) {
            backup(&dir, &mut observer)
        } else {
            Ok(check_embedded(&dir, &mut observer).map_err(Fatal::from)?)
        };
        observer.bar.finish_and_clear();
        if let Some(error) = observer.failed {
            return Err(error.into());
        }
        let Checked { items, bytes, position, .. } = checked?;
        let read = format!("{items} records, {}, in {:.1} s", HumanBytes(bytes), started.elapsed().as_secs_f64());
        let upto = position.map_or(String::new(), |position| format!(", up to revision {}", position.revision));
        let (dir, findings) = (dir.display(), observer.findings);
        if findings == 0 {
            writeln!(io::stdout(), "sound: {dir} ({read}{upto})")?;
            return Ok(Exit::Ok);
        }
        let noun = if findings == 1 { "finding" } else { "findings" };
        writeln!(io::stdout(), "DAMAGED: {dir}, {findings} {noun} ({read}{upto})")?;
        Ok(Exit::Damaged)
    }
}

/// A backup: first the checksums of its files, then what the files hold.
fn backup(dir: &Path, observer: &mut Observer) -> anyhow::Result<Checked> {
    let backup = match BackupDir::open(dir) {
        Ok(backup) => backup,
        Err(error) => {
            let fatal = Fatal::from(error);
            if fatal.exit() != Exit::Damaged {
                return Err(fatal.into());
            }
            observer.finding(Finding { place: "the backup".into(), key: None, what: fatal.to_string() });
            return Ok(Checked::default());
        }
    };
    let bar = bar::bytes(Some(backup.manifest().bytes()));
    let faults = backup.verify(&mut |bytes| bar.inc(bytes));
    bar.finish_and_clear();
    for fault in faults {
        observer.finding(Finding { place: "the backup".into(), key: None, what: fault.to_string() });
    }
    Ok(check_database(&backup.files(), observer))
}

/// Prints what is found when it is found.
struct Observer {
    bar: ProgressBar,
    findings: u64,
    /// Nobody takes what is printed.
    failed: Option<io::Error>,
}

impl Observer {
    fn line(&mut self, line: &str) {
        if let Err(error) = self.bar.suspend(|| writeln!(io::stdout(), "{line}")) {
            self.failed.get_or_insert(error);
        }
    }
}

impl CheckObserver for Observer {
    fn finding(&mut self, Finding { place, key, what }: Finding) {
        self.findings += 1;
        let key = key.map_or(String::new(), |key| format!(" \"{}\"", output::escape(&key)));
        self.line(&format!("{}{key}: {}", output::escape(place.as_bytes()), output::escape(what.as_bytes())));
    }

    fn note(&mut self, note: String) {
        self.line(&format!("note: {}", output::escape(note.as_bytes())));
    }

    fn progress(&mut self, progress: CheckProgress) {
        if self.bar.is_hidden() {
            return;
        }
        self.bar.set_length(progress.items_expected.max(progress.items));
        self.bar.set_position(progress.items);
        self.bar.set_message(HumanBytes(progress.bytes).to_string());
    }
}

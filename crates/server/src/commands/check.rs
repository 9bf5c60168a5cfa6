//! `kvstore check`: reads all that a data directory or a backup holds, and says what is damaged. It changes nothing.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use indicatif::HumanBytes;
use kvstore_storage::{BackupDir, CheckObserver, CheckProgress, Checked, Finding, check_database, check_embedded};

use super::{
    output::{self, Answer},
    progress::{Amount, Items, Progress, Shown, Total},
};
use crate::exit::{Exit, Fatal};

const HELP: &str = "Exit codes: 0 sound; 2 wrong usage; 3 the directory can't be checked: in use, not ours, of a newer version; 4 damaged.\n\
Each finding is a line on stdout: its place, its key with control characters escaped, and what is wrong.\n\
With -o json each is a line {\"finding\": {...}} or {\"note\": ...}, and the last line says what was read and how many findings there were.";

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

    /// How progress is shown on stderr
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Shown,

    #[command(flatten)]
    answer: Answer,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let started = Instant::now();
        let dir = self.dir.or(self.data_dir).unwrap_or_default();
        let progress = Progress::start(self.progress, Items::Records, Total::Items(0), Amount::default());
        let mut observer = Observer { progress, is_json: self.answer.is_json(), findings: 0, reached: Amount::default(), failed: None };
        let checked = if BackupDir::is_one(&dir) {
            backup(&dir, &mut observer)
        } else {
            Ok(check_embedded(&dir, &mut observer).map_err(Fatal::from)?)
        };
        observer.progress.end(observer.reached);
        if let Some(error) = observer.failed {
            return Err(error.into());
        }
        let Checked { items, bytes, position, .. } = checked?;
        if observer.is_json {
            let (directory, sound) = (dir.display().to_string(), observer.findings == 0);
            output::print_line(&serde_json::json!({
                "sound": sound, "directory": directory, "findings": observer.findings, "records": items, "bytes": bytes,
                "seconds": started.elapsed().as_secs_f64(), "revision": position.map(|position| position.revision.0),
            }))?;
            return Ok(if sound { Exit::Ok } else { Exit::Damaged });
        }
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
    let backup = match BackupDir::open_lists(dir) {
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
    observer.progress.begin(Items::Nothing, Total::Bytes(backup.manifest().bytes()));
    let faults = backup.verify(&mut |bytes| {
        observer.reached.bytes += bytes;
        observer.progress.at(observer.reached);
    });
    observer.progress.begin(Items::Records, Total::Items(0));
    observer.reached = Amount::default();
    for fault in faults {
        observer.finding(Finding { place: "the backup".into(), key: None, what: fault.to_string() });
    }
    Ok(check_database(&backup.files(), observer))
}

/// Prints what is found when it is found.
struct Observer {
    progress: Progress,
    is_json: bool,
    findings: u64,
    reached: Amount,
    /// Nobody takes what is printed.
    failed: Option<io::Error>,
}

impl Observer {
    fn line(&mut self, line: &str) {
        if let Err(error) = self.progress.teller().suspend(|| writeln!(io::stdout(), "{line}")) {
            self.failed.get_or_insert(error);
        }
    }
}

impl CheckObserver for Observer {
    fn finding(&mut self, Finding { place, key, what }: Finding) {
        self.findings += 1;
        let (place, what) = (output::escape(place.as_bytes()), output::escape(what.as_bytes()));
        let key = key.map(|key| output::escape(&key));
        if self.is_json {
            self.line(&serde_json::json!({"finding": {"place": place, "key": key, "what": what}}).to_string());
            return;
        }
        let key = key.map_or(String::new(), |key| format!(" \"{key}\""));
        self.line(&format!("{place}{key}: {what}"));
    }

    fn note(&mut self, note: String) {
        let note = output::escape(note.as_bytes());
        let line = if self.is_json { serde_json::json!({"note": note}).to_string() } else { format!("note: {note}") };
        self.line(&line);
    }

    fn progress(&mut self, progress: CheckProgress) {
        self.reached = Amount { entries: progress.items, bytes: progress.bytes };
        self.progress.set_total(Total::Items(progress.items_expected));
        self.progress.at(self.reached);
    }
}

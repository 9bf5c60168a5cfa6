//! `kvstore restore`: a data directory from a backup. No server runs while it does, and none is started.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use indicatif::HumanBytes;
use kvstore_storage::{BackupDir, restore_embedded};

use super::{
    backup::check_place,
    output::{self, Answer},
    progress::{Amount, Items, Progress, Shown, Total},
};
use crate::exit::{BACKUP_HELP, Exit, Fatal};

/// Make a data directory from a backup
///
/// Every file's checksum is compared on the way. The new store has an identity of its own. Nothing is started.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(super) struct Restore {
    /// The directory that `kvstore backup` made
    backup: PathBuf,

    /// The data directory to make; it must not exist yet, or be empty
    #[arg(long, env = "KVSTORE_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,

    /// How progress is shown on stderr
    #[arg(long, value_name = "FORM", default_value = "auto")]
    progress: Shown,

    #[command(flatten)]
    answer: Answer,
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        check_place(&self.data_dir)?;
        let backup = BackupDir::open(&self.backup).map_err(Fatal::from)?;
        let (files, bytes) = (backup.manifest().files.len(), backup.manifest().bytes());
        let mut progress = Progress::start(self.progress, Items::Nothing, Total::Bytes(bytes), Amount::default());
        let mut copied = Amount::default();
        let restored = restore_embedded(&backup, &self.data_dir, &mut |bytes| {
            copied.bytes += bytes;
            progress.at(copied);
        });
        progress.end(copied);
        let restored = restored.map_err(Fatal::from)?;
        let dir = self.data_dir.display();
        if self.answer.is_json() {
            let directory = dir.to_string();
            output::print_line(&serde_json::json!({
                "revision": restored.position.revision.0, "files": files, "bytes": bytes, "directory": directory,
                "identity": restored.identity, "made_from": backup.manifest().identity,
            }))?;
            return Ok(Exit::Ok);
        }
        let bytes = HumanBytes(bytes);
        writeln!(io::stdout(), "restored revision {} ({files} files, {bytes}) into {dir}", restored.position.revision)?;
        writeln!(io::stdout(), "it is a store of its own, {}, made from {}", restored.identity, backup.manifest().identity)?;
        writeln!(io::stdout(), "start it with: kvstore serve --data-dir {dir}")?;
        Ok(Exit::Ok)
    }
}

//! `import --dry-run`: every line is read and checked, and nothing is sent. What limits a server has is not known here.

use std::io::{self, Write};

use kvstore_types::limits::{IMPORT_FAULTS_SHOWN_MAX, VALUE_BYTES_MAX_DEFAULT};
use tokio::sync::mpsc::Receiver;

use super::{
    super::{
        output::{self, Answer},
        progress::{Amount, Items, Progress, Shown, Total},
    },
    batcher::{Message, Totals},
};
use crate::exit::Exit;

/// Takes the batches and forgets them. Exits with 2 where a line is wrong.
pub(super) async fn run(mut source: Receiver<Message>, shown: Shown, total: Total, answer: &Answer) -> anyhow::Result<Exit> {
    let mut progress = Progress::start(shown, Items::Entries, total, Amount::default());
    let mut reached = Amount::default();
    let mut faults = 0;
    let mut result = Ok(Totals::default());
    while let Some(message) = source.recv().await {
        match message {
            Message::Batch(batch) => {
                reached = Amount { entries: batch.totals.entries, bytes: batch.read };
                progress.at(reached);
                // A large item is alone in its batch.
                if batch.items.bytes() > VALUE_BYTES_MAX_DEFAULT {
                    let (line, bytes) = (batch.lines.last().copied().unwrap_or_default(), batch.items.bytes());
                    progress.teller().say(&format!(
                        "{} {line}: it has {bytes} bytes, and a server refuses values of more than {VALUE_BYTES_MAX_DEFAULT} unless its \
                         --max-value-bytes allows them",
                        batch.unit
                    ));
                }
            }
            Message::Fault { place, reason } if faults < IMPORT_FAULTS_SHOWN_MAX => {
                faults += 1;
                progress.teller().say(&format!("{place}: {reason}"));
            }
            Message::Fault { .. } => {}
            Message::Note(text) => progress.teller().say(&text),
            Message::End(ended) => result = ended,
        }
    }
    progress.end(reached);
    let Totals { lines, entries, skipped, expired } = result?;
    if skipped > IMPORT_FAULTS_SHOWN_MAX {
        progress.teller().say(&format!("{} more lines are wrong", skipped - IMPORT_FAULTS_SHOWN_MAX));
    }
    if answer.is_json() {
        let document = serde_json::json!({"lines": lines, "entries": entries, "skipped": skipped, "expired": expired, "dry_run": true});
        output::print_line(&document)?;
    } else {
        writeln!(io::stdout(), "{lines} read: {entries} would be stored, {expired} had expired, {skipped} can't be stored")?;
    }
    Ok(if skipped == 0 { Exit::Ok } else { Exit::Error })
}

//! `kvstore list`: a range of keys, page by page, so that its length does not matter.

use std::io::{self, BufWriter, Write};

use anyhow::ensure;
use clap::Args;
use comfy_table::{CellAlignment, ColumnConstraint, Row};
use kvstore_client::{Entry, PageQuery, Pages};
use kvstore_types::{Key, limits};

use super::{
    connect::{Server, explain, parse_key},
    output::{self, Form},
};
use crate::exit::Exit;

/// Entries in a table, unless --limit says otherwise: what a person looks at.
const TABLE_ENTRIES: usize = 100;
/// Characters of a value in a table, of which a narrow terminal shows fewer.
const TABLE_VALUE_CHARS: usize = 80;
/// The columns that are shown whole.
const WHOLE_COLUMNS: &[&str] = &["VERSION", "REVISION", "UPDATED"];

/// List keys and values in the order of their keys
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys that begin with this
    #[arg(long, short, value_name = "TEXT")]
    prefix: Option<String>,

    /// Only this key and those after it
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    start: Option<Key>,

    /// Only this key and those before it
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    end: Option<Key>,

    /// At most this many entries [default: 100 in a table, all otherwise]
    #[arg(long, short = 'n', value_name = "N", value_parser = parse_limit)]
    limit: Option<usize>,

    /// From the last key to the first
    #[arg(long, short)]
    reverse: bool,

    /// Without values
    #[arg(long, short)]
    keys_only: bool,

    /// The form [default: table on a terminal, plain otherwise]
    #[arg(long, short, value_name = "FORM")]
    output: Option<Form>,

    #[command(flatten)]
    server: Server,
}

/// The API refuses 0 too.
fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a limit is a whole number of entries, 1 at least; leave it out for all".into()),
        Ok(limit) => Ok(limit),
    }
}

impl List {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        // Said here by the names that were typed.
        ensure!(
            self.start.is_none() || self.end.is_none() || self.start <= self.end,
            "--start is greater than --end: swap them; --reverse reads the same range from its end"
        );
        let form = self.output.unwrap_or(if output::to_terminal() { Form::Table } else { Form::Plain });
        let limit = self.limit.unwrap_or(if form == Form::Table { TABLE_ENTRIES } else { usize::MAX });
        // A table learns from one entry more whether there are others.
        let asked = if form == Form::Table { limit.saturating_add(1) } else { limit };
        let columns = if self.keys_only { &["KEY"][..] } else { &["KEY", "VALUE"] };
        let pages = self.server.client()?.pages(&PageQuery {
            start: self.start,
            end: self.end,
            prefix: self.prefix,
            page_entries_max: Some(asked.clamp(1, limits::PAGE_ENTRIES_MAX)),
            reverse: self.reverse,
            keys_only: self.keys_only,
            ..PageQuery::default()
        });
        match form {
            Form::Table => print_table(pages, limit, columns).await?,
            Form::Plain => print_lines(pages, limit, plain_line).await?,
            Form::Json => print_lines(pages, limit, json_line).await?,
        }
        Ok(Exit::Ok)
    }
}

async fn print_lines(
    mut pages: Pages,
    limit: usize,
    line: impl Fn(&mut BufWriter<io::StdoutLock<'static>>, &Entry) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = limit;
    while left > 0
        && let Some(entries) = pages.next_page().await.map_err(explain)?
    {
        for entry in entries.iter().take(left) {
            line(&mut out, entry)?;
        }
        left = left.saturating_sub(entries.len());
        out.flush()?;
    }
    Ok(())
}

fn plain_line(out: &mut BufWriter<io::StdoutLock<'static>>, entry: &Entry) -> io::Result<()> {
    out.write_all(output::escape(entry.key.as_bytes()).as_bytes())?;
    if let Some(value) = &entry.value {
        out.write_all(b"\t")?;
        out.write_all(output::escape(value).as_bytes())?;
    }
    out.write_all(b"\n")
}

fn json_line(out: &mut BufWriter<io::StdoutLock<'static>>, entry: &Entry) -> io::Result<()> {
    let line = serde_json::to_string(entry)?;
    let line = if output::to_terminal() { output::escape_json(&line) } else { line };
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")
}

/// `columns` are those before the ones that are shown whole.
async fn print_table(mut pages: Pages, limit: usize, columns: &[&str]) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    while rows.len() <= limit
        && let Some(entries) = pages.next_page().await.map_err(explain)?
    {
        rows.extend(entries.iter().map(row));
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let shown = rows.len();
    let mut table = output::table(&[columns, WHOLE_COLUMNS].concat());
    // A text is cut where the column ends: the words of a value are no words of ours.
    table.set_delimiter('\0').add_rows(rows);
    for column in table.column_iter_mut().skip(columns.len()) {
        column.set_constraint(ColumnConstraint::ContentWidth);
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(io::stdout(), "{}", table.trim_fmt())?;
    if more {
        writeln!(io::stderr(), "the first {shown} entries; there are more: use --limit, --start or a pipe")?;
    }
    Ok(())
}

/// One line, whatever the entry holds.
fn row(entry: &Entry) -> Row {
    let value = entry.value.as_deref().map(|value| {
        // More is cut off below: a large value is not escaped whole for its beginning.
        let head = value.get(..TABLE_VALUE_CHARS * 4).unwrap_or(value);
        output::shorten(&output::escape(head), TABLE_VALUE_CHARS)
    });
    let cells = [
        Some(output::escape(entry.key.as_bytes())),
        value,
        Some(entry.version.to_string()),
        Some(entry.revision.to_string()),
        Some(output::escape(to_the_second(&entry.updated_at).as_bytes())),
    ];
    let mut row = Row::from(cells.into_iter().flatten());
    row.max_height(1);
    row
}

/// A time without the digits after its seconds.
fn to_the_second(time: &str) -> String {
    match time.split_once('.') {
        Some((whole, rest)) => format!("{whole}{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit())),
        None => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_to_the_second() {
        for (time, told) in [
            ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.6+01:00", "2026-01-02T03:04:05+01:00"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ] {
            assert_eq!(to_the_second(time), told);
        }
    }
}

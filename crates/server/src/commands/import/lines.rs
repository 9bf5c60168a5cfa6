//! Lines of JSON as a source: read one by one, each of bounded length.

use std::io::{self, BufRead};

use anyhow::Context;
use kvstore_client::{ImportLine, Lines};
use kvstore_types::limits::IMPORT_LINE_BYTES_MAX;

use super::{
    batcher::{Batcher, Becomes, Given},
    input::Input,
};

/// A buffer that grew beyond this for one long line is let go after it.
const BUFFER_KEPT_BYTES: usize = 1 << 20;
/// From here on a buffer grows at once to what the longest line takes: doubling would hold it twice.
const BUFFER_LARGE_BYTES: usize = 1 << 20;

/// Gives every line to the batcher.
///
/// `lines` says for each what it is to become: an expiry is counted from the moment at which its line is read.
pub(super) fn read(input: &mut Input, lines: impl Fn() -> Lines, batcher: &mut Batcher) -> anyhow::Result<()> {
    let (mut line, mut json) = (Vec::new(), Vec::new());
    loop {
        let number = batcher.next_line();
        let read = next_line(input.reader(), &mut line, batcher).with_context(|| format!("line {number}: the input can't be read"));
        let becomes = match read {
            Ok(Got::End) => return Ok(()),
            Ok(Got::TooLong) => Becomes::Fault(format!(
                "it is longer than {IMPORT_LINE_BYTES_MAX} bytes, more than an import takes; store such a value with `kvstore put KEY --file FILE`, \
                 on a server whose --max-value-bytes and --max-body-bytes allow it"
            )),
            Ok(Got::Line) => becomes(without_mark(&line, number), lines(), &mut json),
            Err(error) => {
                // What came before is whole, and is stored.
                batcher.flush()?;
                return Err(error);
            }
        };
        batcher.take(Given { raw: &line, becomes })?;
        if line.capacity() > BUFFER_KEPT_BYTES {
            (line, json) = (Vec::new(), Vec::new());
        }
    }
}

fn becomes<'a>(line: &[u8], lines: Lines, json: &'a mut Vec<u8>) -> Becomes<'a> {
    let text = line.trim_ascii();
    if text.is_empty() {
        return Becomes::Nothing;
    }
    match ImportLine::parse(text, lines) {
        Ok(item) if item.has_expired => Becomes::Expired { key: item.key },
        Ok(item) => {
            json.clear();
            item.write_to(json);
            Becomes::Item { key: item.key, json }
        }
        Err(error) if line.ends_with(b"\n") => Becomes::Fault(error.to_string()),
        Err(error) => Becomes::Fault(format!("{error}; it is the last line and has no line break: the input may be cut off")),
    }
}

/// The line without the mark that some programs put before the first one to say that it is UTF-8.
fn without_mark(line: &[u8], number: u64) -> &[u8] {
    let marked = (number == 1).then(|| line.strip_prefix("\u{feff}".as_bytes())).flatten();
    marked.unwrap_or(line)
}

enum Got {
    Line,
    /// Too long to be taken, and passed over if that was asked for.
    TooLong,
    End,
}

/// Reads a line with its line break.
fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, batcher: &mut Batcher) -> io::Result<Got> {
    line.clear();
    loop {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            return Ok(if line.is_empty() { Got::End } else { Got::Line });
        }
        let (part, ends) = up_to_line_break(part);
        if line.len() + part.len() > IMPORT_LINE_BYTES_MAX {
            return pass_over(reader, line, batcher);
        }
        if line.capacity() - line.len() < part.len() && line.len() > BUFFER_LARGE_BYTES {
            line.reserve_exact(IMPORT_LINE_BYTES_MAX - line.len());
        }
        line.extend_from_slice(part);
        let taken = part.len();
        reader.consume(taken);
        if ends {
            return Ok(Got::Line);
        }
    }
}

/// Takes the rest of a line that is too long, without keeping it. Where a fault ends the import, the line stays where it is.
fn pass_over(reader: &mut dyn BufRead, line: &mut Vec<u8>, batcher: &mut Batcher) -> io::Result<Got> {
    let stops = batcher.stops_at_faults();
    if !stops {
        batcher.pass(line);
    }
    *line = Vec::new();
    let mut ends = stops;
    while !ends {
        let part = reader.fill_buf()?;
        if part.is_empty() {
            break;
        }
        let part = up_to_line_break(part);
        batcher.pass(part.0);
        let taken = part.0.len();
        ends = part.1;
        reader.consume(taken);
    }
    Ok(Got::TooLong)
}

/// What of this belongs to the line, and whether the line ends there.
fn up_to_line_break(part: &[u8]) -> (&[u8], bool) {
    let end = memchr::memchr(b'\n', part);
    (end.and_then(|at| part.get(..=at)).unwrap_or(part), end.is_some())
}

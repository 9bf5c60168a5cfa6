//! Going on with an export that broke off: a last line that is not whole is cut off, and the export goes on after the key of the last
//! whole one.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, anyhow, bail};
use kvstore_client::{ImportLine, Lines};
use kvstore_types::{Key, Timestamp};

/// Bytes that are looked through at one time, from the end of the file to its beginning.
const CHUNK_BYTES: u64 = 64 << 10;

/// Opens a file at the end of its last whole line, and gives that line's key; `None` where there is no line.
pub(super) fn reopen(path: &Path, with_metadata: bool) -> anyhow::Result<(File, Option<Key>)> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).with_context(|| format!("can't go on with {}", path.display()))?;
    let length = file.metadata()?.len();
    let end = line_break_before(&mut file, length)?.map_or(0, |at| at + 1);
    let last = if end == 0 { None } else { Some(last_line(&mut file, end)?) };
    let key = last.map(|line| key_of(&line, with_metadata)).transpose().with_context(|| format!("can't go on with {}", path.display()))?;
    if end < length {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok((file, key))
}

fn last_line(file: &mut File, end: u64) -> io::Result<Vec<u8>> {
    let start = line_break_before(file, end - 1)?.map_or(0, |at| at + 1);
    let mut line = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(end - start).read_to_end(&mut line)?;
    Ok(line)
}

/// The place of the last line break before this one.
fn line_break_before(file: &mut File, mut end: u64) -> io::Result<Option<u64>> {
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        chunk.clear();
        file.seek(SeekFrom::Start(start))?;
        (&mut *file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(Some(start + at as u64));
        }
        end = start;
    }
    Ok(None)
}

fn key_of(line: &[u8], with_metadata: bool) -> anyhow::Result<Key> {
    let line = line.trim_ascii();
    let is_entry = ImportLine::parse(line, Lines::Entries);
    if with_metadata {
        return Ok(is_entry.map_err(|error| anyhow!("its last line is no entry with metadata: {error}"))?.key);
    }
    if is_entry.is_ok() {
        bail!("it was exported with --with-metadata; add that");
    }
    let item =
        ImportLine::parse(line, Lines::Puts(Timestamp::ZERO)).map_err(|error| anyhow!("its last line is not of an export: {error}"))?;
    Ok(item.key)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_torn_line_is_cut_off_and_the_last_whole_one_is_found() {
        let long = format!("{{\"key\":\"long\",\"value\":\"{}\"}}\n", "v".repeat(200_000));
        let cases = [
            (String::new(), 0, None),
            ("{\"key\":\"a\",\"va".to_owned(), 0, None),
            ("{\"key\":\"a\",\"value\":\"1\"}\n".to_owned(), 24, Some("a")),
            ("{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\"".to_owned(), 24, Some("a")),
            (format!("{{\"key\":\"a\",\"value\":\"1\"}}\n{long}{}", "{\"key\"".repeat(20_000)), 24 + long.len() as u64, Some("long")),
        ];
        for (text, length, key) in cases {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            file.write_all(text.as_bytes()).expect("it is written");
            let (mut reopened, last) = reopen(file.path(), false).expect("it can be gone on with");
            assert_eq!(last.as_ref().map(Key::as_str), key, "{} bytes", text.len());
            assert_eq!(reopened.stream_position().expect("a position"), length, "{} bytes", text.len());
            assert_eq!(file.path().metadata().expect("a file").len(), length, "{} bytes", text.len());
        }
    }
}

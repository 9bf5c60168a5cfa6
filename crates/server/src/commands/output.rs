//! How entries look: safe on a terminal, plain in a pipe, JSON on request.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use clap::{Args, ValueEnum};
use serde::Serialize;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Columns, shortened to fit
    Table,
    /// A line per entry: key, tab, value, with control characters escaped
    Plain,
    /// A line of JSON per entry, which `import` takes
    Json,
}

/// How a verb that has one thing to tell tells it.
#[derive(Debug, Args)]
pub(super) struct Answer {
    /// The form of the answer [default: text]
    #[arg(long, short, value_name = "FORM")]
    output: Option<AnswerForm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerForm {
    /// A sentence
    Text,
    /// A JSON document
    Json,
}

impl Answer {
    pub(super) fn is_json(&self) -> bool {
        self.output == Some(AnswerForm::Json)
    }
}

pub(super) fn to_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A number with the word for what it counts.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Entries, counted.
pub(super) fn entries(number: u64) -> String {
    counted(number, "entry", "entries")
}

/// Writes to stdout to the last byte.
pub(super) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// A JSON document on stdout, in one line.
pub(super) fn print_line(document: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(document)?;
    text.push(b'\n');
    Ok(print(&text)?)
}

/// Bytes as text of one line: control characters can't reach the terminal, and bytes that are not UTF-8 are still told apart.
pub(super) fn escape(bytes: &[u8]) -> String {
    escape_but(bytes, |_| false)
}

/// The same, with line breaks and tabs as they are.
pub(super) fn escape_lines(bytes: &[u8]) -> String {
    escape_but(bytes, |character| matches!(character, '\n' | '\t'))
}

fn escape_but(bytes: &[u8], keep: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                character if keep(character) => text.push(character),
                '\\' => text.push_str("\\\\"),
                // Marks that reorder or hide text are as good as control characters.
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                    text.extend(character.escape_unicode());
                }
                character if character.is_control() => text.extend(character.escape_default()),
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The first characters of a text, with a mark where more follows.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        assert_eq!(escape(b"a\x1b[31m\tb\n"), "a\\u{1b}[31m\\tb\\n");
        assert_eq!(escape(b"\xff\\"), "\\xff\\\\");
        assert_eq!(escape("\u{202e}é".as_bytes()), "\\u{202e}é");
        assert_eq!(escape_lines(b"a\n\tb\r"), "a\n\tb\\r");
        assert_eq!(shorten("éab", 2), "éa…");
        assert_eq!(shorten("éa", 2), "éa");
    }
}

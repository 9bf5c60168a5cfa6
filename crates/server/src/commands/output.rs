//! How entries look: safe on a terminal, plain in a pipe, JSON on request.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

/// Columns that a table takes at least: a terminal that does not know its width says 0.
const TABLE_COLUMNS_MIN: u16 = 80;

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Columns, with long keys and values shortened to fit
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

/// A table as wide as the terminal at most, with a rule below its header alone.
pub(super) fn table(header: &[&str]) -> Table {
    const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_header(header.iter().copied());
    if table.width().is_none_or(|columns| columns < TABLE_COLUMNS_MIN) {
        table.set_width(TABLE_COLUMNS_MIN);
    }
    table
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

/// A JSON document on stdout, laid out for a person to read.
pub(super) fn print_document(document: &impl Serialize) -> anyhow::Result<()> {
    print_json(serde_json::to_string_pretty(document)?)
}

/// A JSON document on stdout, in one line.
pub(super) fn print_line(document: &impl Serialize) -> anyhow::Result<()> {
    print_json(serde_json::to_string(document)?)
}

fn print_json(text: String) -> anyhow::Result<()> {
    let mut text = if to_terminal() { escape_json(&text) } else { text };
    text.push('\n');
    Ok(print(text.as_bytes())?)
}

/// JSON in which nothing steers a terminal: the same document, with more of its characters escaped as JSON escapes them.
pub(crate) fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_mark(character) || (character.is_control() && !character.is_ascii_whitespace()) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(character);
        }
    }
    text
}

/// A message, which may name what others stored or sent: nothing in it steers a terminal. Its lines are kept, and so is what is
/// escaped in it already.
pub(crate) fn harmless(message: &str) -> String {
    escape_but(message.as_bytes(), |character| matches!(character, '\n' | '\t' | '\\'))
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
                character if is_mark(character) => text.extend(character.escape_unicode()),
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

/// Marks that reorder or hide text are as good as control characters.
const fn is_mark(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
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
        assert_eq!(harmless("a\u{9b}31m\\n\n\tb\u{202e}\u{7f}"), "a\\u{9b}31m\\n\n\tb\\u{202e}\\u{7f}");
        assert_eq!(shorten("éab", 2), "éa…");
        assert_eq!(shorten("éa", 2), "éa");
    }

    #[test]
    fn escaped_json_is_the_same_document() {
        let stored = "é\u{1b}\u{7f}\u{85}\u{9b}31m\u{61c}\u{202e}\u{e0041}\\ \"\n";
        let document = serde_json::to_string_pretty(&[stored]).expect("JSON");
        let shown = escape_json(&document);
        assert!(shown.contains("\\u007f\\u0085\\u009b31m\\u061c\\u202e\\udb40\\udc41"), "{shown}");
        assert!(!shown.chars().any(|character| is_mark(character) || (character.is_control() && character != '\n')), "{shown:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).expect("JSON"), [stored]);
    }
}

//! Strict JSON: what serde_json refuses is told with line and column; what has the wrong form, with a pointer to each fault.
//!
//! Bodies are parsed once into typed structs. Only a body that does not fit is gone through again, member by member.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

use crate::errors::{Faults, Kind, Problem};

/// The body as text.
///
/// # Errors
/// It is not UTF-8.
pub(crate) fn text(body: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(body).map_err(|error| {
        let before = body.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Problem::new(Kind::BadJson, format!("The body is not UTF-8 at line {line} column {column}."))
    })
}

/// Refuses a text that is not one JSON value.
///
/// # Errors
/// Says what is wrong, with line and column.
pub(crate) fn check_syntax(text: &str) -> Result<(), Problem> {
    serde_json::from_str::<&RawValue>(text).map(|_| ()).map_err(|error| syntax(&error))
}

/// An error of serde_json as a problem.
pub(crate) fn syntax(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Kind::BadJson, format!("The body is not valid JSON: {} at line {line} column {column}.", reason(error)))
}

/// Whether the text itself is broken, rather than having another form than asked for.
pub(crate) fn is_syntax(error: &serde_json::Error) -> bool {
    matches!(error.classify(), Category::Syntax | Category::Eof)
}

/// The message without its position, and not longer than a line: it may echo what was sent.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
    reason.chars().take(160).collect()
}

/// Takes a member that may be left out, but not be null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The raw members of an object, in the order of `known`. Unknown and duplicate ones are faults, and so is anything but an object.
pub(crate) fn members<'a, const N: usize>(
    raw: &'a str,
    at: &str,
    known: &[&'static str; N],
    faults: &mut Faults,
) -> Option<[Option<&'a RawValue>; N]> {
    if !raw.trim_start().starts_with('{') {
        faults.push(at, "it must be a JSON object");
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let seed = Members { at, known, faults: &mut *faults };
    match seed.deserialize(&mut deserializer) {
        Ok(members) => Some(members),
        Err(error) => {
            faults.push(at, reason(&error));
            None
        }
    }
}

struct Members<'f, const N: usize> {
    at: &'f str,
    known: &'f [&'static str; N],
    faults: &'f mut Faults,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = map.next_key::<String>()? {
            let raw = map.next_value::<&RawValue>()?;
            match self.known.iter().zip(&mut found).find(|(known, _)| **known == name) {
                Some((_, slot @ None)) => *slot = Some(raw),
                Some((_, Some(_))) => self.faults.push(pointer(self.at, &name), "the member occurs twice"),
                None => {
                    let takes = self.known.join(", ");
                    self.faults.push(pointer(self.at, &name), format!("the member is not known here; known are: {takes}"));
                }
            }
        }
        Ok(found)
    }
}

/// A pointer to a member, escaped (RFC 6901) and not longer than a line.
pub(crate) fn pointer(at: &str, member: &str) -> String {
    let member: String = member.chars().take(80).collect();
    format!("{at}/{}", member.replace('~', "~0").replace('/', "~1"))
}

/// The raw elements of an array, of which at most `max` are kept, and how many there are.
pub(crate) fn elements<'a>(raw: &'a RawValue, at: &str, max: usize, faults: &mut Faults) -> Option<(Vec<&'a RawValue>, usize)> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let elements = raw.get().starts_with('[').then(|| deserializer.deserialize_seq(Elements { max }).ok()).flatten();
    if elements.is_none() {
        faults.push(at, "it must be an array");
    }
    elements
}

struct Elements {
    max: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.max {
            match sequence.next_element::<&RawValue>()? {
                Some(raw) => kept.push(raw),
                None => {
                    let count = kept.len();
                    return Ok((kept, count));
                }
            }
        }
        let mut count = kept.len();
        while sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((kept, count))
    }
}

/// A member of a type; where it is of another, a fault that says what it must be.
pub(crate) fn member<'a, T: Deserialize<'a>>(raw: &'a RawValue, at: impl FnOnce() -> String, must: &str, faults: &mut Faults) -> Option<T> {
    match serde_json::from_str(raw.get()) {
        Ok(value) => Some(value),
        Err(error) => {
            let detail = if is_syntax(&error) { reason(&error) } else { format!("it must be {must}") };
            faults.push(at(), detail);
            None
        }
    }
}

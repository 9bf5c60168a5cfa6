//! Query parameters: strictly decoded, each at most once, and none that the operation does not know.

use std::borrow::Cow;

use crate::{
    errors::{Kind, Problem},
    path,
};

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Whether the query names a key, so that `/kv/` is about that one.
pub(crate) fn names_key(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "key" || pair.starts_with("key=")))
}

impl<'a> Query<'a> {
    /// Decodes a query string.
    ///
    /// # Errors
    /// Bad percent-encoding, a parameter that is not in `known`, or one that occurs twice.
    pub(crate) fn parse(query: Option<&'a str>, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if !known.contains(&&*name) {
                let shown: String = name.chars().take(64).collect();
                let takes = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(bad(format!("The parameter {shown:?} is not known here; this operation takes: {takes}.")));
            }
            if parameters.iter().any(|(earlier, _): &(Cow<'_, str>, _)| *earlier == name) {
                return Err(bad(format!("The parameter {name:?} occurs twice.")));
            }
            parameters.push((name, decode(value)?));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The value of a parameter; an empty one counts as left out, as HTML forms send it.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is `true` or `false`; absent is `false`.
    ///
    /// # Errors
    /// It is anything else.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(format!("{name} is true or false."))),
        }
    }
}

/// A query problem.
pub(crate) fn bad(detail: String) -> Problem {
    Problem::new(Kind::BadQuery, detail)
}

/// One percent-decoding. A plus is a space, as every form encoder writes it; a plus sign itself is `%2B`.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    let spaced = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = match spaced {
        Cow::Borrowed(text) => path::percent_decode(text),
        Cow::Owned(text) => path::percent_decode(&text).map(|bytes| Cow::Owned(bytes.into_owned())),
    }
    .map_err(|detail| bad(detail.to_owned()))?;
    match decoded {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    }
    .ok_or_else(|| bad("The query is not valid UTF-8 once percent-decoded.".to_owned()))
}

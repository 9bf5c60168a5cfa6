//! Where each setting in force came from. It goes through the same layers as `Settings::resolve`, from the heaviest down.

use std::{fmt, path::PathBuf};

use clap::{ArgMatches, Args, Command, parser::ValueSource};
use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde_json::Value;

use super::{Given, Settings};

/// What stands for a secret that is set.
const HIDDEN: &str = "(hidden)";
/// Settings that must not be shown.
const SECRETS: [&str; 3] = ["token", "database_url", "postgres_password"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This flag.
    Flag(String),
    /// This variable.
    Environment(String),
    /// This file.
    File(PathBuf),
    /// Nobody gave one.
    Default,
}

impl Origin {
    /// Its kind, and what is named.
    pub(crate) fn parts(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Flag(name) => ("flag", Some(name.clone())),
            Self::Environment(name) => ("environment", Some(name.clone())),
            Self::File(path) => ("file", Some(path.display().to_string())),
            Self::Default => ("default", None),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (kind, None) => f.write_str(kind),
            (kind, Some(name)) => write!(f, "{kind} {name}"),
        }
    }
}

/// A setting with its value, if it has one, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// All settings, in the order of the flags.
///
/// # Errors
/// The settings have a form that can't be shown, which is a mistake in this program.
pub(crate) fn explain(given: &Given, settings: &Settings, matches: Option<&ArgMatches>) -> anyhow::Result<Vec<Explained>> {
    let values = serde_json::to_value(settings)?;
    let file = given.config.as_ref().map(|path| (path, Figment::from(Toml::file_exact(path))));
    let flags = Given::augment_args(Command::new("settings"));
    let explained = flags.get_arguments().map(|argument| {
        let name = argument.get_id().as_str();
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let origin = match matches.and_then(|matches| matches.value_source(name)) {
            Some(ValueSource::CommandLine) => Origin::Flag(format!("--{}", argument.get_long().unwrap_or(name))),
            Some(ValueSource::EnvVariable) => Origin::Environment(variable),
            _ => match &file {
                Some((path, layer)) if layer.contains(name) => Origin::File((*path).clone()),
                _ => Origin::Default,
            },
        };
        let value = match name {
            "config" => given.config.as_ref().map(|path| path.display().to_string()),
            name => values.get(name).and_then(shown),
        };
        let value = match name {
            name if SECRETS.contains(&name) => value.map(|_| HIDDEN.to_owned()),
            "redis_url" => value.map(|url| without_password(&url)),
            _ => value,
        };
        Explained { name: name.to_owned(), value, origin }
    });
    Ok(explained.collect())
}

/// A URL whose password can't be read.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return HIDDEN.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        None if rest.contains('@') => HIDDEN.to_owned(),
        None => url.to_owned(),
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(name, _)| name);
            format!("{scheme}://{user}:{HIDDEN}@{host}{path}")
        }
    }
}

/// A value as it would be given.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.iter().filter_map(shown).collect::<Vec<_>>().join(",")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/1"),
            ("redis://:secret@host", "redis://:(hidden)@host"),
            ("redis://user:se:cr@et@host:1/2", "redis://user:(hidden)@host:1/2"),
            ("redis://:se/cret@host", "(hidden)"),
            ("secret", "(hidden)"),
        ] {
            assert_eq!(without_password(url), shown, "of {url}");
        }
    }
}

//! `kvstore doctor`: looks at what a server needs from this machine, and says what to do where it is not there. It takes what `serve`
//! takes, and changes nothing. Each thing that it looks at has a file.

mod access;
mod budget;
mod clock;
mod data_dir;
mod database;
mod disk;
mod files;
mod port;
mod proc;
mod redis;

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::output;
use crate::{
    exit::Exit,
    settings::{self, Given, Settings, Storage},
};

const HELP: &str = "Exit codes: 0 nothing that keeps a server from serving; 1 at least one problem; 2 wrong usage. Warnings do not count.";

/// Look for what would keep a server from serving well on this machine
///
/// Takes what `kvstore serve` takes. Nothing is changed, and a server that runs is not disturbed.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct Doctor {
    /// The form [default: plain]
    #[arg(long, short, value_name = "FORM")]
    output: Option<DoctorForm>,

    #[command(flatten)]
    given: Given,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DoctorForm {
    /// A line for each thing, and what to do below it
    Plain,
    /// One JSON document
    Json,
}

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Diagnosis {
    /// What was looked at.
    check: &'static str,
    level: Level,
    /// How it is.
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Diagnosis {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, detail: detail.into(), advice: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn problem(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, detail: detail.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let diagnoses = match resolve(&self.given) {
            Ok((settings, unknown)) => all(&settings, unknown).await,
            Err(error) => {
                vec![Diagnosis::problem("settings", format!("{error:#}"), "mend them; `kvstore config` shows where each comes from")]
            }
        };
        let count = |level| diagnoses.iter().filter(|diagnosis| diagnosis.level == level).count();
        let (problems, warnings) = (count(Level::Problem), count(Level::Warning));
        if self.output == Some(DoctorForm::Json) {
            output::print_document(&json!({ "problems": problems, "warnings": warnings, "checks": diagnoses }))?;
        } else {
            output::print(diagnoses.iter().map(lines).collect::<String>().as_bytes())?;
            writeln!(io::stdout(), "{problems} problems, {warnings} warnings")?;
        }
        Ok(if problems == 0 { Exit::Ok } else { Exit::Absent })
    }
}

fn resolve(given: &Given) -> anyhow::Result<(Settings, Vec<String>)> {
    let unknown = settings::check_environment()?;
    Ok((Settings::resolve(given)?, unknown))
}

async fn all(settings: &Settings, unknown: Vec<String>) -> Vec<Diagnosis> {
    let mut diagnoses = vec![if unknown.is_empty() {
        Diagnosis::ok("settings", "they can be used")
    } else {
        let detail = format!("these variables are no settings, and are ignored: {}", unknown.join(", "));
        Diagnosis::warning("settings", detail, "look for a misspelt name; `kvstore serve --help` lists the settings")
    }];
    let (port, is_serving) = port::look(settings).await;
    diagnoses.push(port);
    diagnoses.push(access::look(settings));
    match settings.storage {
        Storage::Embedded => {
            diagnoses.push(data_dir::look(&settings.data_dir, is_serving));
            diagnoses.extend(disk::look(settings));
        }
        Storage::Postgres => {
            diagnoses.extend(database::look(settings).await);
            diagnoses.extend(redis::look(settings).await);
        }
    }
    diagnoses.push(files::look(settings.max_connections));
    diagnoses.extend(budget::look(settings.memory_mb));
    diagnoses.push(clock::look());
    diagnoses
}

fn lines(diagnosis: &Diagnosis) -> String {
    let level = match diagnosis.level {
        Level::Ok => "ok",
        Level::Warning => "WARNING",
        Level::Problem => "PROBLEM",
    };
    let detail = output::escape(diagnosis.detail.as_bytes());
    let mut lines = format!("{level:8} {:10} {detail}\n", diagnosis.check);
    if let Some(advice) = &diagnosis.advice {
        lines.push_str(&format!("{:19} -> {}\n", "", output::escape(advice.as_bytes())));
    }
    lines
}

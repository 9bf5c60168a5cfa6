//! `Report`: what became of each case on one backend, and the table of clauses that goes into the documentation.

use std::fmt;

use super::{Case, Stop};
use crate::contract::CLAUSES;

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The store keeps what the case checks.
    Passed,
    /// It keeps it in a weaker form: what its capabilities leave of it.
    Weaker(&'static str),
    /// It does not.
    Failed(String),
    /// The backend can't run the case.
    Skipped(&'static str),
}

impl From<Result<(), Stop>> for Verdict {
    fn from(result: Result<(), Stop>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Stop::Weaker(why)) => Self::Weaker(why),
            Err(Stop::Failed(why)) => Self::Failed(why),
            Err(Stop::Skipped(why)) => Self::Skipped(why),
        }
    }
}

/// A case with its verdict.
#[derive(Debug, Clone)]
pub struct Ruling {
    /// The case's name.
    pub name: &'static str,
    /// The clauses that it cites.
    pub clauses: &'static [&'static str],
    /// What became of it.
    pub verdict: Verdict,
}

impl Ruling {
    pub(super) fn of(case: &Case, verdict: Verdict) -> Self {
        Self { name: case.name, clauses: case.clauses, verdict }
    }
}

/// The verdicts of a backend.
#[derive(Debug, Clone)]
pub struct Report {
    /// The backend's name.
    pub backend: String,
    /// One for each case.
    pub rulings: Vec<Ruling>,
}

impl Report {
    /// Cases that passed in a weaker form, with what that form is.
    #[must_use]
    pub fn weaker(&self) -> Vec<(&'static str, &'static str)> {
        let weaker = |ruling: &Ruling| match ruling.verdict {
            Verdict::Weaker(why) => Some((ruling.name, why)),
            _ => None,
        };
        self.rulings.iter().filter_map(weaker).collect()
    }

    /// Cases that the backend can't run, with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.rulings.iter().filter_map(|ruling| match ruling.verdict {
            Verdict::Skipped(why) => Some((ruling.name, why)),
            _ => None,
        })
    }

    /// Cases that passed, failed and were skipped. Those that passed in a weaker form are in none of these.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Verdict) -> bool| self.rulings.iter().filter(|ruling| is(&ruling.verdict)).count();
        (
            count(|verdict| *verdict == Verdict::Passed),
            count(|verdict| matches!(verdict, Verdict::Failed(_))),
            count(|verdict| matches!(verdict, Verdict::Skipped(_))),
        )
    }

    /// One line for each case that failed: its name, its clauses and what was found. Empty where all is well.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.rulings
            .iter()
            .filter_map(|ruling| match &ruling.verdict {
                Verdict::Failed(why) => Some(format!("{} on {} ({}): {why}", ruling.name, self.backend, ruling.clauses.join(", "))),
                _ => None,
            })
            .collect()
    }

    /// The clauses that no passed case cites.
    #[must_use]
    pub fn unproven(&self) -> Vec<&'static str> {
        let passed = |ruling: &Ruling| matches!(ruling.verdict, Verdict::Passed | Verdict::Weaker(_));
        let proven = |clause: &str| self.rulings.iter().any(|ruling| passed(ruling) && ruling.clauses.contains(&clause));
        CLAUSES.iter().map(|(number, _)| *number).filter(|number| !proven(number)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = self.counts();
        let weaker = self.weaker();
        write!(f, "conformance of {}: {passed} passed, ", self.backend)?;
        if !weaker.is_empty() {
            write!(f, "{} passed in a weaker form, ", weaker.len())?;
        }
        writeln!(f, "{failed} failed, {skipped} skipped")?;
        for (name, why) in weaker {
            writeln!(f, "      weaker: {name}: {why}")?;
        }
        for (number, about) in CLAUSES {
            let citing: Vec<_> = self.rulings.iter().filter(|ruling| ruling.clauses.contains(number)).map(marked).collect();
            if !citing.is_empty() {
                writeln!(f, "{number:>4}  {about}: {}", citing.join(", "))?;
            }
        }
        Ok(())
    }
}

fn marked(ruling: &Ruling) -> String {
    match ruling.verdict {
        Verdict::Passed => ruling.name.to_owned(),
        Verdict::Weaker(_) => format!("{} (weaker)", ruling.name),
        Verdict::Failed(_) => format!("{} FAILED", ruling.name),
        Verdict::Skipped(_) => format!("{} (skipped)", ruling.name),
    }
}

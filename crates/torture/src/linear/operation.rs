//! `Operation`: one request to one key, when it was sent, when it was answered, and what the answer was.

use std::fmt;

/// A request. Every put has a value of its own, so that a read names its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Get,
    Put { value: u64, condition: Option<Condition> },
    Delete { condition: Option<Condition> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Condition {
    Absent,
    Present,
    Revision(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// No answer, or one that says so: it may take effect at any later time, or never.
    Unknown,
    /// It took no effect, and never will.
    NotApplied,
    /// A read found this.
    Found { value: u64, version: u64, revision: u64 },
    /// A read or a delete found nothing.
    Absent,
    /// A put was applied.
    Stored { version: u64, revision: u64 },
    /// A delete was applied.
    Deleted,
    /// The condition did not hold: the key had this revision, or was absent.
    Refused { current: Option<u64> },
}

/// One request and its answer. Times are nanoseconds on one monotonic clock.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) client: u32,
    pub(crate) key: String,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    pub(crate) invoked: u64,
    /// When the answer had come. An unknown operation has no end, whatever is here.
    pub(crate) returned: u64,
}

impl Operation {
    /// When it was over: never, if its outcome is unknown.
    pub(crate) fn end(&self) -> Option<u64> {
        (self.answer != Answer::Unknown).then_some(self.returned)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} .. ", Millis(self.invoked))?;
        match self.end() {
            Some(end) => write!(f, "{}]", Millis(end))?,
            None => f.write_str("        ?]")?,
        }
        write!(f, " client {:>2}: {} -> {}", self.client, self.call, self.answer)
    }
}

struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}.{:03}", self.0 / 1_000_000, self.0 / 1_000 % 1_000)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let condition = match self {
            Call::Get => return f.write_str("get"),
            Call::Put { value, condition } => {
                write!(f, "put value {value}")?;
                condition
            }
            Call::Delete { condition } => {
                f.write_str("delete")?;
                condition
            }
        };
        match condition {
            None => Ok(()),
            Some(Condition::Absent) => f.write_str(" if absent"),
            Some(Condition::Present) => f.write_str(" if present"),
            Some(Condition::Revision(revision)) => write!(f, " if revision {revision}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Unknown => f.write_str("unknown"),
            Answer::NotApplied => f.write_str("not applied"),
            Answer::Found { value, version, revision } => write!(f, "value {value}, version {version}, revision {revision}"),
            Answer::Absent => f.write_str("absent"),
            Answer::Stored { version, revision } => write!(f, "stored as version {version}, revision {revision}"),
            Answer::Deleted => f.write_str("deleted"),
            Answer::Refused { current: Some(revision) } => write!(f, "refused: the revision is {revision}"),
            Answer::Refused { current: None } => f.write_str("refused: absent"),
        }
    }
}

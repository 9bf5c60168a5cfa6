//! `Register`: what one key holds, and what each operation may be answered there. The specification that histories are held to.

use std::fmt;

use super::operation::{Answer, Call, Condition};
use super::past::UNSEEN;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Register {
    /// Every revision that comes is greater than `above`.
    Absent {
        above: u64,
    },
    Present {
        value: u64,
        version: u64,
        revision: Revision,
    },
}

/// The answer that would have named the revision of a write may have been lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Revision {
    Is(u64),
    Above(u64),
}

impl Revision {
    /// This revision with the knowledge that it is `revision`, unless it is not.
    fn being(self, revision: u64) -> Option<Revision> {
        let may_be = match self {
            Revision::Is(known) => known == revision,
            Revision::Above(above) => revision > above,
        };
        may_be.then_some(Revision::Is(revision))
    }

    /// The greatest number that is certainly not greater than it.
    const fn least(self) -> u64 {
        match self {
            Revision::Is(revision) => revision,
            Revision::Above(above) => above.saturating_add(1),
        }
    }
}

impl Register {
    /// A key that nobody has written.
    pub(super) const EMPTY: Register = Register::Absent { above: 0 };

    /// What the key holds after `call` was answered so; `None` where it can't be answered so.
    pub(super) fn after(self, call: Call, answer: Answer) -> Option<Register> {
        match (call, answer) {
            (_, Answer::Unknown) => self.after_unanswered(call),
            (_, Answer::NotApplied) => Some(self),
            (Call::Get | Call::Delete { condition: None }, Answer::Absent) => self.is_absent().then_some(self),
            (Call::Get, Answer::Found { value, version, revision }) => self.found(value, version, revision),
            (Call::Put { value, condition }, Answer::Stored { version, revision }) => {
                let before = self.meeting(condition)?;
                (before.next_version() == version && revision > before.least()).then_some(Register::Present {
                    value,
                    version,
                    revision: Revision::Is(revision),
                })
            }
            (Call::Delete { condition }, Answer::Deleted) => self.meeting(condition)?.deleted(),
            (Call::Put { condition: Some(condition), .. } | Call::Delete { condition: Some(condition) }, Answer::Refused { current }) => {
                self.refusing(condition, current)
            }
            _ => None,
        }
    }

    /// What the key holds after `call` took effect without an answer; `None` where it has no effect.
    pub(super) fn after_unanswered(self, call: Call) -> Option<Register> {
        match call {
            Call::Get => None,
            Call::Put { value, condition } => {
                let before = self.meeting(condition)?;
                Some(Register::Present { value, version: before.next_version(), revision: Revision::Above(before.least()) })
            }
            Call::Delete { condition } => self.meeting(condition)?.deleted(),
        }
    }

    fn meeting(self, condition: Option<Condition>) -> Option<Register> {
        match condition {
            None => Some(self),
            Some(Condition::Absent) => self.is_absent().then_some(self),
            Some(Condition::Present) => (!self.is_absent()).then_some(self),
            Some(Condition::Revision(revision)) => self.being(revision),
        }
    }

    fn refusing(self, condition: Condition, current: Option<u64>) -> Option<Register> {
        let fails = match condition {
            Condition::Absent => current.is_some(),
            Condition::Present => current.is_none(),
            Condition::Revision(revision) => current != Some(revision),
        };
        match current {
            _ if !fails => None,
            None => self.is_absent().then_some(self),
            Some(current) => self.being(current),
        }
    }

    fn found(self, value: u64, version: u64, revision: u64) -> Option<Register> {
        match self {
            Register::Present { value: own, version: own_version, .. } if own == value && own_version == version => self.being(revision),
            _ => None,
        }
    }

    /// The same, with the knowledge that its revision is `revision`.
    fn being(self, revision: u64) -> Option<Register> {
        match self {
            Register::Present { value, version, revision: known } => {
                Some(Register::Present { value, version, revision: known.being(revision)? })
            }
            Register::Absent { .. } => None,
        }
    }

    fn deleted(self) -> Option<Register> {
        (!self.is_absent()).then_some(Register::Absent { above: self.least() })
    }

    const fn is_absent(self) -> bool {
        matches!(self, Register::Absent { .. })
    }

    const fn next_version(self) -> u64 {
        match self {
            Register::Absent { .. } => 1,
            Register::Present { version, .. } => version + 1,
        }
    }

    const fn least(self) -> u64 {
        match self {
            Register::Absent { above } => above,
            Register::Present { revision, .. } => revision.least(),
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Register::Absent { above } => write!(f, "absent, and all revisions up to {above} are used"),
            Register::Present { value, version, revision } => {
                match *value {
                    UNSEEN => f.write_str("a value that nobody read")?,
                    value => write!(f, "value {value}")?,
                }
                write!(f, ", version {version}, ")?;
                match revision {
                    Revision::Is(revision) => write!(f, "revision {revision}"),
                    Revision::Above(above) => write!(f, "a revision above {above}"),
                }
            }
        }
    }
}

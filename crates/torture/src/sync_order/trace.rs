//! Reads strace's lines (`-f -ttt -yy`) into begun and ended calls. Their order in the file is the order in which the tracer saw them,
//! and a thread goes on only once its stop was seen: that order is the truth about what came before what.

use std::collections::HashMap;

/// A system call's begin or end.
#[derive(Debug)]
pub(super) enum Event<'a> {
    Begins(Call<'a>),
    Ends { call: Call<'a>, succeeded: bool },
}

/// A call with its first argument's target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// The path or socket of the file descriptor.
    pub(super) target: &'a str,
    /// All arguments, as strace shows them.
    pub(super) arguments: &'a str,
}

/// All events, in order.
pub(super) fn events(text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let mut open: HashMap<&str, Call<'_>> = HashMap::new();
    for line in text.lines() {
        let Some((pid, rest)) = split(line).and_then(|(pid, rest)| Some((pid, split(rest)?.1))) else {
            continue;
        };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            if let Some(call) = open.remove(pid).filter(|call| resumed.starts_with(call.name)) {
                events.push(Event::Ends { call, succeeded: succeeded(resumed) });
            }
            continue;
        }
        let Some(call) = call(rest) else {
            continue;
        };
        events.push(Event::Begins(call));
        if rest.ends_with("<unfinished ...>") {
            open.insert(pid, call);
        } else {
            events.push(Event::Ends { call, succeeded: succeeded(rest) });
        }
    }
    events
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.trim_start().split_once(' ').map(|(first, rest)| (first, rest.trim_start()))
}

/// `name(fd<target>, ...`
fn call(text: &str) -> Option<Call<'_>> {
    let (name, arguments) = text.split_once('(')?;
    let (_, after) = arguments.split_once('<')?;
    // A socket's name holds "->"; what ends it is followed by a comma or a parenthesis.
    let end =
        after.match_indices('>').map(|(at, _)| at).find(|at| after.get(at + 1..).is_some_and(|rest| rest.starts_with([',', ')', ' '])));
    Some(Call { name, target: after.get(..end.unwrap_or(after.len()))?, arguments })
}

/// The last `= n` of the line; negative is an error.
fn succeeded(text: &str) -> bool {
    text.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-') && !result.starts_with('?'))
}

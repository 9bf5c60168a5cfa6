//! Follows a trace: which write to a log holds which key, which sync came after it, and which answer came before that sync ended.

use std::collections::HashMap;

use super::trace::{Call, Event, events};

/// What a trace shows.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Acknowledgements whose log write was synced before.
    pub(super) covered: usize,
    /// Acknowledgements that came too soon, and why.
    pub(super) faults: Vec<String>,
    /// Successful syncs of log files.
    pub(super) syncs: usize,
}

/// What happened to one log file, counted in its writes.
#[derive(Debug, Default)]
struct Log {
    /// Data of each write that ended.
    written: Vec<String>,
    /// How many of them a sync covers that has ended.
    synced: usize,
    /// How many had ended when the running sync began, by the thread's call.
    syncing: HashMap<*const u8, usize>,
}

/// Judges every acknowledgement of a write in the trace.
pub(super) fn analyse(text: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let mut logs: HashMap<String, Log> = HashMap::new();
    for event in events(text) {
        match event {
            Event::Begins(call) if is_sync(&call) && is_log(call.target) => {
                let log = logs.entry(call.target.to_owned()).or_default();
                log.syncing.insert(call.arguments.as_ptr(), log.written.len());
            }
            Event::Ends { call, succeeded } if is_sync(&call) && is_log(call.target) => {
                let log = logs.entry(call.target.to_owned()).or_default();
                let covers = log.syncing.remove(&call.arguments.as_ptr());
                if let Some(covers) = covers.filter(|_| succeeded) {
                    log.synced = log.synced.max(covers);
                    verdict.syncs += 1;
                }
            }
            Event::Ends { call, .. } if is_log(call.target) => {
                logs.entry(call.target.to_owned()).or_default().written.push(call.arguments.to_owned())
            }
            Event::Begins(call) if call.target.contains("TCP") => match acknowledged(&call) {
                Some(Acknowledged::Key(key)) => judge_key(&logs, key, &mut verdict),
                Some(Acknowledged::Batch) => judge_batch(&logs, &mut verdict),
                None => {}
            },
            Event::Begins(_) | Event::Ends { .. } => {}
        }
    }
    verdict
}

fn judge_key(logs: &HashMap<String, Log>, key: &str, verdict: &mut Verdict) {
    // The newest write of a key is the one that this answer is about: one request at a time is sent for a key.
    let newest = logs.iter().filter_map(|(path, log)| Some((path, log, log.written.iter().rposition(|data| data.contains(key))?)));
    match newest.max_by_key(|(path, _, _)| path.as_str()) {
        None => verdict.faults.push(format!("{key} was acknowledged, and no write to a log holds it")),
        Some((path, log, position)) if position >= log.synced => {
            verdict.faults.push(format!("{key} was acknowledged before a sync of {path} that covers it had ended"));
        }
        Some(_) => verdict.covered += 1,
    }
}

/// A batch's answer names no key, so batches are sent alone: at that time nothing at all may be waiting for a sync.
fn judge_batch(logs: &HashMap<String, Log>, verdict: &mut Verdict) {
    match logs.iter().find(|(_, log)| log.written.len() > log.synced) {
        Some((path, _)) => verdict.faults.push(format!("a batch was acknowledged before a sync of {path} that covers it had ended")),
        None => verdict.covered += 1,
    }
}

/// What the answer to a write that succeeded is about.
enum Acknowledged<'a> {
    Key(&'a str),
    Batch,
}

fn acknowledged<'a>(call: &Call<'a>) -> Option<Acknowledged<'a>> {
    let (_, answer) = call.arguments.split_once("HTTP/1.1 ")?;
    if !answer.starts_with('2') {
        return None;
    }
    if let Some(at) = answer.to_ascii_lowercase().find("kv-key: ") {
        return answer.get(at + "kv-key: ".len()..)?.split('\\').next().map(Acknowledged::Key);
    }
    answer.contains(r#"{\"count\":"#).then_some(Acknowledged::Batch)
}

fn is_sync(call: &Call<'_>) -> bool {
    matches!(call.name, "fdatasync" | "fsync")
}

/// `.../000004.log`
fn is_log(target: &str) -> bool {
    let name = target.rsplit('/').next().unwrap_or_default();
    name.strip_suffix(".log").is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

//! Open files: each connection is one, and so is each table.

use rustix::process::{Resource, getrlimit};

use super::Diagnosis;

const CHECK: &str = "files";
/// What is left for tables, logs and the like: a table holds 64 MiB or so.
const BESIDE_CONNECTIONS: u64 = 4_096;

pub(super) fn look(connections: usize) -> Diagnosis {
    // `serve` raises its limit to the hard one.
    judge(getrlimit(Resource::Nofile).maximum, connections as u64)
}

fn judge(limit: Option<u64>, connections: u64) -> Diagnosis {
    let needed = connections.saturating_add(BESIDE_CONNECTIONS);
    match limit {
        Some(limit) if limit < needed => {
            let detail = format!(
                "{limit} files can be open, and {connections} connections with as many tables as {BESIDE_CONNECTIONS} need {needed}"
            );
            let advice =
                format!("raise the limit (`ulimit -Hn {needed}`, or LimitNOFILE={needed} in the unit), or lower --max-connections");
            Diagnosis::warning(CHECK, detail, advice)
        }
        Some(limit) => Diagnosis::ok(CHECK, format!("{limit} files can be open, enough for {connections} connections")),
        None => Diagnosis::ok(CHECK, "any number of files can be open"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn connections_and_tables_must_fit_the_limit() {
        assert_eq!(judge(Some(1_024), 10_000).level, Level::Warning);
        assert_eq!(judge(Some(14_096), 10_000).level, Level::Ok);
        assert_eq!(judge(None, 10_000).level, Level::Ok);
    }
}

//! What the server's cgroup says of memory: kills, the highest anonymous memory, and whether it grows from round to round.

use std::sync::Arc;

use anyhow::Result;

use crate::{
    cgroup::{Cgroup, Watch},
    report::Report,
    targets,
};

/// Follows one cgroup from the start of the load.
pub(super) struct Follow {
    cgroup: Arc<Cgroup>,
    watch: Watch,
    highest_loading: u64,
    /// The highest of each round, for each kind of load: another load may take another share of the budget, and that is no growth.
    loads: Vec<(&'static str, Vec<u64>)>,
}

impl Follow {
    pub(super) fn start(cgroup: Arc<Cgroup>) -> Self {
        Self { watch: Watch::start(Arc::clone(&cgroup)), cgroup, highest_loading: 0, loads: Vec::new() }
    }

    /// The load is over.
    pub(super) fn loaded(&mut self) {
        self.highest_loading = self.watch.take_highest();
    }

    /// Rounds of another load begin; what was seen since the last one belongs to none of them.
    pub(super) fn begin(&mut self, load: &'static str) {
        self.highest_loading = self.highest_loading.max(self.watch.take_highest());
        self.loads.push((load, Vec::new()));
    }

    /// A round is over.
    pub(super) fn round(&mut self) {
        let highest = self.watch.take_highest();
        if let Some((_, rounds)) = self.loads.last_mut() {
            rounds.push(highest);
        }
    }

    /// Judges what was seen.
    pub(super) fn judge(mut self, memory_mb: u64, report: &mut Report) -> Result<()> {
        self.highest_loading = self.highest_loading.max(self.watch.take_highest());
        let budget = (memory_mb << 20) as f64;
        let mib = |bytes: u64| bytes >> 20;
        report.judge(targets::LARGE_OOM, self.cgroup.oom_kills()? as f64, "from the cgroup's events");

        let rounds = || self.loads.iter().flat_map(|(_, rounds)| rounds.iter().copied());
        let highest = rounds().fold(self.highest_loading, u64::max);
        let detail = format!("{} MiB at the highest, {} MiB outside of the rounds", mib(highest), mib(self.highest_loading));
        report.judge(targets::LARGE_MEMORY, highest as f64 / budget, detail);

        let Some(growth) = self.loads.iter().filter_map(|(_, rounds)| growth(rounds)).max() else {
            report.not_run(targets::LARGE_GROWTH, "fewer than two rounds were run");
            return Ok(());
        };
        let show = |(load, rounds): &(&str, Vec<u64>)| {
            let rounds: Vec<String> = rounds.iter().map(|bytes| mib(*bytes).to_string()).collect();
            format!("{load} {} MiB", rounds.join(", "))
        };
        let shown: Vec<String> = self.loads.iter().map(show).collect();
        report.judge(targets::LARGE_GROWTH, growth as f64 / budget, format!("highest of each round: {}", shown.join("; ")));
        Ok(())
    }
}

/// From the first round to the last; one round shows no growth.
fn growth(rounds: &[u64]) -> Option<u64> {
    match rounds {
        [first, .., last] => Some(last.saturating_sub(*first)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_needs_two_rounds_and_is_never_negative() {
        assert_eq!(growth(&[]), None);
        assert_eq!(growth(&[5]), None);
        assert_eq!(growth(&[5, 9, 7]), Some(2));
        assert_eq!(growth(&[7, 5]), Some(0));
    }
}

//! Memory: whether the budget fits what the machine has, and what this process may take of it.

use std::{fs, path::Path};

use indicatif::BinaryBytes;

use super::Diagnosis;

const MEMORY: &str = "memory";
const SWAP: &str = "swap";
/// More in use than this, in bytes, and something was moved out that is needed again.
const SWAPPED_MAX: u64 = 256 << 20;

pub(super) fn look(budget_mb: u64) -> Vec<Diagnosis> {
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = group_limit(Path::new("/sys/fs/cgroup"), &groups);
    let mut diagnoses = vec![budget(budget_mb << 20, kib(&machine, "MemTotal:"), of_group)];
    diagnoses.extend(swap(kib(&machine, "SwapTotal:"), kib(&machine, "SwapFree:")));
    diagnoses
}

fn budget(budget: u64, machine: Option<u64>, group: Option<u64>) -> Diagnosis {
    let (limit, whose) = match (machine, group) {
        (Some(machine), Some(group)) if group < machine => (group, "this process may take (cgroup)"),
        (Some(machine), _) => (machine, "this machine has"),
        (None, Some(group)) => (group, "this process may take (cgroup)"),
        (None, None) => return Diagnosis::ok(MEMORY, "how much this machine has can't be told here"),
    };
    let detail = format!("the budget is {} of the {} that {whose}", BinaryBytes(budget), BinaryBytes(limit));
    let fits = limit / 4 * 3;
    let advice = format!("give --memory-mb at most {} here", (fits >> 20).max(1));
    if budget > limit {
        Diagnosis::problem(MEMORY, detail, advice)
    } else if budget > fits {
        Diagnosis::warning(MEMORY, format!("{detail}, which leaves little for the rest"), advice)
    } else {
        Diagnosis::ok(MEMORY, detail)
    }
}

fn swap(total: Option<u64>, free: Option<u64>) -> Option<Diagnosis> {
    let used = total?.saturating_sub(free?);
    Some(if used > SWAPPED_MAX {
        let detail = format!("{} are swapped out: this machine has less memory than its programs take", BinaryBytes(used));
        Diagnosis::warning(SWAP, detail, "give --memory-mb less, or the machine more: a cache that was swapped out is slower than none")
    } else {
        Diagnosis::ok(SWAP, "hardly anything is swapped out")
    })
}

/// A line of /proc/meminfo, in bytes.
fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The lowest limit of the groups that hold this process, of both versions of cgroups. `groups` is /proc/self/cgroup.
fn group_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (base, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            controllers if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        // A group is held to the limits of those above it too. In a container, the path may be one of outside.
        let inner = base.join(path.trim_start_matches('/'));
        inner.ancestors().take_while(|dir| dir.starts_with(&base)).filter_map(|dir| limit(&dir.join(file))).collect()
    });
    limits.min()
}

/// `max`, and what version 1 writes for it, are no limit.
fn limit(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn the_lower_of_machine_and_group_counts() {
        let level = |mib: u64, machine: u64, group: Option<u64>| budget(mib << 20, Some(machine << 20), group.map(|mib| mib << 20)).level;
        assert_eq!(level(512, 4_096, None), Level::Ok);
        assert_eq!(level(512, 4_096, Some(600)), Level::Warning);
        assert_eq!(level(512, 4_096, Some(500)), Level::Problem);
        assert_eq!(level(5_000, 4_096, Some(9_000)), Level::Problem);
    }

    #[test]
    fn limits_of_both_versions_of_groups_are_found_in_all_that_hold_the_process() {
        let root = tempfile::TempDir::new().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        };
        write("system.slice/kv.service/memory.max", "max\n");
        write("system.slice/memory.max", "1000\n");
        assert_eq!(group_limit(root.path(), "0::/system.slice/kv.service\n"), Some(1_000));
        write("memory/box/memory.limit_in_bytes", "500\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(group_limit(root.path(), "4:cpu,memory:/box\n3:cpuset:/box\n0::/\n"), Some(500));
        assert_eq!(group_limit(root.path(), "0::/elsewhere\n"), None);
    }

    #[test]
    fn memory_that_was_moved_out_is_a_warning() {
        assert_eq!(kib("MemTotal:  10 kB\nSwapTotal: 3 kB\n", "SwapTotal:"), Some(3 << 10));
        let level = |used: u64| swap(Some(1 << 30), Some((1 << 30) - used)).expect("known").level;
        assert_eq!((level(0), level(SWAPPED_MAX + 1)), (Level::Ok, Level::Warning));
    }
}

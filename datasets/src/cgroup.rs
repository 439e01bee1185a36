//! The memory that control groups leave to this process, as containers and batch systems set it:
//! Linux's cgroup v2, and v1 beside it.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// How a version of cgroups names what is read here.
struct Version {
    /// What its line of `/proc/self/cgroup` has between the colons.
    controller: &'static str,
    /// Where its groups lie below the file system of cgroups.
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    /// The line of `memory.stat` with what is given up first: pages of files not used of late.
    reclaimable: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        controller: "",
        folder: "",
        limit: "memory.max",
        used: "memory.current",
        reclaimable: "inactive_file",
    },
    Version {
        controller: "memory",
        folder: "memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        reclaimable: "total_inactive_file",
    },
];

/// The bytes that this process may still have by its control groups, if any of them has a limit.
pub(crate) fn available() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    left_by(Path::new("/sys/fs/cgroup"), &groups)
}

/// The least that any of the groups of a process, or of those around them, leaves.
fn left_by(root: &Path, groups: &str) -> Option<u64> {
    let left = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let named = |version: &&Version| controllers.split(',').any(|at| at == version.controller);
        let version = VERSIONS.iter().find(named)?;
        let top = root.join(version.folder);
        // Within a container the path may be one of the machine's, of which only the end is there.
        let inner: PathBuf = Path::new(path)
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        inner.ancestors().filter_map(|group| left_in(&top.join(group), version)).min()
    };
    groups.lines().filter_map(left).min()
}

/// What one group leaves; nothing is known of one without a limit.
fn left_in(group: &Path, version: &Version) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(group.join(name)).ok()?.trim().parse().ok();
    let (limit, used): (u64, u64) = (number(version.limit)?, number(version.used)?);
    let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = statistics.lines().find_map(|line| {
        line.strip_prefix(version.reclaimable)?.strip_prefix(' ')?.trim().parse().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group's files.
    fn group(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_around_a_process_decides() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let statistics = ("memory.stat", "anon 500\nactive_file 7\ninactive_file 100\n");
        group(&at("job/step"), &[("memory.max", "max\n"), ("memory.current", "600\n")]);
        assert_eq!(left_by(root.path(), "0::/job/step\n"), None, "no limit, nothing known");
        group(&at("job"), &[("memory.max", "1000\n"), ("memory.current", "700\n"), statistics]);
        assert_eq!(left_by(root.path(), "0::/job/step\n"), Some(1000 - (700 - 100)));
        assert_eq!(left_by(root.path(), "0::/other\n"), None);
        group(&at("job/step"), &[("memory.max", "500\n")]);
        assert_eq!(left_by(root.path(), "0::/job/step\n"), Some(0), "more is used than allowed");
    }

    #[test]
    fn the_first_version_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("memory.limit_in_bytes", "4096\n"),
            ("memory.usage_in_bytes", "1096\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 96\n"),
        ];
        group(&root.path().join("memory"), &files);
        let groups = "9:name=systemd:/\n4:cpuset,memory:/docker/0f\n0::/\n";
        assert_eq!(left_by(root.path(), groups), Some(3096));
        assert_eq!(left_by(root.path(), "nonsense\n4:memory\n"), None);
    }
}

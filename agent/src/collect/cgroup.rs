//! The memory limit of the container that the agent runs in.

use std::fs;
use std::path::{Path, PathBuf};

/// Memory in use and in total, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used: u64,
    pub(super) total: u64,
}

/// The cgroup that the agent sees as its root: the container's inside a container, and outside of one the
/// machine's, which has no limit.
///
/// A limit on the agent's own unit, further down, says nothing about the service under test and is not read.
/// sysinfo knows these limits too, but counts page cache as used, and a service that loads its model from
/// disk would seem to fill its container.
#[derive(Debug)]
pub(super) struct Container {
    v2: PathBuf,
    v1: PathBuf,
}

impl Default for Container {
    fn default() -> Self {
        Self { v2: "/sys/fs/cgroup".into(), v1: "/sys/fs/cgroup/memory".into() }
    }
}

impl Container {
    /// Memory against the limit; `None` without one.
    ///
    /// In use is what container tools call the working set: everything charged, less the file cache that has
    /// not been touched lately and can be dropped.
    pub(super) fn memory(&self) -> Option<Memory> {
        let v2 = || read(&self.v2, "memory.max", "memory.current", "inactive_file");
        let v1 = || read(&self.v1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
        v2().or_else(v1)
    }
}

fn read(cgroup: &Path, limit: &str, charged: &str, cache: &str) -> Option<Memory> {
    // "max" is no number: no limit.
    let total = number(&cgroup.join(limit))?;
    let charged = number(&cgroup.join(charged))?;
    let stat = fs::read_to_string(cgroup.join("memory.stat")).ok()?;
    let cache: u64 = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok())?;
    Some(Memory { used: charged.saturating_sub(cache), total })
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(files: &[(&str, &str)]) -> (tempfile::TempDir, Container) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("memory")).unwrap();
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        let container = Container { v2: root.to_owned(), v1: root.join("memory") };
        (dir, container)
    }

    #[test]
    fn a_limited_container_counts_against_its_limit_without_idle_cache() {
        let (_dir, container) = container(&[
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 300\nfile 400\ninactive_anon 9\ninactive_file 250\n"),
        ]);
        assert_eq!(container.memory(), Some(Memory { used: 450, total: 1000 }));
    }

    #[test]
    fn the_first_cgroup_version_is_read_too() {
        let (_dir, container) = container(&[
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "700\n"),
            ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ]);
        assert_eq!(container.memory(), Some(Memory { used: 600, total: 1000 }));
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_count_against() {
        let (_dir, unlimited) = container(&[("memory.max", "max\n"), ("memory.current", "700\n")]);
        assert_eq!(unlimited.memory(), None);
        let (_dir, bare) = container(&[]);
        assert_eq!(bare.memory(), None);
    }
}

//! The limits of the container that the agent runs in.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use fluxfleet_proto::reading::{Absence, AbsenceReason, Reading};

use super::system::unreadable;

/// From here on the first version's limit of memory is none: it has the greatest number of pages instead.
const NO_LIMIT: u64 = 1 << 62;

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
    v1_memory: PathBuf,
    v1_cpu: PathBuf,
}

impl Default for Container {
    fn default() -> Self {
        Self::at(Path::new("/sys/fs/cgroup"))
    }
}

impl Container {
    /// One whose files lie in this directory.
    pub(super) fn at(root: &Path) -> Self {
        Self { v2: root.to_owned(), v1_memory: root.join("memory"), v1_cpu: root.join("cpu") }
    }

    /// Processors that it may use.
    pub(super) fn cpu_limit(&self) -> Reading {
        let v2 = limit(&self.v2.join("cpu.max"), quota)?;
        let v1 = || {
            let quota = limit(&self.v1_cpu.join("cpu.cfs_quota_us"), |us| match us {
                "-1" => Some(None),
                us => us.parse::<u64>().ok().map(|us| Some(us as f64)),
            })?;
            let Some(quota) = quota else { return Ok(None) };
            let file = self.v1_cpu.join("cpu.cfs_period_us");
            let period =
                limit(&file, |us| us.parse::<u64>().ok().filter(|us| *us > 0).map(|us| Some(us as f64)))?;
            let period = period.ok_or_else(|| unreadable(&file, &ErrorKind::NotFound.into()))?;
            Ok(Some(quota / period))
        };
        first_of("processors", &self.v2, v2, v1)
    }

    /// Memory that it may use, in bytes.
    pub(super) fn memory_limit(&self) -> Reading {
        let bytes = |text: &str| match text {
            "max" => Some(None),
            text => Some(Some(text.parse::<u64>().ok()?).filter(|bytes| *bytes < NO_LIMIT).map(|n| n as f64)),
        };
        let v2 = limit(&self.v2.join("memory.max"), bytes)?;
        let v1 = || limit(&self.v1_memory.join("memory.limit_in_bytes"), bytes);
        first_of("memory", &self.v2, v2, v1)
    }

    /// Memory against the limit; `None` without one, or with one that is no less than what the machine has.
    ///
    /// In use is what container tools call the working set: everything charged, less the file cache that has
    /// not been touched lately and can be dropped.
    pub(super) fn memory(&self, machine: u64) -> Option<Memory> {
        let v2 = || read(&self.v2, machine, "memory.max", "memory.current", "inactive_file");
        let v1 = || {
            let files = ("memory.limit_in_bytes", "memory.usage_in_bytes");
            read(&self.v1_memory, machine, files.0, files.1, "total_inactive_file")
        };
        v2().or_else(v1)
    }
}

fn read(cgroup: &Path, machine: u64, limit: &str, charged: &str, cache: &str) -> Option<Memory> {
    // "max" is no number: no limit. What is in use is dear to read: the kernel adds it up over all groups.
    let total = number(&cgroup.join(limit)).filter(|total| *total < machine)?;
    let charged = number(&cgroup.join(charged))?;
    let stat = fs::read_to_string(cgroup.join("memory.stat")).ok()?;
    let cache: u64 = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok())?;
    Some(Memory { used: charged.saturating_sub(cache), total })
}

/// `50000 100000`: microseconds of processor time in each period of so many. `max 100000`: no limit.
#[expect(clippy::option_option, reason = "not to be read, no limit, and a limit")]
fn quota(text: &str) -> Option<Option<f64>> {
    let (quota, period) = text.split_once(' ')?;
    if quota == "max" {
        return Some(None);
    }
    let (quota, period) = (quota.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?);
    (period > 0).then(|| Some(quota as f64 / period as f64))
}

/// What a file says, as `parse` reads it. None: it says that there is no limit, or is not there.
fn limit(file: &Path, parse: impl FnOnce(&str) -> Option<Option<f64>>) -> Result<Option<f64>, Absence> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(file, &error)),
    };
    let text = text.trim();
    parse(text).ok_or_else(|| {
        Absence::new(AbsenceReason::Error, format!("{}: `{text}` is no limit", file.display()))
    })
}

fn first_of(
    what: &str,
    root: &Path,
    v2: Option<f64>,
    v1: impl FnOnce() -> Result<Option<f64>, Absence>,
) -> Reading {
    match v2 {
        Some(limit) => Ok(limit),
        None => v1()?.ok_or_else(|| {
            let detail = format!("nothing in {} limits {what}", root.display());
            Absence::new(AbsenceReason::Unsupported, detail)
        }),
    }
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
        fs::create_dir(root.join("cpu")).unwrap();
        for (name, text) in files {
            fs::write(root.join(name), text).unwrap();
        }
        let container = Container::at(root);
        (dir, container)
    }

    #[test]
    fn a_limited_container_counts_against_its_limit_without_idle_cache() {
        let (_dir, container) = container(&[
            ("memory.max", "1000\n"),
            ("memory.current", "700\n"),
            ("memory.stat", "anon 300\nfile 400\ninactive_anon 9\ninactive_file 250\n"),
        ]);
        assert_eq!(container.memory(2000), Some(Memory { used: 450, total: 1000 }));
        assert_eq!(container.memory(1000), None, "no less than the machine has");
    }

    #[test]
    fn the_first_cgroup_version_is_read_too() {
        let (_dir, container) = container(&[
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "700\n"),
            ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
        ]);
        assert_eq!(container.memory(2000), Some(Memory { used: 600, total: 1000 }));
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_count_against() {
        let (_dir, unlimited) = container(&[("memory.max", "max\n"), ("memory.current", "700\n")]);
        assert_eq!(unlimited.memory(2000), None);
        let (_dir, bare) = container(&[]);
        assert_eq!(bare.memory(2000), None);
    }

    #[test]
    fn limits_are_read_of_both_versions() {
        let (_dir, v2) = container(&[("cpu.max", "150000 100000\n"), ("memory.max", "1073741824\n")]);
        assert_eq!((v2.cpu_limit(), v2.memory_limit()), (Ok(1.5), Ok(1_073_741_824.0)));
        let (_dir, v1) = container(&[
            ("cpu/cpu.cfs_quota_us", "50000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("memory/memory.limit_in_bytes", "1073741824\n"),
        ]);
        assert_eq!((v1.cpu_limit(), v1.memory_limit()), (Ok(0.5), Ok(1_073_741_824.0)));
    }

    #[test]
    fn where_nothing_limits_the_limits_are_unsupported() {
        for files in [
            &[][..],
            &[("cpu.max", "max 100000\n"), ("memory.max", "max\n")],
            &[("cpu/cpu.cfs_quota_us", "-1\n"), ("memory/memory.limit_in_bytes", "9223372036854771712\n")],
        ] {
            let (_dir, container) = container(files);
            for absence in [container.cpu_limit().unwrap_err(), container.memory_limit().unwrap_err()] {
                assert_eq!(absence.reason, AbsenceReason::Unsupported, "{absence}");
                assert!(absence.detail.starts_with("nothing in /"), "{absence}");
            }
        }
    }

    #[test]
    fn a_quota_without_its_period_is_no_limit() {
        let (_dir, container) = container(&[("cpu/cpu.cfs_quota_us", "50000")]);
        let absence = container.cpu_limit().unwrap_err();
        assert!(absence.detail.contains("cpu.cfs_period_us"), "{absence}");
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_an_error_with_its_file() {
        for (file, text) in [
            ("cpu.max", ""),
            ("cpu.max", "100000"),
            ("cpu.max", "100000 0"),
            ("cpu.max", "x 100000"),
            ("cpu/cpu.cfs_quota_us", "-2"),
        ] {
            let (_dir, container) = container(&[(file, text)]);
            let absence = container.cpu_limit().unwrap_err();
            assert_eq!(absence.reason, AbsenceReason::Error, "{file} with `{text}`: {absence}");
            assert!(absence.detail.contains(file), "{absence}");
        }
        for (file, text) in
            [("memory.max", ""), ("memory.max", "-1"), ("memory/memory.limit_in_bytes", "1 GB")]
        {
            let (_dir, container) = container(&[(file, text)]);
            let absence = container.memory_limit().unwrap_err();
            assert_eq!(absence.reason, AbsenceReason::Error, "{file} with `{text}`: {absence}");
        }
    }
}

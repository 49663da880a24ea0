//! What the operating system says of this process and its machine, for the generator's account of itself.
//!
//! Everything comes from `/proc`; where there is none, nothing is known, and unknown is `None`.

use std::time::Duration;

use rlimit::Resource;
use rustix::time::{ClockId, clock_gettime};

/// Processor time that the calling thread has used.
pub(crate) fn thread_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}

/// How far what only counts and reports stays behind the load, in steps of `nice`: it must not take the processor from a
/// load thread on the same core.
pub(crate) const BEHIND_OTHERS: i32 = 10;

/// Puts the calling thread before others (negative) or behind them, in steps of `nice`. Only a privileged process may
/// put a thread before others; where that is refused the thread stays where it is.
pub(crate) fn prefer(steps: i32) {
    // Linux takes the calling thread where POSIX would take its process. A refusal costs punctuality on a machine
    // that has other work, and then the lateness in the report says so.
    let _ = rustix::process::setpriority_process(None, steps);
}

/// How far the calling thread is behind others (positive) or before them, in steps of `nice`.
pub(crate) fn preference() -> Option<i32> {
    rustix::process::getpriority_process(None).ok()
}

/// Files this process has open.
pub(crate) fn open_files() -> Option<u64> {
    match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => Some(entries.count() as u64),
        // EMFILE: there is none left to look with.
        Err(e) if e.raw_os_error() == Some(24) => open_files_limit(),
        Err(_) => None,
    }
}

/// Files it may have open.
pub(crate) fn open_files_limit() -> Option<u64> {
    Resource::NOFILE.get_soft().ok()
}

/// Ports that the system gives to outgoing connections.
pub(crate) fn ports_limit() -> Option<u64> {
    range(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?)
}

/// Resident memory of this process in bytes.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
}

fn range(text: &str) -> Option<u64> {
    let mut ends = text.split_whitespace().map(str::parse::<u64>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    (last + 1).checked_sub(first)
}

/// How busy each core of the machine was between two looks.
#[derive(Debug, Default)]
pub(crate) struct Cores {
    last: Vec<Ticks>,
}

/// A core's time since the machine started, in the system's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Cores {
    /// Shares of the time since the last look, 0 to 1; empty at the first one, and where the system does not tell.
    pub(crate) fn busy(&mut self) -> Vec<f64> {
        let now = std::fs::read_to_string("/proc/stat").map(|stat| ticks(&stat)).unwrap_or_default();
        let last = std::mem::replace(&mut self.last, now);
        self.last.iter().zip(last).filter_map(|(now, last)| now.busy_since(last)).collect()
    }
}

impl Ticks {
    fn busy_since(self, last: Self) -> Option<f64> {
        let all = self.all.checked_sub(last.all).filter(|all| *all > 0)?;
        let idle = self.idle.saturating_sub(last.idle).min(all);
        Some((all - idle) as f64 / all as f64)
    }
}

/// One for each `cpuN` line: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)); guest time is part of
/// user time.
fn ticks(stat: &str) -> Vec<Ticks> {
    let core = |line: &str| {
        let (name, times) = line.split_once(' ')?;
        name.strip_prefix("cpu").filter(|n| !n.is_empty())?;
        let times: Vec<u64> = times.split_whitespace().take(8).map_while(|t| t.parse().ok()).collect();
        let (idle, waiting) = (times.get(3)?, times.get(4).copied().unwrap_or(0));
        Some(Ticks { all: times.iter().sum(), idle: idle + waiting })
    };
    stat.lines().filter_map(core).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cores_share_is_what_was_not_idle_between_two_looks() {
        let before = "cpu  9 9 9 9\ncpu0 100 0 50 800 50 0 0 0 7 7\ncpu1 1 1 1 1 1 1 1 1\nintr 5\n";
        let after = "cpu  9 9 9 9\ncpu0 130 0 60 840 70 0 0 0 9 9\ncpu1 1 1 1 1 1 1 1 1\n";
        let shares: Vec<_> =
            ticks(after).into_iter().zip(ticks(before)).map(|(now, last)| now.busy_since(last)).collect();
        assert_eq!(shares, [Some(0.4), None]);
        assert!(ticks("nonsense").is_empty());
    }

    #[test]
    fn a_range_of_ports_includes_both_its_ends() {
        assert_eq!(range("32768\t60999\n"), Some(28_232));
        assert_eq!(range("5 3"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let before = thread_time();
        assert!(open_files() > Some(2) && open_files_limit() > Some(2) && resident_bytes() > Some(100_000));
        assert!(ports_limit() > Some(0));
        assert!(thread_time() >= before);
    }
}

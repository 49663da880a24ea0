//! What it was measured on.

use std::fs::read_to_string;
use std::process::Command;

use fluxfleet_proto::clock::Clock;
use serde::Serialize;

/// A machine, as far as it tells.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that this program may use.
    pub cores: usize,
    /// Memory in GiB, rounded.
    pub memory_gib: u64,
    /// Kernel and architecture.
    pub kernel: String,
    /// What can be seen of a hypervisor.
    pub virtualisation: String,
    /// Load averages of 1, 5 and 15 minutes before the first turn: what else the machine did.
    pub load: String,
    /// The day, in UTC.
    pub date: String,
    /// The commit measured, if this is a checkout.
    pub commit: Option<String>,
}

impl Machine {
    /// Looks at this machine.
    pub fn look() -> Self {
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
        let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let hypervisor = ["/sys/hypervisor/type", "/sys/class/dmi/id/sys_vendor"]
            .into_iter()
            .find_map(|file| read_to_string(file).ok())
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        Self {
            processor: colon(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: gib(&meminfo),
            kernel: format!("{} {}, {}", std::env::consts::OS, release.trim(), std::env::consts::ARCH),
            virtualisation: virtualisation(&cpuinfo, hypervisor),
            load: load(&read_to_string("/proc/loadavg").unwrap_or_default()),
            date: today(),
            commit: commit(),
        }
    }
}

fn colon<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(n, _)| n.trim() == name)
        .map(|(_, v)| v.trim())
}

fn gib(meminfo: &str) -> u64 {
    let kb = colon(meminfo, "MemTotal").and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
    kb.map_or(0, |kb| (kb + (1 << 19)) >> 20)
}

fn load(loadavg: &str) -> String {
    let three: Vec<_> = loadavg.split_whitespace().take(3).collect();
    if three.is_empty() { "unknown".to_owned() } else { three.join(", ") }
}

fn virtualisation(cpuinfo: &str, named: Option<String>) -> String {
    let flagged =
        colon(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor"));
    match (flagged, named) {
        (true, Some(name)) => format!("a virtual machine ({name})"),
        (true, None) => "a virtual machine (the processor's flags say so, nothing says which)".to_owned(),
        (false, _) => "none that can be seen".to_owned(),
    }
}

fn today() -> String {
    let seconds = i64::try_from(Clock::wall().as_secs()).unwrap_or(0);
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "unknown".to_owned(),
        |now| now.to_string().split('T').next().unwrap_or_default().to_owned(),
    )
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}, with changes") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_files() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: fpu hypervisor\n";
        assert_eq!(colon(cpuinfo, "model name"), Some("Some CPU @ 3 GHz"));
        assert_eq!(virtualisation(cpuinfo, Some("xen".to_owned())), "a virtual machine (xen)");
        assert_eq!(virtualisation("flags : fpu\n", None), "none that can be seen");
        assert_eq!(load("0.06 0.76 1.06 1/81 7915\n"), "0.06, 0.76, 1.06");
        assert_eq!(gib("MemTotal:       24653632 kB\n"), 24);
    }

    #[test]
    fn a_day_has_three_parts() {
        assert_eq!(today().split('-').count(), 3);
    }
}

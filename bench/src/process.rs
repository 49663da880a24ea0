//! What the operating system says of this process.

use std::time::Duration;

use anyhow::Context;

/// Resident memory in kB, from `/proc`.
///
/// # Errors
/// On systems without it.
pub fn resident_kb() -> anyhow::Result<u64> {
    resident_kb_of(std::process::id())
}

/// Resident memory of another process in kB, from `/proc/PID/status`.
///
/// # Errors
/// When it is gone, or on systems without that file.
pub fn resident_kb_of(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    field(&status, "VmRSS:").with_context(|| format!("{path} has no VmRSS"))
}

/// Files that this process may hold open, from `/proc/self/limits`; `None` where there is no limit.
///
/// # Errors
/// On systems without it.
pub fn open_files_limit() -> anyhow::Result<Option<u64>> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("cannot read /proc/self/limits")?;
    Ok(field(&limits, "Max open files"))
}

/// Processor time that all threads of this process have used, from `/proc/self/stat`; in steps of 10 ms.
///
/// # Errors
/// On systems without it.
pub fn cpu_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    ticks(&stat).map(|t| Duration::from_millis(t * 10)).context("/proc/self/stat has no utime and stime")
}

/// `utime` plus `stime`, fields 14 and 15 of proc(5), in the ticks of 1/100 s that Linux shows to programs.
fn ticks(stat: &str) -> Option<u64> {
    // The name, field 2, may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0"), Some(42));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn fields_are_read_by_name() {
        assert_eq!(field("VmHWM:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(field("Max open files            1024   4096  files\n", "Max open files"), Some(1024));
        assert_eq!(field("Max open files            unlimited\n", "Max open files"), None);
    }
}

//! What the operating system says of this process and its children.

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

/// Processor time that all threads of this process have used, in steps of 10 ms.
///
/// # Errors
/// On systems without `/proc`.
pub fn cpu_time() -> anyhow::Result<Duration> {
    cpu_time_of(std::process::id())
}

/// Processor time that all threads of another process have used, from `/proc/PID/stat`; in steps of 10 ms.
///
/// # Errors
/// When it is gone, or on systems without that file.
pub fn cpu_time_of(process: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    ticks(&stat, OWN).with_context(|| format!("{path} has no utime and stime"))
}

/// Processor time of all children of this process that have been waited for, in steps of 10 ms.
///
/// # Errors
/// On systems without `/proc`.
pub fn cpu_time_of_children() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    ticks(&stat, CHILDREN).context("/proc/self/stat has no cutime and cstime")
}

/// Makes room for so many open files in this process and its children, as far as the system lets it.
///
/// # Errors
/// When it does not let it.
pub fn make_room_for_files(needed: u64) -> anyhow::Result<()> {
    let (soft, hard) = rlimit::Resource::NOFILE.get().context("cannot ask for the limit on open files")?;
    if soft >= needed {
        return Ok(());
    }
    rlimit::Resource::NOFILE.set(needed, hard.max(needed)).with_context(|| {
        format!("{needed} open files are needed and the limit is {soft} (at most {hard}); raise it with `ulimit -n`")
    })
}

/// `utime` and `stime` of proc(5), counted from the field behind the name.
const OWN: usize = 11;
/// `cutime` and `cstime`, likewise.
const CHILDREN: usize = 13;

/// The sum of two fields in the ticks of 1/100 s that Linux shows to programs.
fn ticks(stat: &str, first: usize) -> Option<Duration> {
    // The name, field 2, may hold anything, parentheses too.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(first);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 5 6 20 0";
        assert_eq!(ticks(stat, OWN), Some(Duration::from_millis(420)));
        assert_eq!(ticks(stat, CHILDREN), Some(Duration::from_millis(110)));
        assert_eq!(ticks("nonsense", OWN), None);
    }

    #[test]
    fn fields_are_read_by_name() {
        assert_eq!(field("VmHWM:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
        assert_eq!(field("VmHWM:\t 9 kB\n", "VmRSS:"), None);
    }
}

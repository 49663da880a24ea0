//! Processors and memory.

use std::path::Path;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Reading, Readings};
use sysinfo::{MINIMUM_CPU_UPDATE_INTERVAL, MemoryRefreshKind};

use super::files::unreadable;
use crate::collect::cgroup::{Container, Memory};

/// Share of time in which each core was busy.
type Cores = Reading<Vec<f64>>;

/// Reads CPU and memory.
///
/// - CPU: the busy share of all cores since the previous CPU reading. Two readings that are closer together
///   than 200 ms share too few ticks to tell, so a sample in between has none.
/// - Memory: of the container that the agent sees as its root, where that is limited to less than the machine
///   has; else of the machine. In use is what could not be freed for something else: without page cache.
#[derive(Debug)]
pub(super) struct Machine {
    source: Result<sysinfo::System, Absence>,
    cpu: Option<CpuRead>,
}

/// The last time that CPU usage was read.
#[derive(Clone, Copy, Debug)]
struct CpuRead {
    ended: Mono,
    ticks: u64,
}

impl Machine {
    pub(super) fn new() -> Self {
        let source = sysinfo::System::new()
            .map_err(|error| Absence::new(AbsenceReason::Unsupported, format!("system metrics: {error}")));
        Self { source, cpu: None }
    }

    /// Processors and memory into the readings, and the busy share of each core.
    pub(super) fn read(&mut self, container: &Container, into: &mut Readings<HostMetric>) -> Cores {
        let source = match &mut self.source {
            Ok(source) => source,
            Err(absence) => {
                for metric in
                    [HostMetric::CpuPercent, HostMetric::MemoryUsedBytes, HostMetric::MemoryTotalBytes]
                {
                    into.set(metric, Err(absence.clone()));
                }
                return Err(absence.clone());
            }
        };
        let cpu_percent = cpu_percent(source, &mut self.cpu);
        let memory = memory(source, container);
        let bytes = |of: fn(&Memory) -> u64| memory.as_ref().map(|m| of(m) as f64).map_err(Clone::clone);
        into.set(HostMetric::CpuPercent, cpu_percent.clone());
        into.set(HostMetric::MemoryUsedBytes, bytes(|memory| memory.used));
        into.set(HostMetric::MemoryTotalBytes, bytes(|memory| memory.total));
        cpu_percent
            .map(|_| source.cpus().iter().map(|core| f64::from(core.usage()).clamp(0.0, 100.0)).collect())
    }
}

fn cpu_percent(source: &mut sysinfo::System, last: &mut Option<CpuRead>) -> Reading {
    let now = Clock::now();
    if let Some(last) = last
        && now.since(last.ended) < MINIMUM_CPU_UPDATE_INTERVAL
    {
        return Err(too_soon(now.since(last.ended)));
    }
    let ticks = cpu_ticks()?;
    source.refresh_cpu_usage();
    // Stamped after the refresh, so that the refresh itself sees at least as long an interval as we do.
    let previous = last.replace(CpuRead { ended: Clock::now(), ticks });
    match previous {
        None => Err(Absence::new(AbsenceReason::NotYet, "CPU usage needs two readings")),
        Some(previous) if previous.ticks == ticks => {
            Err(Absence::new(AbsenceReason::Error, "the system's CPU counters stand still"))
        }
        Some(_) => Ok(f64::from(source.global_cpu_usage()).clamp(0.0, 100.0)),
    }
}

fn too_soon(since: Duration) -> Absence {
    Absence::new(
        AbsenceReason::NotYet,
        format!(
            "CPU usage is read each {} ms at most, and this is {} ms after the last",
            MINIMUM_CPU_UPDATE_INTERVAL.as_millis(),
            since.as_millis()
        ),
    )
}

fn memory(source: &mut sysinfo::System, container: &Container) -> Result<Memory, Absence> {
    readable("/proc/meminfo")?;
    source.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = Memory { used: source.used_memory(), total: source.total_memory() };
    if machine.total == 0 {
        return Err(Absence::new(AbsenceReason::Error, "the system does not tell its memory"));
    }
    Ok(container.memory(machine.total).unwrap_or(machine))
}

/// Sum of the CPU's tick counters. sysinfo keeps its old figures without a word when they cannot be read,
/// as when the process has no file descriptors left, and some sandboxes show counters that never move; neither
/// may pass as a measured figure.
#[cfg(target_os = "linux")]
fn cpu_ticks() -> Result<u64, Absence> {
    let text =
        std::fs::read_to_string("/proc/stat").map_err(|error| unreadable(Path::new("/proc/stat"), &error))?;
    let all_cores = text.lines().find_map(|line| line.strip_prefix("cpu "));
    all_cores
        .map(|counters| counters.split_whitespace().filter_map(|n| n.parse::<u64>().ok()).sum())
        .ok_or_else(|| Absence::new(AbsenceReason::Error, "/proc/stat has no line for all cores"))
}

#[cfg(not(target_os = "linux"))]
fn cpu_ticks() -> Result<u64, Absence> {
    // No such counters to check: take it that they move.
    Ok(u64::try_from(Clock::now().as_nanos()).unwrap_or_default())
}

fn readable(path: &str) -> Result<(), Absence> {
    if cfg!(target_os = "linux") {
        std::fs::File::open(path).map(drop).map_err(|error| unreadable(Path::new(path), &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(machine: &mut Machine) -> Readings<HostMetric> {
        let mut readings = Readings::default();
        let cores = machine.read(&Container::default(), &mut readings);
        assert_eq!(cores.is_ok(), readings.value(HostMetric::CpuPercent).is_ok());
        readings
    }

    #[test]
    fn the_first_cpu_reading_is_not_yet_and_one_too_soon_after_it_is_not_sent_as_new() {
        let mut machine = Machine::new();
        let first = read(&mut machine).value(HostMetric::CpuPercent).unwrap_err();
        assert_eq!(first.reason, AbsenceReason::NotYet);
        assert!(first.detail.contains("two readings"), "{first}");
        // However slow the machine is, the last reading is put so that the next one is too soon after it.
        if let Some(last) = &mut machine.cpu {
            last.ended = Clock::now() + Duration::from_mins(1);
        }
        let soon = read(&mut machine).value(HostMetric::CpuPercent).unwrap_err();
        assert_eq!(soon.reason, AbsenceReason::NotYet);
        assert!(soon.detail.contains("200 ms at most"), "{soon}");
    }

    #[test]
    fn counters_that_stand_still_are_no_idle_cpu() {
        let mut source = sysinfo::System::new().unwrap();
        let ticks = cpu_ticks().unwrap();
        let mut last = Some(CpuRead { ended: Clock::now() - Duration::from_mins(1), ticks });
        // Ticks may move between the two lines; only a reading that saw none move may say so.
        let reading = cpu_percent(&mut source, &mut last);
        if last.is_some_and(|now| now.ticks == ticks) {
            assert_eq!(reading.unwrap_err().detail, "the system's CPU counters stand still");
        } else {
            assert!((0.0..=100.0).contains(&reading.unwrap()));
        }
    }

    #[test]
    fn memory_in_use_is_within_the_total() {
        let reading = read(&mut Machine::new());
        let used = reading.value(HostMetric::MemoryUsedBytes).unwrap();
        let total = reading.value(HostMetric::MemoryTotalBytes).unwrap();
        assert!(used > 0.0 && used <= total, "{used} of {total}");
    }
}

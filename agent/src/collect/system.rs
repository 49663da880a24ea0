//! Readings of the host itself.
//!
//! | module | reads |
//! |---|---|
//! | `machine` | busy share of the processors, memory in use |
//! | `load` | load average |
//! | `network`, `disk` | bytes a second over interfaces and disks |
//! | `pressure` | how long tasks waited for processor, memory and disks |
//! | `process` | processor time and memory of the watched processes |
//! | `files`, `growth` | what they share: files that may not be readable, rates out of counters |
//!
//! All but `process` are cheap and of the normal lane. They are Linux's files; elsewhere there are none, and what
//! stands in them is absent as unsupported.

mod disk;
mod files;
mod growth;
mod load;
mod machine;
mod network;
mod pressure;
mod process;

use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Absence, Reading, Readings, SystemReading};

use super::cgroup::Container;
use disk::Disks;
use files::Proc;
pub(super) use files::unreadable;
use machine::Machine;
use network::Network;
use pressure::Pressure;
pub(super) use process::{Processes, all_absent as processes_absent};

/// What is read of a host in the normal lane.
const METRICS: &[HostMetric] = &[
    HostMetric::CpuPercent,
    HostMetric::MemoryUsedBytes,
    HostMetric::MemoryTotalBytes,
    HostMetric::Load1,
    HostMetric::NetworkReceivedBytesPerS,
    HostMetric::NetworkSentBytesPerS,
    HostMetric::DiskReadBytesPerS,
    HostMetric::DiskWrittenBytesPerS,
    HostMetric::CpuPressurePercent,
    HostMetric::MemoryPressurePercent,
    HostMetric::IoPressurePercent,
    HostMetric::CpuLimitCores,
    HostMetric::MemoryLimitBytes,
];

/// A host of which nothing can be read.
pub(super) fn all_absent(absence: &Absence) -> SystemReading {
    let values = METRICS.iter().map(|metric| (*metric, Err(absence.clone()))).collect();
    SystemReading { values, core_percent: Some(Err(absence.clone())) }
}

/// Reads what is cheap to read.
#[derive(Debug)]
pub(super) struct System {
    proc: Proc,
    machine: Machine,
    container: Container,
    network: Network,
    disks: Disks,
    pressure: Pressure,
    limits: Option<Limits>,
}

/// For how long the container's limits count: they change when someone changes them, and cost as much to read as all the
/// rest.
const LIMITS_FOR: Duration = Duration::from_secs(1);

/// What the container may use, as it was then.
#[derive(Clone, Debug)]
struct Limits {
    read: Mono,
    cpu: Reading,
    memory: Reading,
}

impl System {
    pub(super) fn new() -> Self {
        Self {
            proc: Proc::default(),
            machine: Machine::new(),
            container: Container::default(),
            network: Network::default(),
            disks: Disks::default(),
            pressure: Pressure::default(),
            limits: None,
        }
    }

    pub(super) fn read(&mut self) -> SystemReading {
        let Self { proc, machine, container, network, disks, pressure, limits } = self;
        let mut values = Readings::default();
        let core_percent = machine.read(container, &mut values);
        values.set(HostMetric::Load1, load::over_a_minute(proc));
        network.read(proc, Clock::now(), &mut values);
        disks.read(proc, Clock::now(), &mut values);
        pressure.read(proc, Clock::now, &mut values);
        let now = Clock::now();
        let limits = match limits {
            Some(known) if now.since(known.read) < LIMITS_FOR => known,
            old => {
                old.insert(Limits { read: now, cpu: container.cpu_limit(), memory: container.memory_limit() })
            }
        };
        values.set(HostMetric::CpuLimitCores, limits.cpu.clone());
        values.set(HostMetric::MemoryLimitBytes, limits.memory.clone());
        SystemReading { values, core_percent: Some(core_percent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::reading::AbsenceReason;

    #[test]
    fn a_host_that_does_not_answer_is_absent_in_everything_that_would_be_read() {
        let read = System::new().read();
        let absent = all_absent(&Absence::new(AbsenceReason::Stale, "late"));
        let metrics =
            |reading: &SystemReading| reading.values.iter().map(|(metric, _)| metric).collect::<Vec<_>>();
        assert_eq!(metrics(&read), metrics(&absent));
        assert_eq!(metrics(&read), METRICS);
        assert!(absent.values.iter().all(|(_, reading)| reading.is_err()));
    }

    #[test]
    fn a_machine_without_these_files_has_unsupported_readings_and_no_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let mut system =
            System { proc: Proc::at(dir.path()), container: Container::at(dir.path()), ..System::new() };
        let reading = system.read();
        for metric in &METRICS[3..] {
            let absence = reading.values.value(*metric).expect_err(metric.name());
            assert_eq!(absence.reason, AbsenceReason::Unsupported, "{}: {absence}", metric.name());
            assert!(absence.detail.contains(&dir.path().display().to_string()), "{absence}");
        }
    }
}

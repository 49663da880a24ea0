//! A look at a host as text: a line for each field.

use std::fmt;

use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{Absence, AbsenceReason, Device, GpuProcess, GpuReading, Reading};

use super::Probe;
use crate::units::Unit;

/// Columns of the names; the longest is `network_received_bytes_per_s`.
const NAME: usize = 30;
/// Columns of the values.
const VALUE: usize = 14;
/// Columns of the reasons; the longest is `unsupported`.
const REASON: usize = 13;

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, system, gpus } = self;
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            f,
            "fluxfleet-agent {version} on host {}",
            if host.is_empty() { "(no name)" } else { host }
        )?;
        writeln!(f, "\nHost")?;
        for metric in HostMetric::ALL {
            field(f, metric.name(), &number(metric.name(), &system.values.value(*metric)))?;
        }
        if let Some(cores) = &system.core_percent {
            field(f, "core_percent", &cores.as_ref().map(|cores| busiest(cores)).map_err(Clone::clone))?;
        }
        match gpus {
            Ok(gpus) if gpus.is_empty() => writeln!(f, "\nGPUs\n  none: the driver shows no GPU"),
            Ok(gpus) => gpus.iter().try_for_each(|(device, reading)| gpu(f, device, reading)),
            Err(absence) => no_gpus(f, absence),
        }
    }
}

fn gpu(f: &mut fmt::Formatter<'_>, device: &Device, reading: &GpuReading) -> fmt::Result {
    let Device { uuid, name, index, pci_bus, architecture, parent } = device;
    write!(f, "\nGPU {index}  {}  {uuid}", one_line(name))?;
    let mut told = [pci_bus, architecture].into_iter().filter(|text| !text.is_empty());
    told.try_for_each(|text| write!(f, "  {text}"))?;
    if let Some(parent) = parent {
        write!(f, "  instance of {parent}")?;
    }
    writeln!(f)?;
    for metric in GpuMetric::ALL {
        field(f, metric.name(), &number(metric.name(), &reading.values.value(*metric)))?;
    }
    if let Some(throttle) = &reading.throttle {
        let words = |reasons: &Vec<String>| {
            if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
        };
        field(f, "throttle", &throttle.as_ref().map(words).map_err(Clone::clone))?;
    }
    match &reading.processes {
        Some(Ok(processes)) => processes.iter().try_for_each(|p| field(f, "process", &Ok(process(p)))),
        Some(Err(absence)) => field(f, "process", &Err(absence.clone())),
        None => Ok(()),
    }
}

/// GPUs that cannot be seen: why, what to do, and what is not told for it.
fn no_gpus(f: &mut fmt::Formatter<'_>, absence: &Absence) -> fmt::Result {
    writeln!(f, "\nGPUs")?;
    writeln!(f, "  none can be read   {}", one_line(&absence.to_string()))?;
    writeln!(f, "  what to do         {}", what_to_do(absence.reason))?;
    let short = Absence::new(absence.reason, "");
    GpuMetric::ALL.iter().try_for_each(|metric| field(f, metric.name(), &Err(short.clone())))
}

fn what_to_do(reason: AbsenceReason) -> &'static str {
    match reason {
        AbsenceReason::Unsupported => {
            "on a GPU host install the NVIDIA driver or give --nvml-lib PATH; start a container with the host's GPUs"
        }
        AbsenceReason::Denied => "run the agent as a user that may open /dev/nvidiactl",
        AbsenceReason::Lost => {
            "load the driver (modprobe nvidia); after an update of it, load it anew or reboot"
        }
        AbsenceReason::Stale => "the driver hangs: see nvidia-smi, and dmesg for Xid errors",
        AbsenceReason::Error | AbsenceReason::NotYet => "see what nvidia-smi says on this host",
    }
}

fn number(name: &str, reading: &Reading) -> Reading<String> {
    reading.as_ref().map(|value| Unit::split(name).1.show(*value)).map_err(Clone::clone)
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, value: &Reading<String>) -> fmt::Result {
    let line = match value {
        Ok(value) => format!("  {name:<NAME$}{value}"),
        Err(Absence { reason, detail }) => {
            let (absent, reason) = ("absent", reason.to_string());
            format!("  {name:<NAME$}{absent:<VALUE$}{reason:<REASON$}{}", one_line(detail))
        }
    };
    writeln!(f, "{}", line.trim_end())
}

fn process(process: &GpuProcess) -> String {
    let GpuProcess { pid, name, memory_bytes, utilization_percent } = process;
    let name = if name.is_empty() { "(unknown)" } else { name };
    let part = |unit: Unit, reading: &Reading| match reading {
        Ok(value) => unit.show(*value),
        Err(absence) => format!("absent ({})", absence.reason),
    };
    let memory = part(Unit::Bytes, memory_bytes);
    let share = part(Unit::Percent, utilization_percent);
    format!("{pid} {}, memory {memory}, utilization {share}", one_line(name))
}

fn busiest(cores: &[f64]) -> String {
    let most = cores.iter().copied().fold(0.0, f64::max);
    format!("{} cores, the busiest {}", cores.len(), Unit::Percent.show(most))
}

/// What a driver says may be anything; here it is one line.
fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{device, reading};
    use fluxfleet_proto::reading::{Readings, SystemReading};

    fn probe(gpus: Result<Vec<(Device, GpuReading)>, Absence>) -> String {
        let values = Readings::default()
            .with(HostMetric::CpuPercent, Ok(12.34))
            .with(HostMetric::MemoryTotalBytes, Err(Absence::new(AbsenceReason::Denied, "no\naccess")));
        let system = SystemReading { values, core_percent: Some(Ok(vec![3.0, 40.0])) };
        Probe { host: "gpu-1".to_owned(), system, gpus }.to_string()
    }

    #[test]
    fn each_field_is_a_line_with_its_value_or_the_reason_for_none() {
        let mut reading = reading("GPU-a");
        reading.values.set(GpuMetric::NvlinksUp, Err(Absence::new(AbsenceReason::Unsupported, "not here")));
        reading.values.set(GpuMetric::UtilizationPercent, Ok(0.0));
        reading.processes = Some(Ok(vec![GpuProcess {
            pid: 7,
            name: "python".to_owned(),
            memory_bytes: Ok(1024.0),
            utilization_percent: Err(Absence::new(AbsenceReason::NotYet, "")),
        }]));
        let text = probe(Ok(vec![(device("GPU-a"), reading)]));
        let lines: Vec<&str> = text.lines().collect();
        for line in [
            "  cpu_percent                   12.3 %",
            "  memory_total_bytes            absent        denied       no access",
            "  core_percent                  2 cores, the busiest 40 %",
            "GPU 0  Scripted GPU  GPU-a",
            "  utilization_percent           0 %",
            "  power_w                       250.5 W",
            "  nvlinks_up                    absent        unsupported  not here",
            "  throttle                      sw_power_cap",
            "  process                       7 python, memory 1 KiB, utilization absent (not_yet)",
        ] {
            assert!(lines.contains(&line), "{line:?} is not in\n{text}");
        }
        let metrics = GpuMetric::ALL.iter().map(|m| m.name()).chain(HostMetric::ALL.iter().map(|m| m.name()));
        for name in metrics {
            assert!(lines.iter().any(|line| line.trim_start().starts_with(name)), "{name} is not in\n{text}");
        }
    }

    #[test]
    fn gpus_that_cannot_be_seen_say_why_and_what_to_do() {
        let text = probe(Err(Absence::new(AbsenceReason::Unsupported, "no NVML library found")));
        assert!(text.contains("none can be read   unsupported: no NVML library found\n"), "{text}");
        assert!(text.contains("what to do         on a GPU host install the NVIDIA driver"), "{text}");
        assert!(text.contains("  power_w                       absent        unsupported\n"), "{text}");
    }

    #[test]
    fn a_host_without_gpus_is_not_one_whose_gpus_cannot_be_seen() {
        let text = probe(Ok(Vec::new()));
        assert!(text.ends_with("GPUs\n  none: the driver shows no GPU\n"), "{text}");
    }
}

//! The host's own counters under node_exporter's names, read when they are asked for. What cannot be read is left out.

use std::fs;
use std::path::Path;

use super::text::{Kind, Text};

/// Columns of a line of `/proc/stat`, as proc(5) has them. Time of guests is within `user` and `nice`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];

/// Writes what the folder, `/proc`, tells.
pub(super) fn write(text: &mut Text, proc: &Path) {
    if let Ok(load) = fs::read_to_string(proc.join("loadavg"))
        && let Some(load) = load.split_whitespace().next().and_then(|load| load.parse().ok())
    {
        text.family("node_load1", Kind::Gauge, "1m load average.").sample(&[], load);
    }
    if let Ok(memory) = fs::read_to_string(proc.join("meminfo")) {
        for (name, field) in
            [("node_memory_MemTotal_bytes", "MemTotal"), ("node_memory_MemAvailable_bytes", "MemAvailable")]
        {
            let help = format!("Memory information field {field}_bytes.");
            if let Some(bytes) = meminfo(&memory, field) {
                text.family(name, Kind::Gauge, &help).sample(&[], bytes);
            }
        }
    }
    if let Ok(stat) = fs::read_to_string(proc.join("stat")) {
        cpu(text, &stat, rustix::param::clock_ticks_per_second() as f64);
    }
}

fn meminfo(text: &str, field: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// Some sandboxes show counters that are all zero: those count nothing.
fn cpu(text: &mut Text, stat: &str, ticks_per_second: f64) {
    let core = |line: &str| -> Option<(String, Vec<f64>)> {
        let mut words = line.split_whitespace();
        let core = words.next()?.strip_prefix("cpu").filter(|core| !core.is_empty())?.to_owned();
        let ticks = words.take(MODES.len()).map(|ticks| ticks.parse().ok());
        Some((core, ticks.collect::<Option<Vec<f64>>>()?))
    };
    let cores: Vec<(String, Vec<f64>)> = stat.lines().filter_map(core).collect();
    if cores.iter().all(|(_, ticks)| ticks.iter().sum::<f64>() == 0.0) {
        return;
    }
    let help = "Seconds the CPUs spent in each mode.";
    let mut family = text.family("node_cpu_seconds_total", Kind::Counter, help);
    for (core, ticks) in &cores {
        for (mode, ticks) in MODES.iter().zip(ticks) {
            family.sample(&[("cpu", core), ("mode", mode)], ticks / ticks_per_second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_counters_are_told_as_they_are() {
        let proc = tempfile::tempdir().unwrap();
        fs::write(proc.path().join("loadavg"), "0.52 0.58 0.59 1/467 1234\n").unwrap();
        fs::write(proc.path().join("meminfo"), "MemTotal:  16 kB\nMemFree: 1 kB\nMemAvailable:  8 kB\n")
            .unwrap();
        let mut text = Text::default();
        write(&mut text, proc.path());
        cpu(&mut text, "cpu  9 9 9 9\ncpu0 100 0 50 250 1 2 3 4 5 6\nintr 1\n", 100.0);
        let text = text.into_string();
        for line in [
            "node_load1 0.52",
            "node_memory_MemTotal_bytes 16384",
            "node_memory_MemAvailable_bytes 8192",
            "# TYPE node_cpu_seconds_total counter",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 1",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 2.5",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 0.04",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("node_cpu_seconds_total{").count(), 8, "all cores together are no core");
    }

    #[test]
    fn what_the_system_does_not_tell_is_left_out() {
        let proc = tempfile::tempdir().unwrap();
        fs::write(proc.path().join("meminfo"), "MemTotal: 16 kB\n").unwrap();
        fs::write(proc.path().join("stat"), "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n").unwrap();
        let mut text = Text::default();
        write(&mut text, proc.path());
        let text = text.into_string();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["node_memory_MemTotal_bytes 16384"]);
    }
}

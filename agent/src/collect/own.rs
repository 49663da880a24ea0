//! What the agent itself costs.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Reading, Readings};
use fluxfleet_proto::units::Micros;
use rustix::time::{ClockId, clock_gettime};

/// The slow lane comes to GPU after GPU; the agent itself is read no more often than this.
const LEAST_APART: Duration = Duration::from_secs(1);

/// Reads this process.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// When it was last read, and the processor time until then, in nanoseconds.
    last: Option<(Mono, i128)>,
}

impl Own {
    /// Processor time since the last reading, memory, and what calls into the GPU library took so far. Nothing, when
    /// it was read a moment ago.
    pub(super) fn read(
        &mut self,
        now: Mono,
        call_quantile: impl Fn(f64) -> Option<Micros>,
    ) -> Readings<HostMetric> {
        if self.last.is_some_and(|(last, _)| now.since(last) < LEAST_APART) {
            return Readings::default();
        }
        let call = |q| match call_quantile(q) {
            Some(us) => Ok(us.0 as f64),
            None => Err(Absence::new(AbsenceReason::NotYet, "no call into a GPU library so far")),
        };
        Readings::default()
            .with(HostMetric::AgentCpuPercent, self.cpu_percent(now))
            .with(HostMetric::AgentMemoryBytes, resident())
            .with(HostMetric::GpuCallP50Us, call(0.5))
            .with(HostMetric::GpuCallP99Us, call(0.99))
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds between two readings")]
    fn cpu_percent(&mut self, now: Mono) -> Reading {
        let spent = processor_nanos();
        let Some((then, before)) = self.last.replace((now, spent)) else {
            return Err(Absence::new(AbsenceReason::NotYet, "a share of time needs two readings"));
        };
        Ok((100.0 * (spent - before) as f64 / now.since(then).as_nanos() as f64).max(0.0))
    }
}

fn processor_nanos() -> i128 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    i128::from(spent.tv_sec) * 1_000_000_000 + i128::from(spent.tv_nsec)
}

/// Processor time that this process has used so far, in seconds.
pub(crate) fn processor_seconds() -> f64 {
    processor_nanos() as f64 / 1e9
}

/// Resident memory in bytes.
pub(crate) fn resident() -> Reading {
    let file = "/proc/self/statm";
    let text = std::fs::read_to_string(file).map_err(|error| {
        Absence::new(AbsenceReason::Unsupported, format!("could not read {file}: {error}"))
    })?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| Absence::new(AbsenceReason::Error, format!("{file} has no second number")))?;
    Ok((pages * rustix::param::page_size() as u64) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::clock::Clock;

    #[test]
    fn the_agent_tells_what_it_costs() {
        let mut own = Own::default();
        let now = Clock::now();
        let first = own.read(now, |_| None);
        assert_eq!(first.value(HostMetric::AgentCpuPercent).unwrap_err().reason, AbsenceReason::NotYet);
        assert_eq!(first.value(HostMetric::GpuCallP99Us).unwrap_err().reason, AbsenceReason::NotYet);
        assert!(first.value(HostMetric::AgentMemoryBytes).unwrap() > 0.0);
        assert!(own.read(now, |_| panic!("nobody asks so soon again")).is_empty());
        let second = own.read(now + LEAST_APART, |_| Some(Micros(7)));
        assert!(second.value(HostMetric::AgentCpuPercent).unwrap() >= 0.0);
        assert_eq!(second.value(HostMetric::GpuCallP99Us), Ok(7.0));
    }
}

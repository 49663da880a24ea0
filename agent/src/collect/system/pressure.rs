//! Pressure stall information: how long tasks waited for want of something.

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Reading, Readings};

use super::files::{Odd, Proc};
use super::growth::{Counters, Growth};

/// Microseconds of waiting in a second, as a share of a hundred.
const PERCENT: f64 = 100.0 / 1_000_000.0;

const SOURCES: [(&str, HostMetric); 3] = [
    ("pressure/cpu", HostMetric::CpuPressurePercent),
    ("pressure/memory", HostMetric::MemoryPressurePercent),
    ("pressure/io", HostMetric::IoPressurePercent),
];

/// Reads the shares of time in which some task waited.
///
/// Of the kernel's own averages the shortest is over 10 s; the share since the previous reading follows from its
/// counter. <https://docs.kernel.org/accounting/psi.html>
#[derive(Debug)]
pub(super) struct Pressure([Growth<1>; 3]);

impl Default for Pressure {
    fn default() -> Self {
        Self([const { Growth::new("pressure") }; 3])
    }
}

impl Pressure {
    /// `now` is asked for at each file: the counters go on while the files before are read.
    pub(super) fn read(&mut self, proc: &Proc, now: impl Fn() -> Mono, into: &mut Readings<HostMetric>) {
        for (growth, (file, metric)) in self.0.iter_mut().zip(SOURCES) {
            let counted = proc.parse(file, parse);
            let share = |us| -> Reading {
                let counters = Counters::from([(file.to_owned(), [us])]);
                let [rate] = growth.per_second(now(), counters)?;
                // The kernel's clock and ours are read at slightly different times.
                Ok((rate * PERCENT).min(100.0))
            };
            into.set(metric, counted.and_then(share));
        }
    }
}

/// Microseconds in which some task waited, since the system started.
fn parse(text: &str) -> Result<u64, Odd> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let some = some.ok_or_else(|| Odd::garbled("has no line that begins with `some`"))?;
    let total = some.split_whitespace().find_map(|field| field.strip_prefix("total="));
    total.and_then(|us| us.parse().ok()).ok_or_else(|| Odd::garbled("has no total in its line `some`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluxfleet_proto::reading::AbsenceReason;
    use std::fs;

    const MEMORY: &str = "\
some avg10=0.00 avg60=0.00 avg300=0.00 total=293486
full avg10=0.00 avg60=0.00 avg300=0.00 total=222933
";

    #[test]
    fn the_total_of_some_counts() {
        assert_eq!(parse(MEMORY), Ok(293_486));
        // Older kernels have no second line for the processor.
        assert_eq!(parse("some avg10=9.20 avg60=11.48 avg300=27.54 total=1185746632\n"), Ok(1_185_746_632));
    }

    #[test]
    fn a_text_without_it_is_an_error() {
        for odd in ["", "full avg10=0.00 total=1\n", "some avg10=0.00 avg60=0.0", "some total=x", "some"] {
            assert!(matches!(parse(odd), Err(Odd::Garbled(_))), "{odd}");
        }
    }

    #[test]
    fn a_share_is_of_the_time_between_readings_and_each_file_stands_for_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pressure")).unwrap();
        let mut pressure = Pressure::default();
        let mut read = |ms: i64, cpu: u64| {
            fs::write(dir.path().join("pressure/cpu"), format!("some avg10=0.00 total={cpu}\n")).unwrap();
            let mut readings = Readings::default();
            pressure.read(&Proc::at(dir.path()), || Mono::from_nanos(ms * 1_000_000), &mut readings);
            SOURCES.map(|(_, metric)| readings.value(metric).map_err(|absence| absence.reason))
        };
        let missing = Err(AbsenceReason::Unsupported);
        assert_eq!(read(0, 1_000_000), [Err(AbsenceReason::NotYet), missing, missing]);
        assert_eq!(read(500, 1_125_000), [Ok(25.0), missing, missing]);
        assert_eq!(read(1000, 1_725_000), [Ok(100.0), missing, missing], "no more than all of the time");
        assert_eq!(read(1500, 1), [Err(AbsenceReason::NotYet), missing, missing]);
    }
}

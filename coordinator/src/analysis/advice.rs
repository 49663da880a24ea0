//! Rules of thumb, each with the reading that triggered it. Thresholds and remedies are the seed tool's.

use super::report::{Measured, StrategyReport};

/// A rule that applies to a strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The strategy.
    pub strategy: String,
    /// The rule.
    pub rule: Rule,
    /// The reading that triggered it, in the rule's unit.
    pub reading: f64,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The GPU idles: mean utilization below 50 %.
    LowGpuUtilization,
    /// Answers take long: mean response time above 20 s.
    LongResponseTime,
    /// GPU memory is nearly full: mean use above 90 %.
    HighVramUsage,
    /// Little gets done: less than 0.5 items per second.
    LowThroughput,
}

impl Rule {
    /// All rules, in the seed's order.
    pub const ALL: [Self; 4] =
        [Self::LowGpuUtilization, Self::LongResponseTime, Self::HighVramUsage, Self::LowThroughput];

    /// The reading from which on it applies, itself excluded: percent, seconds, percent, items per second.
    pub fn threshold(self) -> f64 {
        match self {
            Self::LowGpuUtilization => 50.0,
            Self::LongResponseTime => 20.0,
            Self::HighVramUsage => 90.0,
            Self::LowThroughput => 0.5,
        }
    }

    /// Its name in `results.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LowGpuUtilization => "low_gpu_utilization",
            Self::LongResponseTime => "long_response_time",
            Self::HighVramUsage => "high_vram_usage",
            Self::LowThroughput => "low_throughput",
        }
    }

    /// The unit of its reading and threshold in `results.json`.
    pub fn unit(self) -> &'static str {
        match self {
            Self::LowGpuUtilization | Self::HighVramUsage => "percent",
            Self::LongResponseTime => "s",
            Self::LowThroughput => "items_per_s",
        }
    }

    fn reading(self, measured: &Measured) -> Option<f64> {
        match self {
            Self::LowGpuUtilization => measured.host.gpu_percent.as_ref(),
            Self::LongResponseTime => measured.response.mean_s.as_ref(),
            Self::HighVramUsage => measured.host.vram_percent.as_ref(),
            Self::LowThroughput => measured.throughput_items_per_s.as_ref(),
        }
        .ok()
        .copied()
    }

    fn applies(self, reading: f64) -> bool {
        match self {
            Self::LowGpuUtilization | Self::LowThroughput => reading < self.threshold(),
            Self::LongResponseTime | Self::HighVramUsage => reading > self.threshold(),
        }
    }
}

/// What applies, by rule and then by strategy. A strategy without a success gets none: to put more load on a
/// service that answers nothing would be bad advice, and its row says what to do.
pub(super) fn advise(strategies: &[StrategyReport]) -> Vec<Advice> {
    let mut advice = Vec::new();
    for rule in Rule::ALL {
        for strategy in strategies.iter().filter(|s| s.items.ok > 0) {
            let reading = strategy.measured.as_ref().ok().and_then(|m| rule.reading(m));
            if let Some(reading) = reading.filter(|&r| rule.applies(r)) {
                advice.push(Advice { strategy: strategy.name.clone(), rule, reading });
            }
        }
    }
    advice
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::metric::GpuMetric;

    use fluxfleet_proto::failure::FailureKind;

    use super::*;
    use crate::analysis::testing::{RunSketch, Sketch, seed_run, trial};
    use crate::analysis::{ScoreSettings, analyse};

    fn advice(run: RunSketch) -> Vec<(String, Rule)> {
        let report = analyse(&run.done(), &ScoreSettings::default());
        report.advice.into_iter().map(|a| (a.strategy, a.rule)).collect()
    }

    #[test]
    fn each_rule_names_the_strategies_it_applies_to() {
        let named = |name: &str, rule| (name.to_owned(), rule);
        assert_eq!(
            advice(seed_run()),
            [
                named("baseline", Rule::LowGpuUtilization),
                named("baseline", Rule::LowThroughput),
                named("batch", Rule::LowThroughput),
                named("async", Rule::LowThroughput),
            ]
        );
    }

    #[test]
    fn a_reading_at_the_threshold_triggers_nothing() {
        let run = RunSketch::new().ran(Sketch::new("a", 0.5, 20.0, 50.0).items(1)).with(|run| {
            trial(run, 0).window = Some(crate::aggregate::Window {
                from: crate::analysis::testing::at(1_000),
                to: crate::analysis::testing::at(3_000),
            });
            for placed in &mut run.samples {
                for gpu in &mut placed.sample.gpus {
                    let total = gpu.values.value(GpuMetric::MemoryTotalBytes);
                    gpu.values.set(GpuMetric::MemoryUsedBytes, total.map(|total| total * 0.9));
                }
            }
        });
        assert_eq!(advice(run), []);
    }

    #[test]
    fn nearly_full_memory_and_long_answers_are_told() {
        let run = RunSketch::new().ran(Sketch::new("a", 2.0, 20.1, 80.0)).with(|run| {
            for placed in &mut run.samples {
                for gpu in &mut placed.sample.gpus {
                    let total = gpu.values.value(GpuMetric::MemoryTotalBytes);
                    gpu.values.set(GpuMetric::MemoryUsedBytes, total.map(|total| total * 0.91));
                }
            }
        });
        let rules: Vec<_> = advice(run).into_iter().map(|(_, rule)| rule).collect();
        assert_eq!(rules, [Rule::LongResponseTime, Rule::HighVramUsage]);
    }

    #[test]
    fn a_strategy_without_success_or_without_a_reading_gets_no_advice_from_it() {
        let failing = Sketch::new("a", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Timeout, 20, "none");
        assert_eq!(advice(RunSketch::new().ran(failing)), []);
        let unwatched = RunSketch::new().without_agent("elsewhere").ran(Sketch::new("a", 1.0, 1.0, 0.0));
        assert_eq!(advice(unwatched), []);
    }
}

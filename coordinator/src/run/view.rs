//! What is shown of a trial while it goes on.

use std::time::Duration;

use fluxfleet_proto::arrival::Arrivals;
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::load::{Limits, NO_LIMIT, Warmup};
use fluxfleet_proto::metric::GpuMetric;
use fluxfleet_proto::reading::GpuReading;
use fluxfleet_proto::units::Micros;

use super::TrialRun;
use super::conductor::Conductor;
use crate::live::{Asked, TrialView};
use crate::plan::{PlannedLoad, PlannedStrategy};

impl Conductor<'_> {
    pub(super) fn view(&self, run: &TrialRun, planned: &PlannedStrategy) -> TrialView {
        let now = Clock::now();
        let (merge, elapsed, measured) = (run.merge(), run.elapsed(now), run.measured(now));
        let tally = merge.tally();
        let (asked, max_in_flight, length) = match &self.plan.load {
            PlannedLoad::Closed => (Asked::InFlight(planned.in_flight.get()), None, None),
            PlannedLoad::Open { arrivals, .. } => {
                let asked = match arrivals {
                    Arrivals::Replay(_) => Asked::Replay,
                    Arrivals::Drawn { profile, .. } => match profile.stages() {
                        [only] if only.length.is_none() => Asked::Rate(only.from),
                        _ => Asked::Stages(profile.rate(elapsed.as_secs_f64())),
                    },
                };
                let most = planned.in_flight.get();
                (asked, (most != NO_LIMIT).then_some(most), arrivals.length())
            }
        };
        // A warm-up of items lasts as long as it takes: the time left is known when it is over.
        let by_duration = || match self.plan.limits.warmup {
            Warmup::Items(_) if measured.is_zero() => None,
            _ => self.plan.limits.duration.map(|d| d.saturating_sub(measured)),
        };
        TrialView {
            strategy: planned.strategy.name.clone(),
            items: self.plan.items,
            length: measured_time(self.plan.limits, length),
            warmup: self.plan.limits.warmup,
            asked,
            max_in_flight,
            planned: merge.planned(),
            left: run.sends_until().map(|end| end.saturating_sub(elapsed)).or_else(by_duration),
            warmed: merge.warmup().items_ended(),
            ended: tally.items_ended(),
            failed: tally.items_failed,
            not_sent: tally.not_sent.total(),
            in_flight: merge.in_flight(),
            elapsed,
            measured,
            p95_s: tally.response_time.quantile(0.95).map(Micros::as_secs_f64),
            gpu_percent: self.samples.latest().and_then(|s| {
                let utilization = |g: &GpuReading| g.values.value(GpuMetric::UtilizationPercent).ok();
                let readings: Vec<f64> = s.gpus.iter().filter_map(utilization).collect();
                (!readings.is_empty()).then(|| readings.iter().sum::<f64>() / readings.len() as f64)
            }),
            workers: self.fleet.workers().count(),
            workers_begun: run.begun(),
        }
    }
}

/// The measured time that ends a trial whose arrivals take so long, warm-up included. `None`: no time does.
fn measured_time(limits: Limits, arrivals: Option<Duration>) -> Option<Duration> {
    let warm = match limits.warmup {
        Warmup::Time(warm) => warm,
        Warmup::None | Warmup::Items(_) => Duration::ZERO,
    };
    let left = arrivals.map(|all| all.saturating_sub(warm));
    limits.duration.into_iter().chain(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_takes_as_long_as_the_shorter_of_its_duration_and_what_the_warm_up_leaves_of_its_arrivals() {
        let s = |s| Some(Duration::from_secs(s));
        let limits = |warmup, duration| Limits { warmup, duration };
        assert_eq!(measured_time(limits(Warmup::None, None), None), None);
        assert_eq!(measured_time(limits(Warmup::None, s(60)), s(10)), s(10));
        assert_eq!(measured_time(limits(Warmup::None, s(5)), s(10)), s(5));
        let warm = Warmup::Time(Duration::from_secs(4));
        assert_eq!(measured_time(limits(warm, s(9)), s(10)), s(6));
        assert_eq!(measured_time(limits(warm, s(9)), None), s(9));
    }
}

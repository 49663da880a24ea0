//! Whether the generators had what they need to measure anything but themselves.

use fluxfleet_proto::failure::FailureKind;

use crate::analysis::certify::Rank;
use crate::analysis::generator::{GeneratorReport, Used};
use crate::analysis::load::LoadReport;
use crate::analysis::report::{Measured, Missing, StrategyReport};

use super::load::{LATENESS_DEGRADED, NOT_SENT_INVALID, budget_us};
use super::{Reason, State};

/// Share of processor time, 0 to 1, beyond which a load thread counts as loaded. At 80 % busy a task that is due
/// finds the thread at work four times in five, and waits longer than it works itself (the mean wait of an M/M/1
/// queue is 4 services at that load).
pub const BUSY_LIMIT: f64 = 0.8;

/// A thread is judged when it was watched for so long, in seconds: the start of a short run is no load.
pub const BUSY_LEAST_S: f64 = 3.0;

/// How late a runtime may come to a task that is due, 99th percentile, in microseconds, if that is not less than
/// the share of the median response time that lateness may have.
pub const POLL_DELAY_FLOOR_US: f64 = 10_000.0;

/// Share of a limit beyond which files and ports count as scarce.
pub const SCARCE: f64 = 0.9;

/// Everything that is against the generators of a strategy.
pub(super) fn judge(row: &StrategyReport) -> Vec<(State, Reason)> {
    let Ok(measured) = &row.measured else { return Vec::new() };
    if measured.throughput_items_per_s == Err(Missing::NoEndpoint) {
        return Vec::new();
    }
    let closed = matches!(measured.load, LoadReport::Closed(_));
    let reasons = measured.generators.iter().flat_map(|g| {
        [
            busy(row, g, closed),
            poll_delay(row, measured, g),
            scarce(g.files, |most, limit| Reason::FewFiles {
                strategy: row.name.clone(),
                worker: g.worker.clone(),
                most,
                limit,
            }),
            scarce(g.ports, |most, limit| Reason::FewPorts {
                strategy: row.name.clone(),
                worker: g.worker.clone(),
                most,
                limit,
            }),
        ]
    });
    let reasons = reasons.flatten().map(|reason| (State::Degraded, reason));
    exhausted(row, measured).into_iter().chain(reasons).collect()
}

/// What a worker could not send for want of files is as good as not sent.
fn exhausted(row: &StrategyReport, measured: &Measured) -> Option<(State, Reason)> {
    let items = measured.errors.iter().find(|line| line.kind == FailureKind::Exhausted)?.count;
    let planned = row.items.planned;
    let state =
        if items as f64 > NOT_SENT_INVALID * planned as f64 { State::Invalid } else { State::Degraded };
    Some((state, Reason::Exhausted { strategy: row.name.clone(), items, planned }))
}

fn busy(row: &StrategyReport, generator: &GeneratorReport, closed: bool) -> Option<Reason> {
    let mean = generator.busy_mean?;
    (generator.watched_s >= BUSY_LEAST_S && mean > BUSY_LIMIT).then(|| Reason::Busy {
        strategy: row.name.clone(),
        worker: generator.worker.clone(),
        percent: 100.0 * mean,
        closed,
    })
}

fn poll_delay(row: &StrategyReport, measured: &Measured, generator: &GeneratorReport) -> Option<Reason> {
    let p99_us = generator.poll_delay_p99_us? as f64;
    let budget_us = budget_us(measured, (POLL_DELAY_FLOOR_US, LATENESS_DEGRADED.1));
    (Rank::P99.certified_by(generator.poll_delays) && p99_us > budget_us).then(|| Reason::PollDelay {
        strategy: row.name.clone(),
        worker: generator.worker.clone(),
        p99_us,
        budget_us,
    })
}

fn scarce(used: Used, reason: impl FnOnce(u64, u64) -> Reason) -> Option<Reason> {
    used.share().filter(|&share| share > SCARCE)?;
    Some(reason(used.most?, used.limit?))
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::units::Micros;

    use super::*;
    use crate::aggregate::{HealthPoint, RunOutcome, WorkerHealth};
    use crate::analysis::testing::{RunSketch, Sketch, limited_run, open_run, seed_run, trial};
    use crate::analysis::{ScoreSettings, analyse};

    fn health(run: &mut RunOutcome) -> &mut WorkerHealth {
        &mut trial(run, 0).workers[0].health
    }

    fn keep_busy(points: &mut [HealthPoint], share: f64) {
        for point in points {
            (point.busiest_thread, point.busiest_thread_mean) = (Some(share), Some(share));
        }
    }

    /// What is against the generator of a load that is well in every other way.
    fn with(change: impl FnOnce(&mut WorkerHealth)) -> Vec<Reason> {
        let run = open_run().with(|run| {
            run.strategies.truncate(1);
            change(health(run));
        });
        analyse(&run.done(), &ScoreSettings::default()).verdict.reasons
    }

    #[test]
    fn a_thread_that_is_mostly_busy_degrades_and_a_closed_load_says_whose_limit_it_is() {
        let busy = |share| with(|health| keep_busy(&mut health.points, share));
        assert_eq!(busy(0.79), []);
        assert!(matches!(busy(0.81)[..], [Reason::Busy { closed: false, .. }]));
        let limited = analyse(&limited_run().done(), &ScoreSettings::default()).verdict;
        assert_eq!(limited.state, State::Degraded);
        assert!(matches!(limited.reasons[..], [Reason::Busy { closed: true, .. }]), "{limited:?}");
    }

    #[test]
    fn a_burst_or_a_short_run_is_not_held_against_a_thread() {
        let burst = with(|health| keep_busy(&mut health.points[30..31], 1.0));
        assert_eq!(burst, []);
        let short = with(|health| {
            health.points.truncate(12);
            keep_busy(&mut health.points, 1.0);
        });
        assert_eq!(short, []);
    }

    #[test]
    fn late_runtimes_degrade_when_there_are_enough_readings() {
        let late = |count| {
            with(|health| {
                health.poll_delay.clear();
                (0..count).for_each(|_| health.poll_delay.record(Micros(14_000)));
            })
        };
        assert_eq!(late(661), []);
        assert!(matches!(late(662)[..], [Reason::PollDelay { budget_us, .. }] if budget_us > 9_999.0));
    }

    #[test]
    fn files_and_ports_near_their_limits_degrade() {
        let files = |most| with(|health| health.points[40].open_files = Some(most));
        assert_eq!(files(921), []);
        assert!(matches!(files(922)[..], [Reason::FewFiles { most: 922, limit: 1_024, .. }]));
        let ports = with(|health| health.points[5].ports_used = Some(28_000));
        assert!(matches!(ports[..], [Reason::FewPorts { most: 28_000, limit: 28_232, .. }]));
    }

    #[test]
    fn items_that_a_worker_had_no_file_for_are_as_good_as_not_sent() {
        let verdict = |failed: u32| {
            let sketch = Sketch::new("a", 1.0, 1.0, 0.0);
            let ok = 100 - failed;
            let run = RunSketch::new().ran(sketch.items(ok.into()).failing(
                FailureKind::Exhausted,
                failed.into(),
                "24",
            ));
            analyse(&run.done(), &ScoreSettings::default()).verdict
        };
        let reason = |items| Reason::Exhausted { strategy: "a".into(), items, planned: 100 };
        assert_eq!((verdict(5).state, &verdict(5).reasons[..]), (State::Degraded, &[reason(5)][..]));
        assert_eq!((verdict(6).state, &verdict(6).reasons[..]), (State::Invalid, &[reason(6)][..]));
    }

    #[test]
    fn a_worker_that_tells_nothing_is_not_judged() {
        assert_eq!(with(|health| *health = WorkerHealth::default()), []);
        assert_eq!(analyse(&seed_run().done(), &ScoreSettings::default()).verdict.reasons, []);
    }
}

//! How the load generators fared: one that is late, starved or at its limit measures itself.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::tally::Phase;

use crate::aggregate::{HealthPoint, RunOutcome, WorkerTrial};

use super::WorkerNames;

/// A stretch shorter than this has no rate and no busy share worth showing as the highest one, in seconds.
const SHORTEST_S: f64 = 0.5;

/// How one worker's generator fared, in one trial or in all of a run. Unknown is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorReport {
    /// The worker's name.
    pub worker: String,
    /// How long it was watched in the measured phase, in seconds.
    pub watched_s: f64,
    /// Busiest load thread: its share of processor time over the measured phase, 0 to 1.
    pub busy_mean: Option<f64>,
    /// Its share in the worst interval; one of less than half a second counts only where no other is.
    pub busy_max: Option<f64>,
    /// Busiest core of the machine in the worst interval, 0 to 1, of those.
    pub core_max: Option<f64>,
    /// Pacer lateness, 99th percentile of the worst interval, in microseconds. `None` in a closed load.
    pub pacer_lateness_p99_us: Option<u64>,
    /// How late its runtimes came to tasks that were due, 99th percentile, in microseconds.
    pub poll_delay_p99_us: Option<u64>,
    /// The longest such delay, in microseconds.
    pub poll_delay_max_us: Option<u64>,
    /// Delays behind the percentile.
    pub poll_delays: u64,
    /// Files open at most, of how many it may have open.
    pub files: Used,
    /// Ports in use at most, of how many its machine gives to outgoing connections.
    pub ports: Used,
    /// Connections that could not be opened or broke.
    pub socket_errors: u64,
    /// Resident memory at first, at last and at most, in bytes.
    pub memory: Option<Memory>,
    /// What it can send at most.
    pub ceiling: Option<Ceiling>,
    /// Requests a second over the measured phase.
    pub requests_per_s: Option<f64>,
    /// Requests in its highest second of the measured phase.
    pub highest_requests_per_s: Option<f64>,
    /// The highest second's requests as a share of the ceiling, in percent.
    pub ceiling_percent: Option<f64>,
    /// The mean's.
    pub ceiling_mean_percent: Option<f64>,
    /// Interval by interval, both phases.
    pub points: Vec<GeneratorPoint>,
}

/// How much of something limited was in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// At most.
    pub most: Option<u64>,
    /// Of how much.
    pub limit: Option<u64>,
}

impl Used {
    /// The share in use, 0 to 1.
    pub fn share(self) -> Option<f64> {
        let limit = self.limit.filter(|&limit| limit > 0)?;
        Some(self.most? as f64 / limit as f64)
    }
}

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In the first interval.
    pub first: u64,
    /// In the last one.
    pub last: u64,
    /// In the largest.
    pub most: u64,
}

/// One interval of a generator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeneratorPoint {
    /// Beginning, as wall time since the Unix epoch.
    pub at: Duration,
    /// Its length, in seconds.
    pub seconds: f64,
    /// What was seen in it.
    pub health: HealthPoint,
}

/// Each worker's generator in one trial.
pub(super) fn of_trial(
    workers: &[WorkerTrial],
    run: &RunOutcome,
    names: &WorkerNames<'_>,
) -> Vec<GeneratorReport> {
    workers.iter().map(|part| report(names.name(part.peer), &[part], |at| run.wall(at))).collect()
}

/// A worker's generator over several trials. Without its points.
pub(super) fn of_run(worker: String, parts: &[&WorkerTrial], run: &RunOutcome) -> GeneratorReport {
    GeneratorReport { points: Vec::new(), ..report(worker, parts, |at| run.wall(at)) }
}

fn report(worker: String, parts: &[&WorkerTrial], wall: impl Fn(Mono) -> Duration) -> GeneratorReport {
    let points: Vec<&HealthPoint> = parts.iter().flat_map(|part| &part.health.points).collect();
    let measured: Vec<&HealthPoint> = points.iter().copied().filter(|p| p.phase == Phase::Measure).collect();
    let mut poll_delay = Latency::new();
    for part in parts {
        poll_delay.merge(&part.health.poll_delay);
    }
    let ceiling = parts.iter().rev().find_map(|part| part.health.ceiling);
    // Not `sum`, whose zero is a negative one.
    let watched_s = measured.iter().fold(0.0, |sum, p| sum + seconds(p));
    let sent: u64 = measured.iter().map(|p| p.requests_sent).sum();
    let requests_per_s = (watched_s > 0.0).then(|| sent as f64 / watched_s);
    let long = || measured.iter().filter(|p| seconds(p) >= SHORTEST_S);
    let highest_requests_per_s =
        long().map(|p| p.requests_sent as f64 / seconds(p)).reduce(f64::max).or(requests_per_s);
    let busiest = |share: fn(&HealthPoint) -> Option<f64>| {
        let all = || measured.iter().filter_map(|p| share(p)).reduce(f64::max);
        long().filter_map(|p| share(p)).reduce(f64::max).or_else(all)
    };
    let of_ceiling = |rate: Option<f64>| {
        let ceiling = ceiling?.requests_per_s;
        (ceiling > 0.0).then_some(())?;
        Some(100.0 * rate? / ceiling)
    };
    let memory: Vec<u64> = points.iter().filter_map(|p| p.resident_bytes).collect();
    GeneratorReport {
        worker,
        watched_s,
        busy_mean: mean_busy(&measured),
        busy_max: busiest(|p| p.busiest_thread),
        core_max: busiest(|p| p.busiest_core),
        pacer_lateness_p99_us: measured.iter().filter_map(|p| p.pacer_lateness_p99_us).max(),
        poll_delay_p99_us: poll_delay.quantile(0.99).map(|us| us.0),
        poll_delay_max_us: poll_delay.max().map(|us| us.0),
        poll_delays: poll_delay.count(),
        files: Used {
            most: points.iter().filter_map(|p| p.open_files).max(),
            limit: parts.iter().filter_map(|part| part.health.open_files_limit).min(),
        },
        ports: Used {
            most: points.iter().filter_map(|p| p.ports_used).max(),
            limit: parts.iter().filter_map(|part| part.health.ports_limit).min(),
        },
        socket_errors: points.iter().map(|p| p.socket_errors).fold(0, u64::saturating_add),
        memory: memory
            .first()
            .zip(memory.last())
            .zip(memory.iter().max())
            .map(|((&first, &last), &most)| Memory { first, last, most }),
        ceiling,
        requests_per_s,
        highest_requests_per_s,
        ceiling_percent: of_ceiling(highest_requests_per_s),
        ceiling_mean_percent: of_ceiling(requests_per_s),
        points: points
            .into_iter()
            .map(|&health| GeneratorPoint { at: wall(health.span.from), seconds: seconds(&health), health })
            .collect(),
    }
}

fn seconds(point: &HealthPoint) -> f64 {
    point.span.length().as_secs_f64()
}

/// Each interval counts with its length.
fn mean_busy(points: &[&HealthPoint]) -> Option<f64> {
    let known = || points.iter().filter_map(|p| Some((p.busiest_thread_mean?, seconds(p))));
    let whole: f64 = known().map(|(_, s)| s).sum();
    (whole > 0.0).then(|| known().map(|(busy, s)| busy * s).sum::<f64>() / whole)
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::units::Micros;

    use super::*;
    use crate::aggregate::WorkerHealth;
    use crate::analysis::testing::{WORKER, health_point};

    fn part(points: Vec<HealthPoint>) -> WorkerTrial {
        WorkerTrial {
            peer: WORKER,
            items_planned: 0,
            items_ok: 0,
            items_failed: 0,
            items_not_sent: 0,
            start_skew_us: None,
            health: WorkerHealth {
                ceiling: Some(Ceiling {
                    requests_per_s: 1_000.0,
                    time_per_request: Duration::from_millis(1),
                    threads: 1,
                    measured: Duration::from_secs(1),
                }),
                points,
                open_files_limit: Some(1_024),
                ..WorkerHealth::default()
            },
            requests_sent: 0,
        }
    }

    fn reported(parts: &[&WorkerTrial]) -> GeneratorReport {
        report("w".into(), parts, |at| at.since(Mono::from_nanos(0)))
    }

    #[test]
    fn the_warm_up_does_not_count_towards_rate_and_busy_share() {
        let mut points = vec![
            health_point(0, 1_000, 900, 0.99),
            health_point(1_000, 2_000, 100, 0.2),
            health_point(2_000, 3_000, 300, 0.4),
        ];
        points[0].phase = Phase::Warmup;
        let g = reported(&[&part(points)]);
        assert_eq!((g.requests_per_s, g.highest_requests_per_s), (Some(200.0), Some(300.0)));
        assert_eq!((g.ceiling_mean_percent, g.ceiling_percent), (Some(20.0), Some(30.0)));
        assert!(g.busy_mean.is_some_and(|busy| (busy - 0.3).abs() < 1e-9));
        assert_eq!(g.busy_max, Some(0.4));
        assert_eq!(g.points.len(), 3);
    }

    #[test]
    fn a_short_last_interval_is_no_highest_second_nor_the_busiest_and_weighs_little() {
        let g =
            reported(&[&part(vec![health_point(0, 1_000, 100, 0.1), health_point(1_000, 1_010, 50, 1.0)])]);
        assert_eq!(g.highest_requests_per_s, Some(100.0));
        assert!(g.busy_mean.is_some_and(|busy| busy < 0.11), "{:?}", g.busy_mean);
        assert_eq!(g.busy_max, Some(0.1));
        let alone = reported(&[&part(vec![health_point(0, 10, 1, 0.5)])]);
        assert_eq!(alone.highest_requests_per_s, alone.requests_per_s);
        assert_eq!(alone.busy_max, Some(0.5));
    }

    #[test]
    fn trials_of_one_worker_make_one_report() {
        let mut first = part(vec![health_point(0, 1_000, 100, 0.1)]);
        first.health.poll_delay.record(Micros(50));
        let mut second = part(vec![health_point(9_000, 10_000, 500, 0.6)]);
        second.health.poll_delay.record(Micros(900));
        second.health.points[0].socket_errors = 2;
        second.health.points[0].resident_bytes = Some(64 << 20);
        let g = reported(&[&first, &second]);
        assert_eq!((g.poll_delay_max_us, g.poll_delays, g.socket_errors), (Some(900), 2, 2));
        assert_eq!(g.memory, Some(Memory { first: 16 << 20, last: 64 << 20, most: 64 << 20 }));
        assert_eq!(g.files, Used { most: Some(20), limit: Some(1_024) });
        assert!(g.files.share().is_some_and(|share| share < 0.02));
        assert_eq!(g.ports.share(), None);
    }

    #[test]
    fn a_worker_that_claims_endless_socket_errors_stops_no_report() {
        let endless = HealthPoint { socket_errors: u64::MAX, ..health_point(0, 1_000, 1, 0.1) };
        assert_eq!(reported(&[&part(vec![endless, endless])]).socket_errors, u64::MAX);
    }

    #[test]
    fn a_worker_that_tells_nothing_has_no_figures() {
        let mut silent = part(Vec::new());
        silent.health = WorkerHealth::default();
        let g = reported(&[&silent]);
        assert_eq!((g.busy_mean, g.requests_per_s, g.ceiling_percent, g.memory), (None, None, None, None));
    }
}

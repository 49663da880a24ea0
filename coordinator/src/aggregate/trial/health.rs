//! A worker's condition over a trial.

use fluxfleet_proto::health::Health;
use fluxfleet_proto::tally::{Phase, Tally};

use super::MergeError;
use super::part::all_real;
use super::series::MOST_STRETCHES;
use crate::aggregate::{HealthPoint, Window, WorkerHealth};

impl WorkerHealth {
    /// Whether it can take what an interval says without a count that nothing reaches.
    pub(super) fn fits(&self, health: &Health) -> Result<(), MergeError> {
        all_real([(self.poll_delay.count(), health.poll_delay.count())])
    }

    /// Adds what one interval says.
    pub(super) fn add(&mut self, span: Window, phase: Phase, tally: &Tally, health: &Health) {
        self.poll_delay.merge(&health.poll_delay);
        self.open_files_limit = health.open_files_limit.or(self.open_files_limit);
        self.ports_limit = health.ports_limit.or(self.ports_limit);
        self.points.push(HealthPoint {
            span,
            phase,
            busiest_thread: busiest(&health.threads_busy),
            busiest_thread_mean: busiest(&health.threads_busy),
            mean_thread: mean(&health.threads_busy),
            busiest_core: busiest(&health.cores_busy),
            pacer_lateness_p99_us: tally.pacer_lateness.quantile(0.99).map(|m| m.0),
            poll_delay_p99_us: health.poll_delay.quantile(0.99).map(|m| m.0),
            open_files: health.open_files,
            ports_used: health.ports_used,
            socket_errors: health.socket_errors,
            resident_bytes: health.resident_bytes,
            requests_sent: tally.requests_sent,
        });
        if self.points.len() > MOST_STRETCHES {
            // Neighbours are merged by two, as in the trial's series.
            let points = std::mem::take(&mut self.points);
            for pair in points.chunks(2) {
                match *pair {
                    [a, b] if a.phase == b.phase => self.points.push(both(a, b)),
                    _ => self.points.extend(pair),
                }
            }
        }
    }
}

fn busiest(shares: &[f64]) -> Option<f64> {
    shares.iter().copied().reduce(f64::max)
}

fn mean(shares: &[f64]) -> Option<f64> {
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// One point for two neighbours: the worse of both, means by their lengths, and sums of what is counted.
fn both(a: HealthPoint, b: HealthPoint) -> HealthPoint {
    let worse = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    let (la, lb) = (a.span.length().as_secs_f64(), b.span.length().as_secs_f64());
    let mean = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) if la + lb > 0.0 => Some((a * la + b * lb) / (la + lb)),
        (one, other) => one.or(other),
    };
    HealthPoint {
        span: a.span.hull(b.span),
        phase: a.phase,
        busiest_thread: worse(a.busiest_thread, b.busiest_thread),
        busiest_thread_mean: mean(a.busiest_thread_mean, b.busiest_thread_mean),
        mean_thread: mean(a.mean_thread, b.mean_thread),
        busiest_core: worse(a.busiest_core, b.busiest_core),
        pacer_lateness_p99_us: a.pacer_lateness_p99_us.max(b.pacer_lateness_p99_us),
        poll_delay_p99_us: a.poll_delay_p99_us.max(b.poll_delay_p99_us),
        open_files: a.open_files.max(b.open_files),
        ports_used: a.ports_used.max(b.ports_used),
        socket_errors: a.socket_errors.saturating_add(b.socket_errors),
        resident_bytes: a.resident_bytes.max(b.resident_bytes),
        requests_sent: a.requests_sent.saturating_add(b.requests_sent),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use fluxfleet_proto::clock::Mono;

    #[test]
    fn a_long_trial_keeps_some_thousands_of_points_and_the_worst_of_each() {
        let mut health = WorkerHealth::default();
        let at = |s: u64| Mono::from_nanos(0) + Duration::from_secs(s);
        let tally = Tally { requests_sent: 2, ..Tally::default() };
        let seconds = 2 * MOST_STRETCHES as u64;
        for s in 0..seconds {
            let busy = if s == 100 { 0.9 } else { 0.2 };
            let condition = Health {
                threads_busy: vec![busy, 0.1],
                open_files: Some(s),
                open_files_limit: Some(1024),
                ..Health::default()
            };
            let phase = if s < 10 { Phase::Warmup } else { Phase::Measure };
            health.add(Window { from: at(s), to: at(s + 1) }, phase, &tally, &condition);
        }
        assert!(health.points.len() <= MOST_STRETCHES);
        assert_eq!(health.points.iter().map(|p| p.requests_sent).sum::<u64>(), 2 * seconds);
        let busiest = health.points.iter().filter_map(|p| p.busiest_thread).fold(0.0, f64::max);
        assert!((busiest - 0.9).abs() < 1e-9);
        let means =
            health.points.iter().filter_map(|p| Some(p.busiest_thread_mean? * p.span.length().as_secs_f64()));
        let mean = means.sum::<f64>() / seconds as f64;
        assert!((mean - (0.2 + 0.7 / seconds as f64)).abs() < 1e-9, "the worst second is one second: {mean}");
        assert!(health.points.iter().all(|p| p.phase == Phase::Measure || p.span.to <= at(10)));
        assert_eq!(health.points.last().and_then(|p| p.open_files), Some(seconds - 1));
        assert_eq!((health.open_files_limit, health.ports_limit), (Some(1024), None));
        assert!(health.points.iter().all(|p| p.busiest_core.is_none()));
    }
}

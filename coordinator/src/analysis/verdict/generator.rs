//! Whether the generators had what they need to measure anything but themselves.

use crate::analysis::certify::Rank;
use crate::analysis::generator::{GeneratorReport, Used};
use crate::analysis::load::LoadReport;
use crate::analysis::report::{Measured, Missing, StrategyReport};

use super::load::{LATENESS_DEGRADED, budget_us};
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
    reasons.flatten().map(|reason| (State::Degraded, reason)).collect()
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

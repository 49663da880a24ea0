//! Workers and agents of the run.

use crate::aggregate::{Ending, Lost, PeerClock, RunOutcome, WorkerOutcome, WorkerTrial};

use super::generator;
use super::report::{AgentReport, ClockReport, FleetReport, Items, LostReport, WorkerReport};

/// Who generated the load and who watched the host.
pub(super) fn report(run: &RunOutcome) -> FleetReport {
    let lost = |lost: &Option<Lost>| {
        lost.as_ref().map(|lost| LostReport { at: run.wall(lost.at), why: lost.why.clone() })
    };
    FleetReport {
        workers: run
            .workers
            .iter()
            .map(|w| {
                let parts = parts(run, w);
                WorkerReport {
                    name: w.hello.name.clone(),
                    host: w.hello.host.clone(),
                    version: w.hello.software_version.clone(),
                    threads: w.hello.threads,
                    items: sum(&parts),
                    start_skew_us: worst_skew(&parts),
                    clock: w.clock.map(clock),
                    generator: generator::of_run(w.hello.name.clone(), &parts, run),
                    lost: lost(&w.lost),
                }
            })
            .collect(),
        agents: run
            .agents
            .iter()
            .map(|a| AgentReport {
                host: a.hello.host.clone(),
                version: a.hello.software_version.clone(),
                devices: a.hello.devices.clone(),
                samples: a.samples,
                gaps: a.gaps,
                clock: a.clock.map(clock),
                lost: lost(&a.lost),
            })
            .collect(),
        no_agent: run.agents.is_empty().then(|| run.no_agent.clone().unwrap_or_default()),
    }
}

fn parts<'a>(run: &'a RunOutcome, worker: &WorkerOutcome) -> Vec<&'a WorkerTrial> {
    let trials = run.strategies.iter().filter_map(|s| match &s.ending {
        Ending::Ran(trial) => Some(trial),
        Ending::Skipped(_) | Ending::NotStarted(_) => None,
    });
    trials.flat_map(|t| &t.workers).filter(|part| part.peer == worker.peer).collect()
}

fn sum(parts: &[&WorkerTrial]) -> Items {
    parts.iter().fold(Items::default(), |sum, part| Items {
        planned: sum.planned + part.items_planned,
        ok: sum.ok + part.items_ok,
        failed: sum.failed + part.items_failed,
        not_sent: sum.not_sent + part.items_not_sent,
    })
}

fn worst_skew(parts: &[&WorkerTrial]) -> Option<i64> {
    parts.iter().filter_map(|part| part.start_skew_us).max_by_key(|skew| skew.unsigned_abs())
}

fn clock(of: PeerClock) -> ClockReport {
    let us = |ns: u64| ns as f64 / 1e3;
    ClockReport {
        offset_us: of.offset.offset_ns as f64 / 1e3,
        error_us: us(of.offset.error_ns),
        least_error_us: us(of.least_error_ns),
        most_error_us: us(of.most_error_ns),
        exchanges: of.exchanges,
        steps: of.steps,
    }
}

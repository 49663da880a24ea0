//! Whether the numbers can be trusted, with reasons.
//!
//! | state | when |
//! |---|---|
//! | invalid | nothing succeeded in any strategy, or the items do not add up; an open load far from the one asked for: its rate, what was not sent, a late generator (`load`); items that a worker had no file for (`generator`) |
//! | degraded | stopped early, a peer lost or silent, sample gaps, a GPU gone or an error of it (Xid), items not sent, an uneven start, an unsure clock or one that steps; a load or a generator somewhat off (`load`, `generator`); never settled; hardly a sample |
//! | valid | none of these |
//!
//! A strategy that preflight left out, or that found no endpoint when it began, is a note and leaves the state alone: every number that is shown is as
//! good as it would be had the strategy not been asked for, and its own row shows none. The same holds for a
//! strategy whose requests all fail: that it fails is what was measured.
//!
//! Too few samples are a reason where not even a median can be told from chance ([`LEAST_SAMPLES`]). A run of 20
//! requests answers what its mean and its counts answer: the percentiles that it cannot certify carry a mark and a
//! footnote, and the tests of load and generator that need more samples do not judge.

mod generator;
mod load;
mod reason;

pub use generator::{BUSY_LEAST_S, BUSY_LIMIT, POLL_DELAY_FLOOR_US, SCARCE};
pub use load::{
    IN_FLIGHT_EMPTY_FLOOR_US, IN_FLIGHT_USED, LATENESS_DEGRADED, LATENESS_INVALID, NOT_SENT_INVALID,
    RATE_DEGRADED, RATE_INVALID, WAITED_DEGRADED,
};
pub use reason::Reason;

use fluxfleet_proto::failure::NotSentReason;

use super::certify::LEAST_SAMPLES;
use super::gpu::{GpuTrouble, Trouble};
use super::report::{ClockReport, FleetReport, Missing, StrategyReport};

/// A worker that begins farther from the planned instant than this makes the run degraded, in microseconds.
/// 5 ms is what clocks compared over a network of 10 ms round trips can promise, and small against anything
/// that a GPU answers.
pub const START_SKEW_LIMIT_US: i64 = 5_000;

/// A worker's clock less sure than this makes the run degraded, in microseconds: its start could be that late
/// without being seen.
pub const WORKER_CLOCK_ERROR_LIMIT_US: f64 = 5_000.0;

/// An agent's clock less sure than this makes the run degraded, in microseconds. Coarser than a worker's: a
/// reading describes the whole time since the one before it, some hundred milliseconds and more.
pub const AGENT_CLOCK_ERROR_LIMIT_US: f64 = 50_000.0;

/// Whether the numbers can be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The answer.
    pub state: State,
    /// Why it is not valid, the gravest first; empty when it is.
    pub reasons: Vec<Reason>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is known against the numbers.
    Valid,
    /// The numbers stand, with what the reasons take from them.
    Degraded,
    /// The numbers do not answer the question.
    Invalid,
}

impl State {
    /// Its name in `results.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Degraded => "degraded",
            Self::Invalid => "invalid",
        }
    }
}

/// The verdict on what was measured.
pub(super) fn judge(strategies: &[StrategyReport], fleet: &FleetReport, interrupted: bool) -> Verdict {
    let mut invalid = Vec::new();
    if strategies.iter().all(|s| s.items.ok == 0) {
        invalid.push(Reason::NothingSucceeded);
    }
    invalid.extend(strategies.iter().flat_map(sums));
    let mut degraded = Vec::new();
    if interrupted {
        degraded.push(Reason::Interrupted);
    }
    degraded.extend(lost(fleet));
    degraded.extend(strategies.iter().flat_map(unsent));
    degraded.extend(silent(fleet, strategies.iter().any(|s| s.measured.is_ok())));
    degraded.extend(strategies.iter().flat_map(troubled_gpus));
    degraded.extend(strategies.iter().flat_map(skewed));
    degraded.extend(unsure_clocks(fleet));
    degraded.extend(strategies.iter().filter_map(few));
    for graded in strategies.iter().flat_map(|s| load::judge(s).into_iter().chain(generator::judge(s))) {
        match graded {
            (State::Invalid, reason) => invalid.push(reason),
            (_, reason) => degraded.push(reason),
        }
    }
    let state = match (invalid.is_empty(), degraded.is_empty()) {
        (false, _) => State::Invalid,
        (true, false) => State::Degraded,
        (true, true) => State::Valid,
    };
    invalid.append(&mut degraded);
    Verdict { state, reasons: invalid }
}

fn sums(row: &StrategyReport) -> Vec<Reason> {
    let Ok(measured) = &row.measured else { return Vec::new() };
    let fleet = (!row.items.add_up()).then_some((None, row.items));
    let workers = measured.workers.iter().filter(|w| !w.items.add_up());
    let workers = workers.map(|w| (Some(w.worker.clone()), w.items));
    fleet
        .into_iter()
        .chain(workers)
        .map(|(worker, items)| Reason::DoesNotAddUp { strategy: row.name.clone(), worker, items })
        .collect()
}

fn lost(fleet: &FleetReport) -> Vec<Reason> {
    let workers = fleet.workers.iter().filter_map(|w| {
        let lost = w.lost.as_ref()?;
        Some(Reason::WorkerLost { worker: w.name.clone(), why: lost.why.clone() })
    });
    let agents = fleet.agents.iter().filter_map(|a| {
        let lost = a.lost.as_ref()?;
        Some(Reason::AgentLost { host: a.host.clone(), why: lost.why.clone() })
    });
    workers.chain(agents).collect()
}

fn unsent(row: &StrategyReport) -> Vec<Reason> {
    match &row.measured {
        Ok(measured) => measured
            .not_sent
            .iter()
            // As with a strategy that preflight left out: nothing else suffers from it.
            .filter(|&&(reason, _)| reason != NotSentReason::NoEndpoint)
            .map(|&(reason, items)| Reason::NotSent { strategy: row.name.clone(), reason, items })
            .collect(),
        Err(Missing::NotStarted(reason)) => {
            vec![Reason::NotStarted { strategy: row.name.clone(), reason: *reason }]
        }
        Err(_) => Vec::new(),
    }
}

/// Where nothing succeeded there is no response time to be unsure of.
fn few(row: &StrategyReport) -> Option<Reason> {
    let count = row.measured.as_ref().ok()?.response.count;
    let reason = Reason::TooFewSamples { strategy: row.name.clone(), count, least: LEAST_SAMPLES };
    (1..LEAST_SAMPLES).contains(&count).then_some(reason)
}

/// An agent that had nothing to watch may well have no sample.
fn silent(fleet: &FleetReport, watched: bool) -> Vec<Reason> {
    fleet
        .agents
        .iter()
        .filter_map(|a| {
            if a.gaps > 0 {
                Some(Reason::SampleGaps { host: a.host.clone(), samples: a.gaps })
            } else if watched && a.samples == 0 {
                Some(Reason::AgentSilent { host: a.host.clone() })
            } else {
                None
            }
        })
        .collect()
}

fn troubled_gpus(row: &StrategyReport) -> Vec<Reason> {
    let Ok(measured) = &row.measured else { return Vec::new() };
    let reason = |trouble: &GpuTrouble| {
        let GpuTrouble { host, gpu, what } = trouble.clone();
        let strategy = row.name.clone();
        match what {
            Trouble::Gone(why) => Reason::GpuGone { strategy, host, gpu, why },
            Trouble::Xid { number, times } => Reason::GpuXid { strategy, host, gpu, number, times },
        }
    };
    measured.gpus.troubles.iter().map(reason).collect()
}

fn skewed(row: &StrategyReport) -> Vec<Reason> {
    let Ok(measured) = &row.measured else { return Vec::new() };
    measured
        .workers
        .iter()
        .filter_map(|w| {
            let skew_us = w.start_skew_us?;
            (skew_us.saturating_abs() > START_SKEW_LIMIT_US).then(|| Reason::StartSkew {
                strategy: row.name.clone(),
                worker: w.worker.clone(),
                skew_us,
            })
        })
        .collect()
}

fn unsure_clocks(fleet: &FleetReport) -> Vec<Reason> {
    let unsure = |peer: &str, clock: Option<ClockReport>, lost: bool, limit: f64| match clock {
        Some(clock) if clock.steps > 0 => Some(Reason::ClockStepped {
            peer: peer.to_owned(),
            steps: clock.steps,
            error_us: clock.most_error_us,
        }),
        Some(clock) if clock.most_error_us > limit => {
            Some(Reason::UnsureClock { peer: peer.to_owned(), error_us: Some(clock.most_error_us) })
        }
        // A peer that vanished has a graver reason already.
        None if !lost => Some(Reason::UnsureClock { peer: peer.to_owned(), error_us: None }),
        _ => None,
    };
    let workers = fleet
        .workers
        .iter()
        .filter_map(|w| unsure(&w.name, w.clock, w.lost.is_some(), WORKER_CLOCK_ERROR_LIMIT_US));
    let agents = fleet
        .agents
        .iter()
        .filter_map(|a| unsure(&a.host, a.clock, a.lost.is_some(), AGENT_CLOCK_ERROR_LIMIT_US));
    workers.chain(agents).collect()
}

#[cfg(test)]
mod tests {
    use fluxfleet_proto::failure::FailureKind;

    use super::*;
    use crate::aggregate::{Ending, RunOutcome};
    use crate::analysis::note::Note;
    use crate::analysis::report::Items;
    use crate::analysis::testing::{RunSketch, Sketch, lost, peer_clock, seed_run, stopped_run, trial};
    use crate::analysis::{Report, ScoreSettings, analyse};

    fn report(run: RunSketch) -> Report {
        analyse(&run.done(), &ScoreSettings::default())
    }

    fn verdict_with(change: impl FnOnce(&mut RunOutcome)) -> Verdict {
        report(seed_run().with(change)).verdict
    }

    #[test]
    fn a_run_without_trouble_is_valid_without_reasons() {
        assert_eq!(report(seed_run()).verdict, Verdict { state: State::Valid, reasons: Vec::new() });
    }

    #[test]
    fn a_run_in_which_nothing_succeeded_is_invalid() {
        let failing = Sketch::new("a", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Timeout, 20, "none");
        for run in [
            RunSketch::new().ran(failing),
            RunSketch::new().ended("a", Ending::Skipped("404".into())),
            RunSketch::new(),
        ] {
            let verdict = report(run).verdict;
            assert_eq!(verdict.state, State::Invalid);
            assert_eq!(verdict.reasons, [Reason::NothingSucceeded]);
        }
    }

    #[test]
    fn items_that_do_not_add_up_make_the_run_invalid_by_fleet_and_by_worker() {
        let verdict = verdict_with(|run| {
            trial(run, 1).items_planned = 21;
            trial(run, 2).workers[0].items_ok = 19;
        });
        assert_eq!(verdict.state, State::Invalid);
        let items = Items { planned: 21, ok: 20, failed: 0, not_sent: 0 };
        let of_worker = Items { planned: 20, ok: 19, failed: 0, not_sent: 0 };
        assert_eq!(
            verdict.reasons,
            [
                Reason::DoesNotAddUp { strategy: "model_pool".into(), worker: None, items },
                Reason::DoesNotAddUp {
                    strategy: "batch".into(),
                    worker: Some("worker-1".into()),
                    items: of_worker
                },
            ]
        );
    }

    #[test]
    fn a_stopped_run_is_degraded_and_names_what_it_left() {
        let report = report(stopped_run());
        assert!(report.partial);
        assert_eq!(report.verdict.state, State::Degraded);
        assert_eq!(
            report.verdict.reasons,
            [
                Reason::Interrupted,
                Reason::NotSent {
                    strategy: "model_pool".into(),
                    reason: NotSentReason::Interrupted,
                    items: 8
                },
                Reason::NotStarted { strategy: "batch".into(), reason: NotSentReason::Interrupted },
            ]
        );
    }

    #[test]
    fn lost_peers_and_lost_samples_degrade() {
        let verdict = verdict_with(|run| {
            run.workers[0].lost = Some(lost(5, "silence"));
            run.workers[0].clock = None;
            run.agents[0].lost = Some(lost(5, "silence"));
            run.agents[0].gaps = 2;
        });
        assert_eq!(verdict.state, State::Degraded);
        assert_eq!(
            verdict.reasons,
            [
                Reason::WorkerLost { worker: "worker-1".into(), why: "silence".into() },
                Reason::AgentLost { host: "gpu-host-1".into(), why: "silence".into() },
                Reason::SampleGaps { host: "gpu-host-1".into(), samples: 2 },
            ]
        );
    }

    #[test]
    fn an_uneven_start_degrades_only_beyond_the_limit() {
        let with = |skew| verdict_with(|run| trial(run, 0).workers[0].start_skew_us = Some(skew)).reasons;
        assert_eq!(with(5_000), []);
        assert_eq!(with(-5_000), []);
        let (strategy, worker) = ("baseline".to_owned(), "worker-1".to_owned());
        assert_eq!(with(-5_001), [Reason::StartSkew { strategy, worker, skew_us: -5_001 }]);
    }

    #[test]
    fn an_unsure_clock_degrades_a_workers_sooner_than_an_agents() {
        let clock = |us: u64| Some(peer_clock(0, us * 1_000));
        let verdict = verdict_with(|run| {
            run.workers[0].clock = clock(5_001);
            run.agents[0].clock = clock(5_001);
        });
        let unsure = |peer: &str, error_us| Reason::UnsureClock { peer: peer.into(), error_us };
        assert_eq!(verdict.reasons, [unsure("worker-1", Some(5_001.0))]);
        let verdict = verdict_with(|run| {
            run.workers[0].clock = None;
            run.agents[0].clock = clock(50_001);
        });
        assert_eq!(verdict.reasons, [unsure("worker-1", None), unsure("gpu-host-1", Some(50_001.0))]);
    }

    #[test]
    fn hardly_a_sample_degrades_and_none_that_succeeded_does_not() {
        let of = |items| report(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0).items(items))).verdict;
        let few = |count| Reason::TooFewSamples { strategy: "a".into(), count, least: 5 };
        assert_eq!(of(1), Verdict { state: State::Degraded, reasons: vec![few(1)] });
        assert_eq!(of(4), Verdict { state: State::Degraded, reasons: vec![few(4)] });
        assert_eq!(of(5), Verdict { state: State::Valid, reasons: Vec::new() });
        let failing = Sketch::new("b", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Timeout, 20, "none");
        let both = report(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0).items(5)).ran(failing));
        assert_eq!(both.verdict.state, State::Valid);
    }

    #[test]
    fn a_skipped_strategy_is_a_note_and_leaves_the_state_alone() {
        let report = report(seed_run().ended("extra", Ending::Skipped("404".into())));
        assert_eq!(report.verdict.state, State::Valid);
        assert_eq!(report.notes, [Note::Skipped { strategy: "extra".into(), why: "404".into() }]);
    }
}

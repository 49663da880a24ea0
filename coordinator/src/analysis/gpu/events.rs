//! What happened to GPUs during a run.

use std::time::Duration;

use fluxfleet_proto::reading::{Absence, AbsenceReason, GpuEventKind};

use crate::aggregate::{Ending, RunOutcome, TrialOutcome};

/// Something that happened to a GPU.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuHappening {
    /// When it was noticed: wall time since the Unix epoch.
    pub at: Duration,
    /// How wrong that may be, in microseconds.
    pub error_us: f64,
    /// The GPU's host.
    pub host: String,
    /// The GPU's UUID. `None`: all of the host, or the driver does not say.
    pub gpu: Option<String>,
    /// What.
    pub kind: GpuEventKind,
    /// The strategy that ran then.
    pub strategy: Option<String>,
}

/// What happened to a GPU during a trial and takes something from its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuTrouble {
    /// The GPU's host.
    pub host: String,
    /// The GPU's UUID. `None`: all of the host, or the driver does not say.
    pub gpu: Option<String>,
    /// What.
    pub what: Trouble,
}

/// What takes something from a GPU's figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// It could not be read for some of the time.
    Gone(Absence),
    /// The driver reported an error of this number, so many times.
    Xid {
        /// The number.
        number: u64,
        /// How often.
        times: u64,
    },
}

/// Everything that happened, by time.
pub(in crate::analysis) fn happenings(run: &RunOutcome) -> Vec<GpuHappening> {
    let mut all = Vec::new();
    for placed in &run.samples {
        let Some(agent) = run.agents.iter().find(|a| a.peer == placed.agent) else { continue };
        let strategy = run.strategies.iter().find_map(|strategy| match &strategy.ending {
            Ending::Ran(trial) => {
                let window = trial.window?;
                let within = placed.at >= window.from && placed.at <= window.to;
                within.then(|| strategy.planned.strategy.name.clone())
            }
            Ending::Skipped(_) | Ending::NotStarted(_) => None,
        });
        all.extend(placed.sample.events.iter().map(|event| GpuHappening {
            at: run.wall(placed.at),
            error_us: placed.error_ns as f64 / 1e3,
            host: agent.hello.host.clone(),
            gpu: event.uuid.as_ref().map(ToString::to_string),
            kind: event.kind.clone(),
            strategy: strategy.clone(),
        }));
    }
    all
}

/// What happened during a trial, each GPU's once: errors of the driver, and GPUs that were gone, be it from before.
///
/// Agents notice with the normal lane, so what they tell of within a period after the window counts as well.
pub(super) fn troubles(run: &RunOutcome, trial: &TrialOutcome) -> Vec<GpuTrouble> {
    let Some(window) = trial.window else { return Vec::new() };
    let until = window.to + run.plan.sample_period;
    let mut troubles: Vec<GpuTrouble> = Vec::new();
    for placed in run.samples.iter().filter(|placed| placed.at <= until) {
        let Some(agent) = run.agents.iter().find(|a| a.peer == placed.agent) else { continue };
        for event in &placed.sample.events {
            let gpu = event.uuid.as_ref().map(ToString::to_string);
            let host = &agent.hello.host;
            let before = placed.at < window.from;
            match &event.kind {
                // Back before the window: nothing of it is left in there.
                GpuEventKind::Back if before => {
                    troubles.retain(|t| t.host != *host || gpu.is_some() && t.gpu.is_some() && t.gpu != gpu);
                }
                GpuEventKind::Xid(_) | GpuEventKind::Found(_) if before => {}
                GpuEventKind::Back => {}
                GpuEventKind::Found(_) => {
                    let late =
                        Absence::new(AbsenceReason::NotYet, "it was found after the strategy had begun");
                    add(&mut troubles, host, gpu, Trouble::Gone(late));
                }
                GpuEventKind::Gone(absence) => {
                    let gone = Trouble::Gone(absence.clone());
                    add(&mut troubles, host, gpu, gone);
                }
                GpuEventKind::Xid(number) => {
                    add(&mut troubles, host, gpu, Trouble::Xid { number: *number, times: 1 });
                }
            }
        }
    }
    troubles
}

/// Adds a trouble, or counts it with its like. Of a GPU that is gone the first reason counts.
fn add(troubles: &mut Vec<GpuTrouble>, host: &str, gpu: Option<String>, what: Trouble) {
    for known in troubles.iter_mut().filter(|t| t.host == host && t.gpu == gpu) {
        match (&mut known.what, &what) {
            (Trouble::Gone(_), Trouble::Gone(_)) => return,
            (Trouble::Xid { number, times }, Trouble::Xid { number: other, .. }) if number == other => {
                *times += 1;
                return;
            }
            _ => {}
        }
    }
    troubles.push(GpuTrouble { host: host.to_owned(), gpu, what });
}

//! What a trial did to each GPU: energy, power, utilization, memory, throttling; and what happened to GPUs.
//!
//! ```text
//!   placed samples --log--> one GPU's readings over the run --+-- energy: by the counter, else by power
//!                                                             +-- idle: power before the first trial
//!                                                             +-- held: utilization, throttling, for how long
//!                                                             |
//!                                      figures of one GPU <---+
//!                                            |  total: added up, over GPUs and hosts
//!                                            v
//!                                      figures of a trial
//! ```

pub mod energy;
pub mod events;
mod figures;
mod held;
mod idle;
mod log;
pub mod span;
#[cfg(test)]
mod tests;
mod total;

pub use energy::{Energy, EnergySource};
pub use events::{GpuHappening, GpuTrouble, Trouble};
pub use figures::{GpuFigures, Idle, Utilization};
pub use idle::{IDLE_LEAST, IDLE_LEAST_READINGS};
pub use span::{Measure, Span, Taken};

use fluxfleet_proto::clock::Mono;

use crate::aggregate::{Ending, RunOutcome, TrialOutcome};

use super::report::Missing;
use log::GpuLog;

/// A trial's GPUs.
#[derive(Clone, Debug, PartialEq)]
pub struct GpusReport {
    /// Each of all hosts, in the order in which their agents joined; instances of partitioned ones among them.
    pub gpus: Vec<GpuReport>,
    /// All of them but for instances, whose GPU is among them as a whole.
    pub total: TotalReport,
    /// What happened to them meanwhile and takes something from the figures.
    pub troubles: Vec<GpuTrouble>,
}

/// One GPU in a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuReport {
    /// Its host.
    pub host: String,
    /// Its UUID.
    pub uuid: String,
    /// Marketing name.
    pub name: String,
    /// UUID of the GPU that it is an instance of.
    pub parent: Option<String>,
    /// What the trial did to it.
    pub figures: GpuFigures,
}

/// All GPUs in a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct TotalReport {
    /// How many there are, instances not counted.
    pub gpus: usize,
    /// On how many hosts.
    pub hosts: usize,
    /// Energies, powers and memory added up; utilization and throttling as means over the GPUs.
    pub figures: GpuFigures,
}

/// The readings of every GPU over a run, taken apart once for all its trials.
#[derive(Debug)]
pub struct GpuLogs<'a> {
    run: &'a RunOutcome,
    logs: Vec<GpuLog>,
    /// How wrong the edges of windows may be, in nanoseconds.
    edge_error_ns: u64,
    /// When the first trial began.
    first_trial: Option<Mono>,
}

impl<'a> GpuLogs<'a> {
    /// Takes a run's samples apart.
    pub fn of(run: &'a RunOutcome) -> Self {
        let starts = run.strategies.iter().filter_map(|strategy| match &strategy.ending {
            Ending::Ran(trial) => trial.planned_start.or(trial.window.map(|w| w.from)),
            Ending::Skipped(_) | Ending::NotStarted(_) => None,
        });
        let clocks = run.workers.iter().filter_map(|w| w.clock).map(|clock| clock.most_error_ns);
        Self {
            run,
            logs: log::logs(run),
            edge_error_ns: clocks.max().unwrap_or(0),
            first_trial: starts.min(),
        }
    }

    /// What a trial did to the GPUs.
    pub fn trial(&self, trial: &TrialOutcome) -> GpusReport {
        let span =
            trial.window.map(|window| Span::new(window, self.edge_error_ns)).ok_or(Missing::NothingSent);
        let one = |log: &GpuLog| GpuReport {
            host: log.host.clone(),
            uuid: log.device.uuid.to_string(),
            name: log.device.name.clone(),
            parent: log.device.parent.as_ref().map(ToString::to_string),
            figures: match &span {
                Ok(span) => figures::figures(log, *span, trial, self.first_trial),
                Err(why) => GpuFigures::absent(why),
            },
        };
        let gpus: Vec<_> = self.logs.iter().map(one).collect();
        let total = total::total(self.run, &gpus);
        GpusReport { gpus, total, troubles: events::troubles(self.run, trial) }
    }
}

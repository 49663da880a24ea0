//! The processes that the agent is told to watch, such as the inference service's.
//!
//! | module | duty |
//! |---|---|
//! | `table` | which processes are watched |
//! | `stat` | what the kernel tells of one |
//! | `usage` | processor time of them all |

mod stat;
mod table;
#[cfg(test)]
mod tests;
mod usage;

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{Absence, AbsenceReason, Readings};

use super::files::Proc;
use crate::config::Watched;
use table::{Found, Table};
use usage::{Group, Usage};

/// Least time between two readings: with many GPUs the slow lane comes by more often. A little less than a second,
/// so that a lane of a second is not halved by a reading that came a moment late.
const LEAST_BETWEEN: Duration = Duration::from_millis(900);

const METRICS: [HostMetric; 3] =
    [HostMetric::ProcessCpuPercent, HostMetric::ProcessMemoryBytes, HostMetric::Processes];

/// Processes of which nothing can be read.
pub(in crate::collect) fn all_absent(absence: &Absence) -> Readings<HostMetric> {
    METRICS.into_iter().map(|metric| (metric, Err(absence.clone()))).collect()
}

/// Reads the watched processes: processor time, resident memory, and how many they are.
#[derive(Debug)]
pub(in crate::collect) struct Processes {
    watched: Vec<Watched>,
    table: Table,
    usage: Usage,
    last: Option<Mono>,
}

impl Processes {
    pub(in crate::collect) fn new(watched: Vec<Watched>) -> Self {
        Self::at(Proc::default(), watched)
    }

    fn at(proc: Proc, watched: Vec<Watched>) -> Self {
        let usage = Usage::new(rustix::param::clock_ticks_per_second());
        Self { table: Table::new(proc, watched.clone()), watched, usage, last: None }
    }

    /// The readings at `now`; none where the last ones are too fresh.
    pub(in crate::collect) fn read(&mut self, now: Mono) -> Readings<HostMetric> {
        if self.last.is_some_and(|last| now.since(last) < LEAST_BETWEEN) {
            return Readings::default();
        }
        self.last = Some(now);
        let Found { group, hidden } = match self.table.find(now) {
            Ok(found) => found,
            Err(absence) => return all_absent(&absence),
        };
        let cpu = self.usage.percent(now, &group, |pid| self.table.lives(pid));
        let there = group.values().filter(|member| !member.stat.ended).count();
        if there == 0 {
            return all_absent(&self.nobody(hidden));
        }
        Readings::default()
            .with(HostMetric::ProcessCpuPercent, cpu)
            .with(HostMetric::ProcessMemoryBytes, Ok(resident(&group)))
            .with(HostMetric::Processes, Ok(there as f64))
    }

    fn nobody(&self, hidden: Option<Absence>) -> Absence {
        let wanted: Vec<String> = self.watched.iter().map(|watched| format!("no {watched}")).collect();
        let nobody = wanted.join(" and ");
        match hidden {
            None => Absence::new(AbsenceReason::Lost, format!("{nobody} is there")),
            Some(why) => {
                Absence::new(why.reason, format!("{nobody} among those that can be read; {}", why.detail))
            }
        }
    }
}

/// Resident memory in bytes. What processes share counts for each of them.
fn resident(group: &Group) -> f64 {
    let pages: u64 = group.values().map(|member| member.stat.pages).sum();
    pages as f64 * rustix::param::page_size() as f64
}

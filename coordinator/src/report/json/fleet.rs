//! Workers and agents.

use serde::Serialize;

use crate::analysis::report::{AgentReport, ClockReport, FleetReport, LostReport, WorkerReport};

use super::stream::rfc3339;

#[derive(Serialize)]
pub(super) struct Fleet<'a> {
    workers: Vec<Worker<'a>>,
    agents: Vec<Agent<'a>>,
    no_agent: Option<&'a str>,
}

#[derive(Serialize)]
struct Worker<'a> {
    name: &'a str,
    host: &'a str,
    version: &'a str,
    threads: u32,
    items_planned: u64,
    items_ok: u64,
    items_failed: u64,
    items_not_sent: u64,
    start_skew_us: Option<i64>,
    #[serde(flatten)]
    peer: Peer<'a>,
}

#[derive(Serialize)]
struct Agent<'a> {
    host: &'a str,
    version: &'a str,
    devices: Vec<Device<'a>>,
    devices_absent: Option<String>,
    samples: u64,
    gaps: u64,
    #[serde(flatten)]
    peer: Peer<'a>,
}

#[derive(Serialize)]
struct Device<'a> {
    uuid: &'a str,
    name: &'a str,
}

/// What workers and agents have in common.
#[derive(Serialize)]
struct Peer<'a> {
    clock_offset_us: Option<f64>,
    clock_error_us: Option<f64>,
    clock_error_min_us: Option<f64>,
    clock_error_max_us: Option<f64>,
    clock_exchanges: u64,
    clock_steps: u64,
    state: &'static str,
    lost_at: Option<String>,
    lost_why: Option<&'a str>,
}

impl<'a> Peer<'a> {
    fn of(clock: Option<ClockReport>, lost: Option<&'a LostReport>) -> Self {
        Self {
            clock_offset_us: clock.map(|c| c.offset_us),
            clock_error_us: clock.map(|c| c.error_us),
            clock_error_min_us: clock.map(|c| c.least_error_us),
            clock_error_max_us: clock.map(|c| c.most_error_us),
            clock_exchanges: clock.map_or(0, |c| c.exchanges),
            clock_steps: clock.map_or(0, |c| c.steps),
            state: if lost.is_some() { "lost" } else { "present" },
            lost_at: lost.map(|l| rfc3339(l.at)),
            lost_why: lost.map(|l| l.why.as_str()),
        }
    }
}

impl<'a> Fleet<'a> {
    pub(super) fn of(fleet: &'a FleetReport) -> Self {
        Self {
            workers: fleet.workers.iter().map(worker).collect(),
            agents: fleet.agents.iter().map(agent).collect(),
            no_agent: fleet.no_agent.as_deref(),
        }
    }
}

fn worker(of: &WorkerReport) -> Worker<'_> {
    Worker {
        name: &of.name,
        host: &of.host,
        version: &of.version,
        threads: of.threads,
        items_planned: of.items.planned,
        items_ok: of.items.ok,
        items_failed: of.items.failed,
        items_not_sent: of.items.not_sent,
        start_skew_us: of.start_skew_us,
        peer: Peer::of(of.clock, of.lost.as_ref()),
    }
}

fn agent(of: &AgentReport) -> Agent<'_> {
    Agent {
        host: &of.host,
        version: &of.version,
        devices: of.devices.iter().flatten().map(|d| Device { uuid: &d.uuid.0, name: &d.name }).collect(),
        devices_absent: of.devices.as_ref().err().map(ToString::to_string),
        samples: of.samples,
        gaps: of.gaps,
        peer: Peer::of(of.clock, of.lost.as_ref()),
    }
}

//! What was measured: the turns and their summaries, nothing worked out for show.

use serde::Serialize;

use super::machine::Machine;
use crate::stats::{Summary, summarise};
use crate::tools::Tool;

/// Everything that the document says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// How it was measured.
    pub method: Method,
    /// The generators measured.
    pub tools: Vec<Version>,
    /// Generators that could not be measured.
    pub absent: Vec<Missing>,
    /// Jobs that a generator did not do.
    pub failed: Vec<Missing>,
    /// Send punctuality, by rate and tool.
    pub pacing: Vec<Pacing>,
    /// Requests a second on one core.
    pub throughput: Vec<Throughput>,
    /// Two cores beside one.
    pub scaling: Vec<Scaling>,
    /// Memory per request in flight.
    pub memory: Vec<Memory>,
}

impl Report {
    /// The rates at which punctuality was measured, from the lowest on.
    pub fn rates(&self) -> Vec<u32> {
        let mut rates: Vec<_> = self.pacing.iter().map(|r| r.rate).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }
}

/// How it was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Method {
    /// Turns of each job.
    pub turns: usize,
    /// Length of a turn in seconds.
    pub turn_s: u64,
    /// Whether generator and server had a core each.
    pub pinned: bool,
    /// Whether this is the small version.
    pub quick: bool,
}

/// A generator and its version.
#[derive(Clone, Debug, Serialize)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// Its version, as it states it.
    pub version: String,
}

/// Something that there is no figure of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The generator, or the generator and its job.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// Measurements of one thing, turn by turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Turns(pub Vec<f64>);

impl Turns {
    /// Median and spread; `None` without any turn.
    pub fn summary(&self) -> Option<Summary> {
        summarise(&self.0)
    }

    /// The median; `None` without any turn.
    pub fn median(&self) -> Option<f64> {
        self.summary().map(|s| s.median)
    }
}

/// Send punctuality of one generator at one rate, as the server saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Pacing {
    /// The generator.
    pub tool: Tool,
    /// The rate asked for, a second.
    pub rate: u32,
    /// Median distance from the grid, in microseconds.
    pub p50_us: Turns,
    /// 99th percentile of the distance from the grid, in microseconds.
    pub p99_us: Turns,
    /// Largest distance from the grid, in microseconds.
    pub max_us: Turns,
    /// 99th percentile of the time between two arrivals, in microseconds.
    pub gap_p99_us: Turns,
    /// Arrivals for each one asked for.
    pub arrived: Turns,
    /// Share of a core that the generator took, from its start to its end, over the length of the turn.
    pub core: Turns,
    /// The same of fluxfleet's coordinator.
    pub coordinator_core: Turns,
}

/// Requests a second of one generator on one core.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    /// The generator.
    pub tool: Tool,
    /// Requests a second, as the server saw them.
    pub rate: Turns,
    /// Requests a second, as the generator says.
    pub claimed: Turns,
    /// Processor time of the generator per request, in microseconds.
    pub cpu_us: Turns,
    /// Share of its core that the generator took.
    pub core: Turns,
    /// Share of its core that the server took.
    pub server_core: Turns,
    /// Requests a second for each of wrk's in the same turn; none without wrk.
    pub to_wrk: Turns,
}

/// One generator on one core and on two, the server sharing each of them.
#[derive(Clone, Debug, Serialize)]
pub struct Scaling {
    /// What ran.
    pub what: Pairing,
    /// Requests a second on one core.
    pub one: Turns,
    /// Requests a second on two.
    pub two: Turns,
    /// The second for each of the first, turn by turn.
    pub ratio: Turns,
    /// Processor time of generator and server per request on one core, in microseconds.
    pub one_cpu_us: Turns,
    /// The same on two.
    pub two_cpu_us: Turns,
}

/// What shares the two cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// One process of this generator with a load thread for each core.
    Threads(Tool),
    /// A process of this generator and a server for each core, with nothing in common: what the machine gives.
    Apart(Tool),
}

/// Memory per request in flight of one generator.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    /// The generator.
    pub tool: Tool,
    /// Requests in flight.
    pub requests: u32,
    /// Resident with few of them, in kB.
    pub few_kb: Turns,
    /// Resident with all of them, in kB.
    pub many_kb: Turns,
    /// kB for each.
    pub each_kb: Turns,
}

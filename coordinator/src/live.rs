//! What is seen while a run goes on.

mod lines;
mod notice;
mod terminal;
mod text;

use std::io::IsTerminal as _;
use std::time::Duration;

use fluxfleet_proto::load::Warmup;

pub use lines::Lines;
pub use notice::notice;
pub use terminal::Terminal;
pub use text::{gpu_event, left_out, listening, stopping, tripped, wrote};

use crate::plan::OutputPlan;

/// Where a run shows what it is doing. Nothing here changes the run.
pub trait Live: Send {
    /// Something worth a line of its own: a peer joined, was lost, was refused.
    fn note(&mut self, text: &str);
    /// The fleet is being assembled; called again as it changes.
    fn assembling(&mut self, view: &AssemblyView);
    /// A strategy's trial begins.
    fn trial_begins(&mut self, view: &TrialView);
    /// The trial goes on; called a few times a second.
    fn trial_moves(&mut self, view: &TrialView);
    /// The trial is over.
    fn trial_ends(&mut self, view: &TrialView);
    /// A pause before the next strategy.
    fn cooling_down(&mut self, pause: Duration);
    /// Everything is over; what was drawn is cleared away.
    fn finish(&mut self);
}

/// Who has joined and who is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssemblyView {
    /// Names of the workers there.
    pub workers: Vec<String>,
    /// Workers waited for.
    pub workers_wanted: u32,
    /// Hosts of the agents there.
    pub agents: Vec<String>,
    /// Agents waited for.
    pub agents_wanted: u32,
    /// Time left to wait.
    pub left: Duration,
}

impl AssemblyView {
    /// Whether everybody is there.
    pub fn complete(&self) -> bool {
        self.workers.len() >= self.workers_wanted as usize && self.agents.len() >= self.agents_wanted as usize
    }
}

/// How a trial goes.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialView {
    /// The strategy's name.
    pub strategy: String,
    /// Items that end it. `None`: only a time does.
    pub items: Option<u64>,
    /// Measured time that ends it. `None`: only its items do.
    pub length: Option<Duration>,
    /// What comes before measuring.
    pub warmup: Warmup,
    /// What is asked of the service.
    pub asked: Asked,
    /// Requests in flight that an open load may reach. `None`: any number.
    pub max_in_flight: Option<u32>,
    /// Items planned. `None`: that is not known beforehand.
    pub planned: Option<u64>,
    /// Time until nothing more is sent. `None`: its items decide.
    pub left: Option<Duration>,
    /// Items of the warm-up that ended.
    pub warmed: u64,
    /// Measured items that ended, well or not.
    pub ended: u64,
    /// Items that failed.
    pub failed: u64,
    /// Items given up unsent so far.
    pub not_sent: u64,
    /// Requests in flight, by the latest reports.
    pub in_flight: u64,
    /// Time since the start barrier.
    pub elapsed: Duration,
    /// Time since measuring began; zero before it.
    pub measured: Duration,
    /// 95 % of the requests so far took no longer, in seconds. `None` before the first success.
    pub p95_s: Option<f64>,
    /// Latest mean GPU utilization in percent. `None` without a reading.
    pub gpu_percent: Option<f64>,
    /// Workers that take part now.
    pub workers: usize,
    /// Workers that began.
    pub workers_begun: usize,
}

/// What is asked of the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Asked {
    /// This number of requests held in flight.
    InFlight(u32),
    /// One rate throughout, in items a second.
    Rate(f64),
    /// Rates in stages; the one of this moment, in items a second.
    Stages(f64),
    /// What a file says.
    Replay,
}

impl TrialView {
    /// Measured items ended per second so far. `None` before measuring began.
    pub fn items_per_s(&self) -> Option<f64> {
        let s = self.measured.as_secs_f64();
        (s > 0.0).then(|| self.ended as f64 / s)
    }
}

/// Shows nothing.
#[derive(Debug)]
pub struct Silent;

impl Live for Silent {
    fn note(&mut self, _: &str) {}
    fn assembling(&mut self, _: &AssemblyView) {}
    fn trial_begins(&mut self, _: &TrialView) {}
    fn trial_moves(&mut self, _: &TrialView) {}
    fn trial_ends(&mut self, _: &TrialView) {}
    fn cooling_down(&mut self, _: Duration) {}
    fn finish(&mut self) {}
}

/// What suits the output: nothing when quiet, one live line on a terminal, plain lines elsewhere. Everything goes
/// to standard error; standard output is the report's.
pub fn choose(output: &OutputPlan) -> Box<dyn Live> {
    if output.quiet {
        Box::new(Silent)
    } else if std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb") {
        Box::new(Terminal::new(output.lang))
    } else {
        Box::new(Lines::new(output.lang, std::io::stderr()))
    }
}

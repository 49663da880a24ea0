//! What fluxfleet is held to: the bars, and whether the medians meet them.

use super::report::{Pairing, Report, Turns};
use super::show::{Show, spread, table};
use crate::tools::Tool;

/// Largest 99th percentile of the distance from the grid, in microseconds.
const PACING_BAR_US: f64 = 100.0;
/// The rate at which the idle cost is looked at, a second.
const IDLE_RATE: u32 = 1_000;
/// Largest share of a core at that rate.
const IDLE_BAR: f64 = 0.05;
/// Least requests for each of wrk's.
const WRK_BAR: f64 = 1.15;
/// Least requests on two cores for each on one.
const SCALING_BAR: f64 = 1.8;
/// Most kB per request in flight.
const MEMORY_BAR_KB: f64 = 10.0;

/// A figure that has to reach a bar.
struct Bar {
    figure: String,
    held_to: String,
    measured: String,
    /// The same of the bare socket loop.
    bare: String,
    met: Option<bool>,
}

impl Bar {
    fn new(figure: String, held_to: String, turns: Option<&Turns>, show: Show, met: fn(f64) -> bool) -> Self {
        let median = turns.and_then(Turns::median);
        Self {
            figure,
            held_to,
            measured: turns.map_or_else(|| "not measured".to_owned(), |t| spread(t, show)),
            bare: "-".to_owned(),
            met: median.map(met),
        }
    }

    /// Beside what the bare socket loop has.
    fn beside(self, bare: Option<&Turns>, show: Show) -> Self {
        Self { bare: bare.map_or(self.bare, |turns| spread(turns, show)), ..self }
    }
}

/// What fluxfleet is held to, and whether it is.
pub(super) fn bars(report: &Report) -> String {
    let pacing = |tool, rate| report.pacing.iter().find(|r| r.tool == tool && r.rate == rate);
    let to_wrk = |tool| report.throughput.iter().find(|r| r.tool == tool).map(|r| &r.to_wrk);
    let mut bars: Vec<_> = super::pacing::RATES
        .into_iter()
        .map(|rate| {
            Bar::new(
                format!("arrivals off the grid at {rate}/s, p99"),
                format!("at most {PACING_BAR_US} us"),
                pacing(Tool::Fluxfleet, rate).map(|r| &r.p99_us),
                Show::Whole(" us"),
                |us| us <= PACING_BAR_US,
            )
            .beside(pacing(Tool::Sockets, rate).map(|r| &r.p99_us), Show::Whole(" us"))
        })
        .collect();
    bars.push(Bar::new(
        format!("one worker's share of a core at {IDLE_RATE}/s"),
        format!("under {} %", IDLE_BAR * 100.0),
        pacing(Tool::Fluxfleet, IDLE_RATE).map(|r| &r.core),
        Show::Percent,
        |share| share < IDLE_BAR,
    ));
    bars.push(
        Bar::new(
            "requests/s of one core for each of wrk's".to_owned(),
            format!("at least {WRK_BAR} x"),
            to_wrk(Tool::Fluxfleet),
            Show::Times,
            |ratio| ratio >= WRK_BAR,
        )
        .beside(to_wrk(Tool::Sockets), Show::Times),
    );
    bars.push(Bar::new(
        "two cores beside one".to_owned(),
        format!("at least {SCALING_BAR} x"),
        report.scaling.iter().find(|r| r.what == Pairing::Threads(Tool::FluxfleetEngine)).map(|r| &r.ratio),
        Show::Times,
        |ratio| ratio >= SCALING_BAR,
    ));
    let memory = report.memory.iter().find(|r| r.tool == Tool::Fluxfleet);
    bars.push(Bar::new(
        memory.map_or_else(
            || "memory per request in flight".to_owned(),
            |r| format!("memory per request in flight, {} of them", r.requests),
        ),
        format!("at most {MEMORY_BAR_KB} kB"),
        memory.map(|r| &r.each_kb),
        Show::Tenths(" kB"),
        |kb| kb <= MEMORY_BAR_KB,
    ));
    let rows = bars.into_iter().map(|b| {
        let met = match b.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "-",
        };
        vec![b.figure, b.held_to, b.measured, met.to_owned(), b.bare]
    });
    let columns = ["figure", "bar", "measured", "verdict on the median", "a bare socket loop"];
    format!(
        "## What fluxfleet is held to\n\n{}\n\
         The bare socket loop writes and reads, and nothing else; given a rate, it never sleeps and has its core to itself.\n\
         It is what the machine gave in the same run.\n",
        table(&columns, rows)
    )
}

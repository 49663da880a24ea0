//! Every figure of the generator beside its peers', taken in turns, and the document of them.
//!
//! ```text
//!   find tools -> pacing, throughput, scaling, memory (each: A B C A B C ..) -> Report -> document
//!                      |                                                          |
//!                      +-- tools::drive on one core, server on the other          +-> JSON
//! ```
//!
//! | file | duty |
//! |---|---|
//! | [`mod@bench`] | what all measurements share: tools, cores, what went wrong |
//! | [`pacing`], [`throughput`], [`scaling`], [`memory`] | one figure each |
//! | [`report`] | what was measured |
//! | [`document`], `bars`, `show` | the report as Markdown; they measure nothing |
//! | [`machine`] | what it was measured on |

mod bars;
pub mod bench;
pub mod document;
pub mod machine;
pub mod memory;
pub mod pacing;
pub mod report;
pub mod scaling;
mod show;
pub mod throughput;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::tools::Tool;
use bench::Bench;
use machine::Machine;
use report::{Method, Report};

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Section {
    /// Send punctuality and idle cost.
    Pacing,
    /// Requests a second on one core.
    Throughput,
    /// Two cores beside one.
    Scaling,
    /// Memory per request in flight.
    Memory,
}

/// What to compare and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The small version: fluxfleet, wrk and bare sockets only, pacing and throughput only, few and short turns.
    pub quick: bool,
    /// Turns; `None` takes the version's own.
    pub turns: Option<NonZeroUsize>,
    /// Length of a turn; `None` takes the version's own.
    pub turn: Option<Duration>,
    /// Figures; none takes the version's own.
    pub sections: Vec<Section>,
    /// Generators left out.
    pub skip: Vec<Tool>,
    /// Requests in flight when memory is measured.
    pub in_flight: NonZeroU32,
    /// Directory looked into before `PATH`.
    pub tools: PathBuf,
    /// Where the document goes, beside standard output.
    pub out: Option<PathBuf>,
    /// Where every turn goes, as JSON.
    pub json: Option<PathBuf>,
}

/// Measures, prints the document, writes it.
///
/// # Errors
/// When a generator that was found did not run, let a request fail or sent none. The rest is measured and written
/// nevertheless. No figure is an error, however bad.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let turns = options.turns.map_or(if options.quick { 2 } else { 5 }, usize::from);
    let turn = options.turn.unwrap_or(Duration::from_secs(if options.quick { 2 } else { 5 }));
    // wrk knows whole seconds only, and a turn must be the same for all.
    ensure!(turn >= Duration::from_secs(1) && turn.subsec_nanos() == 0, "a turn takes whole seconds");
    let sections = match (options.sections.as_slice(), options.quick) {
        ([], true) => vec![Section::Pacing, Section::Throughput],
        ([], false) => vec![Section::Pacing, Section::Throughput, Section::Scaling, Section::Memory],
        (asked, _) => asked.to_vec(),
    };
    let machine = Machine::look();
    let mut bench = Bench::new(options, turns, turn)?;
    let has = |section| sections.contains(&section);
    let pacing = if has(Section::Pacing) { pacing::measure(&mut bench, options.quick)? } else { Vec::new() };
    let throughput = if has(Section::Throughput) { throughput::measure(&mut bench)? } else { Vec::new() };
    let scaling = if has(Section::Scaling) { scaling::measure(&mut bench)? } else { Vec::new() };
    let memory =
        if has(Section::Memory) { memory::measure(&mut bench, options.in_flight) } else { Vec::new() };
    let report = Report {
        machine,
        method: Method { turns, turn_s: turn.as_secs(), pinned: bench.pinned(), quick: options.quick },
        tools: bench.tools(),
        absent: bench.absent().to_vec(),
        failed: bench.failed().to_vec(),
        pacing,
        throughput,
        scaling,
        memory,
    };
    let text = document::render(&report);
    println!("{text}");
    if let Some(out) = &options.out {
        std::fs::write(out, &text).with_context(|| format!("cannot write {}", out.display()))?;
        eprintln!("written to {}", out.display());
    }
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let failed = report.failed.iter().map(|f| format!("{}: {}", f.what, f.why)).collect::<Vec<_>>();
    ensure!(failed.is_empty(), "not everything ran:\n  {}", failed.join("\n  "));
    Ok(())
}

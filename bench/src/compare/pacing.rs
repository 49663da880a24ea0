//! Send punctuality: arrivals on the server's clock beside the ideal grid, and what a low rate costs.

use anyhow::Context;

use super::bench::Bench;
use super::report::{Pacing, Turns};
use crate::grid::deviation;
use crate::tools::{Shape, Tool};

/// Rates of the whole comparison, a second.
pub const RATES: [u32; 3] = [1_000, 10_000, 30_000];
/// Rates of the small version.
const QUICK_RATES: [u32; 2] = [1_000, 10_000];

/// Every generator that takes a rate, at every rate.
///
/// # Errors
/// When the server cannot be started or asked.
pub fn measure(bench: &mut Bench, quick: bool) -> anyhow::Result<Vec<Pacing>> {
    let server = bench.server(true, true)?;
    let cores = bench.generator_core();
    let mut rows = Vec::new();
    for &rate in if quick { QUICK_RATES.as_slice() } else { &RATES } {
        let shape = Shape::Open { rate, duration: bench.turn };
        let tools = bench.able(shape);
        let mut at_rate: Vec<_> = tools.iter().map(|found| row(found.tool, rate)).collect();
        for turn in 1..=bench.turns {
            for (found, row) in tools.iter().zip(&mut at_rate) {
                let what = format!("{} at {rate}/s", found.tool.name());
                let done = bench.job(found, &server, shape, &cores);
                let Some(done) = bench.note(what.clone(), done) else { continue };
                let found = deviation(&server.arrivals()?, f64::from(rate)).context("too few arrivals")?;
                let seconds = bench.turn.as_secs_f64();
                row.p50_us.0.push(found.p50_us);
                row.p99_us.0.push(found.p99_us);
                row.max_us.0.push(found.max_us);
                row.gap_p99_us.0.push(found.gap_p99_us);
                row.arrived.0.push(found.count as f64 / (f64::from(rate) * seconds));
                row.core.0.push(done.driven.cpu.as_secs_f64() / seconds);
                row.coordinator_core
                    .0
                    .extend(done.driven.coordinator_cpu.map(|cpu| cpu.as_secs_f64() / seconds));
                eprintln!(
                    "turn {turn}: {what}: p99 {:.0} us off the grid, {} arrivals",
                    found.p99_us, found.count
                );
            }
        }
        rows.extend(at_rate.into_iter().filter(|row| !row.p99_us.0.is_empty()));
    }
    Ok(rows)
}

fn row(tool: Tool, rate: u32) -> Pacing {
    let none = Turns::default;
    Pacing {
        tool,
        rate,
        p50_us: none(),
        p99_us: none(),
        max_us: none(),
        gap_p99_us: none(),
        arrived: none(),
        core: none(),
        coordinator_core: none(),
    }
}

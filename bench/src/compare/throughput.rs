//! Requests a second of one core in a closed loop.

use super::bench::{Bench, Done};
use super::report::{Throughput, Turns};
use crate::tools::{Shape, Tool};

/// Connections, one request in flight on each.
pub const CONNECTIONS: u32 = 64;

/// Every generator, in turns.
///
/// # Errors
/// When the server cannot be started.
pub fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Throughput>> {
    let server = bench.server(false, false)?;
    let cores = bench.generator_core();
    let shape = Shape::Closed { connections: CONNECTIONS, threads: 1, duration: bench.turn };
    let tools = bench.able(shape);
    let mut rows: Vec<_> = tools.iter().map(|found| row(found.tool)).collect();
    for turn in 1..=bench.turns {
        let mut rates = Vec::new();
        let mut jobs: Vec<_> = tools.iter().zip(&mut rows).collect();
        // There and back, so that nobody is always the one before or after another.
        if turn % 2 == 0 {
            jobs.reverse();
        }
        for (found, row) in jobs {
            let what = format!("{} in a closed loop", found.tool.name());
            let done = bench.job(found, &server, shape, &cores);
            let rate = bench.note(what.clone(), done).map(|done| add(row, &done));
            if let Some(rate) = rate {
                eprintln!("turn {turn}: {what}: {rate:.0} requests/s");
            }
            rates.extend(rate.map(|rate| (found.tool, rate)));
        }
        let of = |tool| rates.iter().find_map(|&(other, rate)| (other == tool).then_some(rate));
        if let Some(wrk) = of(Tool::Wrk) {
            for row in &mut rows {
                row.to_wrk.0.extend(of(row.tool).map(|rate| rate / wrk));
            }
        }
    }
    rows.retain(|row| !row.rate.0.is_empty());
    Ok(rows)
}

/// Adds a turn and tells its rate.
fn add(row: &mut Throughput, done: &Done) -> f64 {
    let (seconds, count) = (done.seen.seconds(), done.seen.count as f64);
    let rate = done.seen.rate().unwrap_or(0.0);
    let cpu = done.driven.cpu.as_secs_f64();
    row.rate.0.push(rate);
    row.claimed.0.push(done.driven.claim.requests_per_s);
    row.cpu_us.0.push(cpu * 1e6 / count);
    row.core.0.push(cpu / seconds);
    row.server_core.0.push(done.server_cpu.as_secs_f64() / seconds);
    rate
}

fn row(tool: Tool) -> Throughput {
    let none = Turns::default;
    Throughput {
        tool,
        rate: none(),
        claimed: none(),
        cpu_us: none(),
        core: none(),
        server_core: none(),
        to_wrk: none(),
    }
}

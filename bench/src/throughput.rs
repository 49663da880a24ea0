//! Requests a second by the worker's engine against the null server.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::child::{Server, Wanted};
use crate::cores;
use crate::process::cpu_time;
use crate::stats::summarise;
use crate::trial;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Load threads.
    pub threads: NonZeroUsize,
    /// Requests in flight.
    pub in_flight: NonZeroU32,
    /// Length of a turn; it ends with the first interval (of a second) that reaches it.
    pub turn: Duration,
    /// Turns measured, after one that is not.
    pub turns: NonZeroUsize,
    /// Whether each request is also recorded in detail.
    pub records: bool,
    /// Whether generator and server are pinned to a core each.
    pub pin: bool,
}

/// Measures and prints.
///
/// # Errors
/// When the server cannot be started or a request fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let pinned = if options.pin { cores::two() } else { Err("asked not to".to_owned()) };
    // Before threads are started: they inherit the pin.
    let pinned = pinned.and_then(|cores| cores::pin_this_thread(&[cores.generator]).map(|()| cores));
    match &pinned {
        Ok(cores) => println!("generator on core {}, server on core {}", cores.generator, cores.server),
        Err(why) => println!("not pinned: {why}"),
    }
    let cores = pinned.as_ref().ok().map(|c| c.server).into_iter().collect();
    let server = Server::start(&Wanted { cores, ..Wanted::default() })?;
    turn(&server, options).context("warm-up")?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for number in 1..=options.turns.get() {
        let Turn { rate, cpu_us, p99_us } = turn(&server, options)?;
        println!(
            "turn {number}: {rate:.0} requests/s, {cpu_us:.2} us of processor time each, service time p99 {p99_us} us"
        );
        rates.push(rate);
        costs.push(cpu_us);
    }
    let summary = summarise(&rates).context("no turns")?;
    let cost = summarise(&costs).context("no turns")?;
    println!(
        "median {:.0} requests/s, {:.0} to {:.0}; {:.2} us of processor time per request, {:.2} to {:.2}",
        summary.median, summary.min, summary.max, cost.median, cost.min, cost.max
    );
    let Options { threads, in_flight, turn, records, .. } = options;
    println!(
        "{}",
        json!({
            "measure": "throughput", "unit": "requests/s", "threads": threads, "in_flight": in_flight,
            "turn_s": turn.as_secs_f64(), "records": records, "pinned": pinned.is_ok(), "turns": rates,
            "median": summary.median, "min": summary.min, "max": summary.max,
            "cpu_us_per_request": { "turns": costs, "median": cost.median, "min": cost.min, "max": cost.max },
        })
    );
    Ok(())
}

/// What one turn came to.
struct Turn {
    /// Requests a second from the first send to the last end.
    rate: f64,
    /// Processor time of the whole generator process per request: what a turn costs even when other programs
    /// take the core away from it.
    cpu_us: f64,
    /// 99th percentile of the service time.
    p99_us: u64,
}

fn turn(server: &Server, options: &Options) -> anyhow::Result<Turn> {
    // More than any machine sends in a turn; the turn ends by a stop.
    let assignment = trial::assignment(server.url(), 1 << 40, options.in_flight.get(), options.records);
    let mut started = None;
    let before = cpu_time()?;
    let outcome = trial::run(
        assignment,
        options.threads,
        || {},
        |interval| {
            let since = *started.get_or_insert(interval.from);
            if interval.to.since(since) < options.turn {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        },
    )?;
    let used = cpu_time()?.saturating_sub(before);
    let (first, last) = outcome.end.active.context("nothing was sent")?;
    let requests = outcome.tally.requests_ok as f64;
    let p99 = outcome.tally.service_time.quantile(0.99).context("nothing was measured")?;
    Ok(Turn {
        rate: requests / last.since(first).as_secs_f64(),
        cpu_us: used.as_secs_f64() * 1e6 / requests,
        p99_us: p99.0,
    })
}

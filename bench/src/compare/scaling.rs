//! Two cores beside one, when there are only two and the server needs some of them.
//!
//! The server takes the same share of every core that is used: one core holds one load thread and one server thread,
//! two cores hold two of each. A server thread never leaves its core and serves the connections opened from it, so that
//! no request crosses cores in either run; otherwise the second alone would pay for that. So neither run has a part of
//! the machine that the other lacks, and twice the cores can give twice the requests unless the load threads get in each
//! other's way.
//! What the machine itself loses (caches, clock and memory shared by its cores) is shown by a control: two processes
//! with a server each, which have nothing in common.

use std::time::Duration;

use anyhow::Context;

use super::bench::{Bench, Done};
use super::report::{Pairing, Scaling, Turns};
use super::throughput::CONNECTIONS;
use crate::child::{Server, Wanted};
use crate::process::cpu_time_of_children;
use crate::tools::drive::{Job, drive};
use crate::tools::find::Found;
use crate::tools::{Shape, Tool};

/// A coordinator would be on one of the cores, or on both.
const ENGINE: Tool = Tool::FluxfleetEngine;

/// A rate, and the processor time of a request on both sides in microseconds.
type Measured = (f64, f64);

/// fluxfleet with two threads, wrk with two threads, fluxfleet twice.
///
/// # Errors
/// When a server cannot be started.
pub fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Scaling>> {
    let Some(cores) = bench.cores() else {
        bench.miss("two cores beside one", "two cores are needed, and a way to pin to them");
        return Ok(Vec::new());
    };
    let (a, b) = (cores.generator, cores.server);
    let on = |cores: &[usize]| Server::start(&Wanted { cores: cores.to_vec(), ..Wanted::default() });
    let servers = Servers { a: on(&[a])?, b: on(&[b])?, both: on(&[a, b])? };
    let pairings = [Pairing::Threads(ENGINE), Pairing::Threads(Tool::Wrk), Pairing::Apart(ENGINE)];
    let mut rows = Vec::new();
    for what in pairings {
        let (Pairing::Threads(tool) | Pairing::Apart(tool)) = what;
        if let Some(found) = bench.found(tool) {
            rows.push((found, row(what)));
        }
    }
    for turn in 1..=bench.turns {
        for (found, row) in &mut rows {
            let name = match row.what {
                Pairing::Threads(_) => format!("{} on one core and two", found.tool.name()),
                Pairing::Apart(_) => format!("{} twice, with nothing in common", found.tool.name()),
            };
            let measured = both(bench, found, row.what, &servers, [a, b]);
            let Some((one, two)) = bench.note(name.clone(), measured) else { continue };
            eprintln!(
                "turn {turn}: {name}: {:.0} and {:.0} requests/s, {:.2} x",
                one.0,
                two.0,
                two.0 / one.0
            );
            row.one.0.push(one.0);
            row.two.0.push(two.0);
            row.ratio.0.push(two.0 / one.0);
            row.one_cpu_us.0.push(one.1);
            row.two_cpu_us.0.push(two.1);
        }
    }
    Ok(rows.into_iter().map(|(_, row)| row).filter(|row| !row.ratio.0.is_empty()).collect())
}

struct Servers {
    a: Server,
    b: Server,
    both: Server,
}

fn both(
    bench: &Bench,
    found: &Found,
    what: Pairing,
    servers: &Servers,
    [a, b]: [usize; 2],
) -> anyhow::Result<(Measured, Measured)> {
    let closed = |threads: u32| Shape::Closed {
        connections: CONNECTIONS * threads,
        threads: threads as usize,
        duration: bench.turn,
    };
    let one = cost(&bench.job(found, &servers.a, closed(1), &[a])?);
    let two = match what {
        Pairing::Threads(_) => cost(&bench.job(found, &servers.both, closed(2), &[a, b])?),
        Pairing::Apart(_) => apart(bench, found, [(&servers.a, a), (&servers.b, b)], closed(1))?,
    };
    Ok((one, two))
}

fn cost(done: &Done) -> Measured {
    let cpu = done.driven.cpu + done.server_cpu;
    (done.seen.rate().unwrap_or(0.0), cpu.as_secs_f64() * 1e6 / done.seen.count as f64)
}

/// The generator twice at the same time, each with its own server on its own core.
fn apart(
    bench: &Bench,
    found: &Found,
    halves: [(&Server, usize); 2],
    shape: Shape,
) -> anyhow::Result<Measured> {
    let cpu = || -> anyhow::Result<Duration> {
        // The generators' own times cannot be told apart while both run; together they can.
        Ok(cpu_time_of_children()? + halves[0].0.cpu_time()? + halves[1].0.cpu_time()?)
    };
    let before = cpu()?;
    std::thread::scope(|scope| {
        let started: Vec<_> = halves
            .iter()
            .map(|&(server, core)| {
                scope.spawn(move || -> anyhow::Result<()> {
                    let scratch = tempfile::tempdir_in(bench.scratch())?;
                    server.reset()?;
                    let look = Duration::from_millis(50);
                    let job = Job { url: server.url(), shape, cores: &[core], scratch: scratch.path(), look };
                    drive(found, &job, &mut |_| {}).map(|_| ())
                })
            })
            .collect();
        started.into_iter().try_for_each(|half| half.join().unwrap_or_else(|_| anyhow::bail!("a half died")))
    })?;
    let used = cpu()?.saturating_sub(before);
    let (mut rate, mut count) = (0.0, 0);
    for (server, _) in halves {
        let seen = server.summary()?;
        rate += seen.rate().context("one of the two sent nothing")?;
        count += seen.count;
    }
    Ok((rate, used.as_secs_f64() * 1e6 / count as f64))
}

fn row(what: Pairing) -> Scaling {
    let none = Turns::default;
    Scaling { what, one: none(), two: none(), ratio: none(), one_cpu_us: none(), two_cpu_us: none() }
}

//! Memory of the real worker over a long run at full rate: it must grow by nothing.

use std::time::Duration;

use anyhow::{Context, ensure};
use fluxfleet_proto::clock::Clock;
use serde_json::json;

use crate::child::{Server, Wanted};
use crate::fleet::{self, Fleet};
use crate::process::resident_kb_of;
use crate::tools::Shape;

/// Looks over the whole run, at most one every [`SHORTEST_LOOK`].
const LOOKS: u32 = 1800;
/// Time between two looks at least.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);
/// What the run may take beyond its duration.
const SLACK: Duration = Duration::from_secs(60);

/// How to soak.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long.
    pub duration: Duration,
    /// Connections, one request in flight on each.
    pub connections: u32,
}

/// Runs the shipped programs in a closed loop against the null server, and prints the memory of both.
///
/// # Errors
/// When a program is missing or the run fails.
pub fn run(options: Options) -> anyhow::Result<()> {
    let cores = crate::cores::two().inspect_err(|why| println!("not pinned: {why}")).ok();
    let wanted = Wanted { cores: cores.map(|c| c.server).into_iter().collect(), ..Wanted::default() };
    let server = Server::start(&wanted)?;
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let Options { duration, connections } = options;
    let shape = Shape::Closed { connections, threads: 1, duration };
    let pinned: Vec<usize> = cores.map(|c| c.generator).into_iter().collect();
    let args =
        [fleet::arguments(server.url(), shape), ["--records", "none"].map(str::to_owned).to_vec()].concat();
    let mut fleet = Fleet::start(&args, &scratch.path().join("out"), 1, &pinned, true)?;
    let limit = Clock::now() + duration + SLACK;
    let look = SHORTEST_LOOK.max(duration / LOOKS);
    let (mut worker, mut coordinator) = (Vec::new(), Vec::new());
    while fleet.worker_runs()? {
        ensure!(Clock::now() < limit, "the run did not end in time and was stopped");
        // What is no longer there has no memory to look at.
        worker.extend(resident_kb_of(fleet.worker()));
        coordinator.extend(resident_kb_of(fleet.coordinator()));
        std::thread::sleep(look);
    }
    let claim = fleet.finish(limit)?;
    let seen = server.summary()?;
    ensure!(claim.failures == 0, "{} requests failed", claim.failures);
    ensure!(seen.count > 0, "no request arrived");
    println!(
        "{} requests in {:.0} s, {:.0} a second",
        seen.count,
        seen.seconds(),
        seen.rate().unwrap_or(0.0)
    );
    let mut figures = Vec::new();
    for (name, looks) in [("worker", &worker), ("coordinator", &coordinator)] {
        let (first, last) = thirds(looks).context("the run was too short to see its memory")?;
        println!("{name}: at most {first} kB in the first third of the run, {last} kB in the last");
        figures.push(
            json!({ "program": name, "looks": looks.len(), "first_third_kb": first, "last_third_kb": last }),
        );
    }
    println!(
        "{}",
        json!({
            "measure": "soak", "unit": "kB", "duration_s": duration.as_secs_f64(), "requests": seen.count,
            "memory": figures,
        })
    );
    Ok(())
}

/// The most in the first third and in the last; `None` below three looks.
fn thirds(looks: &[u64]) -> Option<(u64, u64)> {
    let third = looks.len() / 3;
    let first = looks[..third].iter().max()?;
    let last = looks[looks.len() - third..].iter().max()?;
    Some((*first, *last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_run_counts_for_neither_third() {
        assert_eq!(thirds(&[1, 2, 9, 9, 3, 4]), Some((2, 4)));
        assert_eq!(thirds(&[1, 2]), None);
    }
}

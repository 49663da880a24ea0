//! Resident memory of the coordinator over a long run: it must not grow with the items.

use std::time::Duration;

use anyhow::{Context, ensure};
use fluxfleet_proto::clock::Clock;
use serde_json::json;

use crate::child::{Server, Wanted};
use crate::fleet::Fleet;
use crate::process::resident_kb_of;

/// Time between two looks at the coordinator's memory.
const PERIOD: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Items of the run.
    pub items: u64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Keep a record of each request.
    pub records: bool,
}

/// Measures and prints. Runs the `fluxfleet` and `fluxfleet-worker` that stand beside this program.
///
/// # Errors
/// When one of the programs is missing or the run fails.
pub fn run(options: Options) -> anyhow::Result<()> {
    let server = Server::start(&Wanted::default())?;
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let (items, in_flight) = (options.items.to_string(), options.in_flight.to_string());
    let records = if options.records { "all" } else { "none" };
    let args =
        ["--url", server.url(), "--requests", &items, "--concurrent", &in_flight, "--records", records];
    let out = scratch.path().join("out");
    let mut fleet = Fleet::start(&args.map(str::to_owned), &out, 1, &[], true)?;
    let mut seen = Vec::new();
    while fleet.runs()? {
        seen.extend(resident_kb_of(fleet.coordinator()));
        std::thread::sleep(PERIOD);
    }
    let results = std::fs::metadata(out.join("results.json")).map(|m| m.len());
    let claim = fleet.finish(Clock::now() + PERIOD)?;
    ensure!(claim.failures == 0, "{} items failed", claim.failures);
    let half = seen.len() / 2;
    ensure!(half >= 2, "the run was too short to see its memory; give more --items");
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
    let (first, second) = (most(&seen[..half]), most(&seen[half..]));
    println!("{} looks over {:.1} s", seen.len(), seen.len() as f64 * PERIOD.as_secs_f64());
    println!("at most {first} kB in the first half of the run, {second} kB in the second, report included");
    println!(
        "{}",
        json!({
            "measure": "coordinator", "unit": "kB", "items": options.items, "in_flight": options.in_flight,
            "records": options.records, "first_half_kb": first, "second_half_kb": second,
            "results_bytes": results.ok(),
        })
    );
    Ok(())
}

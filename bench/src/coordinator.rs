//! Resident memory of the coordinator over a long run: it must not grow with the items.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::json;

use crate::child::NullServer;
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

/// A process that is ended when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures and prints. Runs the `fluxfleet` and `fluxfleet-worker` that stand beside this program.
///
/// # Errors
/// When one of the programs is missing or the run fails.
pub fn run(options: Options) -> anyhow::Result<()> {
    let server = NullServer::start(Duration::ZERO, None)?;
    let dir = std::env::temp_dir().join(format!("fluxfleet-bench-{}", std::process::id()));
    let out = dir.to_str().context("the temporary directory's name is not UTF-8")?;
    let (items, in_flight) = (options.items.to_string(), options.in_flight.to_string());
    let records = if options.records { "all" } else { "none" };
    let mut coordinator = Ended(
        Command::new(beside("fluxfleet")?)
            .args(["run", "--listen", "127.0.0.1:0", "--url", server.url(), "--out", out])
            .args(["--requests", &items, "--concurrent", &in_flight, "--records", records])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the coordinator")?,
    );
    let mut lines = BufReader::new(coordinator.0.stderr.take().context("its standard error is piped")?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let Some(address) = line.split("listens on ").nth(1).map(str::trim) else {
        bail!("the coordinator did not say where it listens, but `{}`", line.trim());
    };
    let _worker = Ended(
        Command::new(beside("fluxfleet-worker")?)
            .args(["--coordinator", address, "--threads", "1"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the worker")?,
    );
    // Read away what it says, or it would block.
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    let mut seen = Vec::new();
    let status = loop {
        if let Ok(now) = resident_kb_of(coordinator.0.id()) {
            seen.push(now);
        }
        if let Some(status) = coordinator.0.try_wait()? {
            break status;
        }
        std::thread::sleep(PERIOD);
    };
    let results = std::fs::metadata(dir.join("results.json")).map(|m| m.len());
    let _ = std::fs::remove_dir_all(&dir);
    ensure!(status.success(), "the run ended with {status}");
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

/// A program of the workspace, which stands beside this one.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("cannot find this program's own file")?.with_file_name(name);
    ensure!(path.exists(), "{} is missing; run `cargo build --release --workspace`", path.display());
    Ok(path)
}

//! The shipped programs, run as a user runs them: `fluxfleet run --listen` and one `fluxfleet-worker`.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fluxfleet_proto::clock::{Clock, Mono};
use serde_json::Value;

use crate::child::Ended;
use crate::cores::spawn;
use crate::tools::Shape;
use crate::tools::drive::{last_words, quiet};
use crate::tools::output::Claim;

/// Time between two looks at a program that is about to end.
const LOOK: Duration = Duration::from_millis(20);
/// The user without rights, as most systems number it.
const NOBODY: u32 = 65_534;
/// How long the coordinator may outlive a worker that ended badly.
const FAREWELL: Duration = Duration::from_secs(2);

/// A coordinator and its worker. Both are ended when dropped.
#[derive(Debug)]
pub struct Fleet {
    coordinator: Ended,
    worker: Ended,
    worker_ended: Option<ExitStatus>,
    out: PathBuf,
}

/// What `fluxfleet run` is asked for. The one place that knows its flags.
pub fn arguments(url: &str, shape: Shape) -> Vec<String> {
    let mut args = vec!["--url".to_owned(), url.to_owned()];
    let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
    match shape {
        Shape::Open { rate, duration } => {
            add("--rate", rate.to_string());
            add("--duration", format!("{}ms", duration.as_millis()));
        }
        Shape::Closed { connections, duration, .. } => {
            add("--concurrent", connections.to_string());
            add("--duration", format!("{}ms", duration.as_millis()));
        }
        Shape::Held { requests, .. } => {
            add("--requests", requests.to_string());
            add("--concurrent", requests.to_string());
        }
    }
    args
}

impl Fleet {
    /// Starts both on these cores, any when there are none. The reports go to `out`, which is emptied before. A worker
    /// that is not `privileged` runs as another user, for which this process must be root.
    ///
    /// # Errors
    /// When a program is missing or cannot be started.
    pub fn start(
        args: &[String],
        out: &Path,
        threads: usize,
        cores: &[usize],
        privileged: bool,
    ) -> anyhow::Result<Self> {
        let _ = std::fs::remove_dir_all(out);
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        // The worker looks for the coordinator until it is there, so the port must be known, not asked for.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr())?.to_string();
        let mut run = Command::new(beside("fluxfleet")?);
        run.arg("run").args(args).args(["--strategies", "baseline", "--listen", &address, "--workers", "1"]);
        run.args(["--skip-preflight", "--quiet", "--allow-invalid", "--save", "--out"]).arg(out);
        quiet(&mut run, &out.join("coordinator.out"), &out.join("coordinator.err"))?;
        let coordinator = Ended(spawn(&mut run, cores)?);
        let mut work = Command::new(beside("fluxfleet-worker")?);
        work.args(["--coordinator", &address, "--threads", &threads.to_string()]);
        quiet(&mut work, &out.join("worker.out"), &out.join("worker.err"))?;
        if !privileged {
            work.uid(NOBODY).gid(NOBODY);
        }
        let worker = Ended(spawn(&mut work, cores)?);
        Ok(Self { coordinator, worker, worker_ended: None, out: out.to_owned() })
    }

    /// The worker's process.
    pub fn worker(&self) -> u32 {
        self.worker.0.id()
    }

    /// The coordinator's process.
    pub fn coordinator(&self) -> u32 {
        self.coordinator.0.id()
    }

    /// Whether the worker is at work still.
    ///
    /// # Errors
    /// When the coordinator has ended with an error: the worker would wait for another one.
    pub fn worker_runs(&mut self) -> anyhow::Result<bool> {
        if self.worker_ended.is_none() {
            self.worker_ended = self.worker.0.try_wait()?;
        }
        if self.worker_ended.is_none()
            && let Some(status) = self.coordinator.0.try_wait()?
            && !status.success()
        {
            bail!("the coordinator ended with {status}: {}", last_words(&self.out.join("coordinator.err")));
        }
        Ok(self.worker_ended.is_none())
    }

    /// Whether one of the two is at work still. The coordinator writes its report after the worker has ended.
    ///
    /// # Errors
    /// When the coordinator has ended with an error.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.worker_runs()? || self.coordinator.0.try_wait()?.is_none())
    }

    /// Waits for both until `limit`, and reads what the report says.
    ///
    /// # Errors
    /// When one of them fails or does not end, or the report is missing.
    pub fn finish(mut self, limit: Mono) -> anyhow::Result<Claim> {
        while self.worker_runs()? {
            ensure!(Clock::now() < limit, "the worker did not end in time and was stopped");
            std::thread::sleep(LOOK);
        }
        let worker = self.worker_ended.context("the worker has ended")?;
        let limit = if worker.success() { limit } else { limit.min(Clock::now() + FAREWELL) };
        let coordinator = loop {
            if let Some(status) = self.coordinator.0.try_wait()? {
                break status;
            }
            ensure!(Clock::now() < limit, "the coordinator did not end in time and was stopped");
            std::thread::sleep(LOOK);
        };
        let words = |name: &str| last_words(&self.out.join(name));
        ensure!(
            coordinator.success(),
            "the coordinator ended with {coordinator}: {}",
            words("coordinator.err")
        );
        ensure!(worker.success(), "the worker ended with {worker}: {}", words("worker.err"));
        let file = self.out.join("results.json");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        claim(&text).with_context(|| format!("{} is not what was expected", file.display()))
    }
}

/// The one strategy's row of a report.
fn claim(results: &str) -> Option<Claim> {
    let results: Value = serde_json::from_str(results).ok()?;
    let row = results.get("performance_results")?.get(0)?;
    Some(Claim {
        requests_per_s: row.get("throughput").and_then(Value::as_f64).unwrap_or(0.0),
        failures: row.get("items_failed")?.as_u64()?,
    })
}

/// A program of the workspace, which stands beside this one.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("cannot find this program's own file")?.with_file_name(name);
    ensure!(path.exists(), "{} is missing; run `cargo build --release --workspace`", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_fluxfleet_are_in_one_place() {
        let second = Duration::from_secs(1);
        let line = |shape| arguments("http://127.0.0.1:9", shape).join(" ");
        assert_eq!(
            line(Shape::Open { rate: 1000, duration: 5 * second }),
            "--url http://127.0.0.1:9 --rate 1000 --duration 5000ms"
        );
        assert_eq!(
            line(Shape::Held { requests: 15_000, delay: second }),
            "--url http://127.0.0.1:9 --requests 15000 --concurrent 15000"
        );
    }

    #[test]
    fn failures_are_read_from_the_report() {
        let report = r#"{"performance_results":[{"strategy":"baseline","throughput":9.5,"items_failed":2}]}"#;
        assert_eq!(claim(report), Some(Claim { requests_per_s: 9.5, failures: 2 }));
        assert_eq!(claim("{}"), None);
    }
}

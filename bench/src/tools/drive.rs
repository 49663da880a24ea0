//! Runs a job on its cores, bounded in time, and weighs it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use fluxfleet_proto::clock::Clock;

use super::find::Found;
use super::invoke::command;
use super::output::{Claim, claim};
use super::{Shape, Tool};
use crate::child::Ended;
use crate::cores::spawn;
use crate::fleet::{self, Fleet};
use crate::process::cpu_time_of_children;

/// What a job may take beyond its length before it is ended.
const SLACK: Duration = Duration::from_secs(60);

/// One job of one generator.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Base URL of the server.
    pub url: &'a str,
    /// What to do.
    pub shape: Shape,
    /// The generator's cores; any when empty.
    pub cores: &'a [usize],
    /// Directory for scripts and outputs.
    pub scratch: &'a Path,
    /// Time between two looks at the running generator.
    pub look: Duration,
}

/// What a job came to, beside what the server saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Driven {
    /// Processor time of the generator, from its start to its end. Of fluxfleet's two programs, the worker's.
    pub cpu: Duration,
    /// Processor time of fluxfleet's coordinator, where there is one.
    pub coordinator_cpu: Option<Duration>,
    /// What the generator says of itself.
    pub claim: Claim,
}

/// Runs a job. `watch` is called with the generator's process at every look.
///
/// # Errors
/// When the tool has no such job, cannot be started, fails, takes far too long, or says that requests failed: a figure
/// with failures in it means nothing.
pub fn drive(found: &Found, job: &Job<'_>, watch: &mut dyn FnMut(u32)) -> anyhow::Result<Driven> {
    let name = found.tool.name();
    let driven = match (found.tool, job.shape) {
        (Tool::Fluxfleet, _) => fluxfleet(job, true, watch),
        (Tool::FluxfleetUnprivileged, _) => fluxfleet(job, false, watch),
        _ => other(found, job, watch),
    }
    .with_context(|| format!("{name} could not do its job"))?;
    if driven.claim.failures > 0 {
        bail!("{name} says that {} requests failed", driven.claim.failures);
    }
    Ok(driven)
}

fn fluxfleet(job: &Job<'_>, privileged: bool, watch: &mut dyn FnMut(u32)) -> anyhow::Result<Driven> {
    let out = job.scratch.join("fluxfleet");
    let args = fleet::arguments(job.url, job.shape);
    let mut fleet = Fleet::start(&args, &out, job.shape.threads(), job.cores, privileged)?;
    let limit = Clock::now() + job.shape.length() + SLACK;
    let before = cpu_time_of_children()?;
    while fleet.worker_runs()? {
        watch(fleet.worker());
        if Clock::now() > limit {
            bail!("it did not end in time and was stopped");
        }
        std::thread::sleep(job.look);
    }
    let worker = cpu_time_of_children()?.saturating_sub(before);
    let claim = fleet.finish(limit)?;
    let both = cpu_time_of_children()?.saturating_sub(before);
    Ok(Driven { cpu: worker, coordinator_cpu: Some(both.saturating_sub(worker)), claim })
}

fn other(found: &Found, job: &Job<'_>, watch: &mut dyn FnMut(u32)) -> anyhow::Result<Driven> {
    let Some(mut command) = command(found.tool, &found.program, job.url, job.shape, job.scratch)? else {
        bail!("it has no such job");
    };
    let (stdout, stderr) = (job.scratch.join("stdout"), job.scratch.join("stderr"));
    quiet(&mut command, &stdout, &stderr)?;
    let before = cpu_time_of_children()?;
    let mut child = Ended(spawn(&mut command, job.cores)?);
    let limit = Clock::now() + job.shape.length() + SLACK;
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        watch(child.0.id());
        if Clock::now() > limit {
            bail!("it did not end in time and was stopped");
        }
        std::thread::sleep(job.look);
    };
    let cpu = cpu_time_of_children()?.saturating_sub(before);
    if !status.success() {
        bail!("it ended with {status}: {}", last_words(&stderr));
    }
    let printed = std::fs::read_to_string(&stdout).context("its output cannot be read")?;
    let claim = claim(found.tool, &printed)
        .with_context(|| format!("its output is not understood: {}", printed.trim()))?;
    Ok(Driven { cpu, coordinator_cpu: None, claim })
}

/// Sends a program's outputs to files, so that a full pipe never holds it up.
pub(crate) fn quiet(command: &mut Command, stdout: &Path, stderr: &Path) -> anyhow::Result<()> {
    let create = |file: &Path| File::create(file).with_context(|| format!("cannot write {}", file.display()));
    command.stdin(Stdio::null()).stdout(create(stdout)?).stderr(create(stderr)?);
    Ok(())
}

/// The last lines that a program wrote to its standard error.
pub(crate) fn last_words(stderr: &Path) -> String {
    let text = std::fs::read_to_string(stderr).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).rev().take(5).collect();
    let words = lines.into_iter().rev().collect::<Vec<_>>().join("; ");
    if words.is_empty() { "it said nothing".to_owned() } else { words }
}

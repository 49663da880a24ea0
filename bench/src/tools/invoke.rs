//! A job to a command line: every peer posts the same body to the same path over kept connections.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::{Shape, Tool};
use crate::generate::{BODY, PATH};

/// Connections of a peer that is given a rate.
pub const OPEN_CONNECTIONS: u32 = 64;
/// hey divides its rate among its workers; this many divide every rate that is measured.
const HEY_WORKERS: u32 = 50;
/// Longer than any answer takes.
const TIMEOUT: &str = "120s";

/// The command of a generator for this job. Scripts are written to `scratch`. `None` for the shipped programs, which
/// are two (see [`crate::fleet`]), and when the tool has no such job.
///
/// # Errors
/// When a script cannot be written.
pub fn command(
    tool: Tool,
    program: &Path,
    url: &str,
    shape: Shape,
    scratch: &Path,
) -> anyhow::Result<Option<Command>> {
    if !tool.can(shape) {
        return Ok(None);
    }
    let mut command = Command::new(program);
    let endpoint = format!("{url}{PATH}");
    match tool {
        Tool::Fluxfleet | Tool::FluxfleetUnprivileged => return Ok(None),
        Tool::FluxfleetEngine => generate(&mut command, "engine", url, shape),
        Tool::FluxfleetRecords => generate(&mut command, "engine-records", url, shape),
        Tool::Hyper => generate(&mut command, "hyper", url, shape),
        Tool::Reqwest => generate(&mut command, "reqwest", url, shape),
        Tool::Sockets => generate(&mut command, "sockets", url, shape),
        Tool::Wrk | Tool::Wrk2 => {
            wrk(&mut command, shape);
            command.arg("-s").arg(written(scratch, "post.lua", &lua())?).arg(endpoint);
        }
        Tool::Oha => oha(&mut command, shape, &endpoint),
        Tool::Hey => hey(&mut command, shape, &endpoint),
        Tool::K6 => {
            let script = written(scratch, "post.js", &k6_script(shape, &endpoint))?;
            command.args(["run", "--quiet", "--no-usage-report"]).arg(script);
        }
    }
    Ok(Some(command))
}

fn generate(command: &mut Command, client: &str, url: &str, shape: Shape) {
    let duration = milliseconds(shape.length());
    command.args(["generate", "--client", client, "--url", url, "--duration", &duration]);
    match shape {
        Shape::Closed { connections, threads, .. } => {
            command.args(["--connections", &connections.to_string(), "--threads", &threads.to_string()]);
        }
        Shape::Open { rate, .. } => {
            command.args(["--connections", &OPEN_CONNECTIONS.to_string(), "--rate", &rate.to_string()]);
        }
        // None of this program's own has such a job.
        Shape::Held { .. } => {}
    }
}

fn wrk(command: &mut Command, shape: Shape) {
    let (threads, connections, duration) = match shape {
        Shape::Closed { connections, threads, duration } => (threads, connections, duration),
        Shape::Open { rate, duration } => {
            command.args(["-R", &rate.to_string()]);
            (1, OPEN_CONNECTIONS, duration)
        }
        // It is stopped about when the first answers come.
        Shape::Held { requests, delay } => (1, requests, delay),
    };
    command.args([format!("-t{threads}"), format!("-c{connections}"), format!("-d{}", seconds(duration))]);
    command.args(["--timeout", TIMEOUT]);
}

fn oha(command: &mut Command, shape: Shape, endpoint: &str) {
    command.args(["--no-tui", "--output-format", "json", "-t", TIMEOUT]);
    match shape {
        Shape::Closed { connections, threads, duration } => {
            command.args(["-c", &connections.to_string(), "-z", &milliseconds(duration)]);
            command.args(["--worker-threads", &threads.to_string()]);
        }
        Shape::Open { rate, duration } => {
            command.args(["-c", &OPEN_CONNECTIONS.to_string(), "-z", &milliseconds(duration)]);
            command.args(["-q", &rate.to_string(), "--worker-threads", "1"]);
        }
        Shape::Held { requests, .. } => {
            command.args(["-c", &requests.to_string(), "-n", &requests.to_string()]);
            command.args(["--worker-threads", "1"]);
        }
    }
    command.args(["-m", "POST", "-T", "application/json", "-d", BODY, endpoint]);
}

fn hey(command: &mut Command, shape: Shape, endpoint: &str) {
    match shape {
        Shape::Closed { connections, threads, duration } => {
            command.args(["-c", &connections.to_string(), "-z", &milliseconds(duration)]);
            command.args(["-cpus", &threads.to_string()]);
        }
        Shape::Open { rate, duration } => {
            let each = f64::from(rate) / f64::from(HEY_WORKERS);
            command.args(["-c", &HEY_WORKERS.to_string(), "-q", &each.to_string()]);
            command.args(["-z", &milliseconds(duration), "-cpus", "1"]);
        }
        Shape::Held { requests, .. } => {
            command.args(["-c", &requests.to_string(), "-n", &requests.to_string(), "-cpus", "1"]);
        }
    }
    command.args(["-t", "120", "-m", "POST", "-T", "application/json", "-d", BODY, endpoint]);
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// wrk takes whole seconds.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64().round().max(1.0))
}

fn written(scratch: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let file = scratch.join(name);
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The request is made once, so no Lua runs per request.
fn lua() -> String {
    format!(
        "wrk.method = \"POST\"\nwrk.body = [[{BODY}]]\nwrk.headers[\"content-type\"] = \"application/json\"\n"
    )
}

fn k6_script(shape: Shape, endpoint: &str) -> String {
    let scenario = match shape {
        Shape::Closed { connections, duration, .. } => format!(
            "executor: 'constant-vus', vus: {connections}, duration: '{}', gracefulStop: '0s'",
            milliseconds(duration)
        ),
        Shape::Open { rate, duration } => format!(
            "executor: 'constant-arrival-rate', rate: {rate}, timeUnit: '1s', duration: '{}', \
             preAllocatedVUs: {OPEN_CONNECTIONS}, maxVUs: {OPEN_CONNECTIONS}, gracefulStop: '0s'",
            milliseconds(duration)
        ),
        Shape::Held { requests, .. } => {
            format!("executor: 'per-vu-iterations', vus: {requests}, iterations: 1, maxDuration: '120s'")
        }
    };
    format!(
        "import http from 'k6/http';\n\
         export const options = {{ scenarios: {{ bench: {{ {scenario} }} }} }};\n\
         const params = {{ headers: {{ 'content-type': 'application/json' }}, timeout: '{TIMEOUT}' }};\n\
         export default function () {{ http.post('{endpoint}', '{BODY}', params); }}\n\
         export function handleSummary(data) {{\n\
         \x20 const m = data.metrics;\n\
         \x20 const failed = m.http_req_failed ? m.http_req_failed.values.passes : 0;\n\
         \x20 return {{ stdout: JSON.stringify({{ requests: m.http_reqs.values.count,\n\
         \x20   requests_per_s: m.http_reqs.values.rate, failures: failed }}) }};\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arguments of a job, one line for each tool.
    fn lines(shape: Shape) -> String {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let mut lines = Vec::new();
        for tool in Tool::ALL {
            let made = command(tool, Path::new("program"), "http://127.0.0.1:9", shape, scratch.path());
            if let Some(command) = made.expect("scripts can be written") {
                let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
                lines.push(format!("{tool:?}: {}", args.join(" ")));
            }
        }
        lines.join("\n").replace(&scratch.path().display().to_string(), "SCRATCH")
    }

    #[test]
    fn a_closed_loop_is_the_same_job_for_every_tool() {
        let duration = Duration::from_secs(5);
        insta::assert_snapshot!(lines(Shape::Closed { connections: 64, threads: 1, duration }));
    }

    #[test]
    fn a_rate_is_the_same_job_for_every_tool() {
        insta::assert_snapshot!(lines(Shape::Open { rate: 1000, duration: Duration::from_secs(5) }));
    }

    #[test]
    fn requests_held_are_the_same_job_for_every_tool() {
        insta::assert_snapshot!(lines(Shape::Held { requests: 15_000, delay: Duration::from_secs(5) }));
    }

    #[test]
    fn scripts_carry_the_body() {
        assert!(lua().contains(BODY));
        insta::assert_snapshot!(k6_script(
            Shape::Open { rate: 1000, duration: Duration::from_secs(5) },
            "http://127.0.0.1:9/generate"
        ));
    }
}

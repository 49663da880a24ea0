//! The program with `--process`, watching processes of its own.

mod support;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fluxfleet_proto::message::{AgentCommand, Cadence};
use fluxfleet_proto::metric::HostMetric;
use fluxfleet_proto::reading::{AbsenceReason, HostSample, Reading};
use support::{AgentStream, Coordinator};

/// A shell whose child burns processor time, no more than a minute of it.
struct Burner {
    shell: Child,
    child: String,
}

impl Burner {
    fn start(name: &str) -> Self {
        let mut shell = Command::new("/bin/sh")
            .arg0(name)
            .args(["-c", "ulimit -t 60; while :; do :; done & echo $!; wait"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut child = String::new();
        let mut out = BufReader::new(shell.stdout.take().expect("what it says"));
        out.read_line(&mut child).expect("its child's number");
        Self { shell, child: child.trim().to_owned() }
    }

    fn end(&mut self) {
        // The child first, so that nobody else gets its number before the shell has asked for it.
        let _ = Command::new("kill").args(["-KILL", &self.child]).stderr(Stdio::null()).status();
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.end();
    }
}

/// An agent that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent with these flags besides, in whose slow lane much is read.
async fn watched(flags: &[&str]) -> (Running, Coordinator, AgentStream) {
    let mut coordinator = Coordinator::start().await;
    let agent = Command::new(env!("CARGO_BIN_EXE_fluxfleet-agent"))
        .args([
            "--coordinator",
            &coordinator.address,
            "--host",
            "gpu-1",
            "--nvml-lib",
            "/nonexistent/nvml.so",
        ])
        .args(flags)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a program");
    let stream = coordinator.welcomed().await;
    let (far, slow) = (Duration::from_hours(2), Duration::from_millis(100));
    stream.tell(AgentCommand::Watch(Cadence { fast: far, normal: far, slow })).await;
    (Running(agent), coordinator, stream)
}

fn value(sample: &HostSample, metric: HostMetric) -> Reading {
    sample.system.values.value(metric)
}

/// Whether none of the watched processes is there.
fn lost(sample: &HostSample) -> bool {
    value(sample, HostMetric::Processes).is_err_and(|absence| absence.reason == AbsenceReason::Lost)
}

async fn sees_its_time_and_its_end(process: &str, mut burner: Burner) {
    let (_agent, _coordinator, mut stream) = watched(&["--process", process]).await;
    let busy = |sample: &HostSample| value(sample, HostMetric::ProcessCpuPercent).is_ok_and(|cpu| cpu > 0.0);
    let samples = stream.samples_until(busy).await;
    let [earlier @ .., last] = &samples[..] else { panic!("no sample") };
    assert_eq!(value(last, HostMetric::Processes), Ok(2.0), "the shell and its child");
    assert!(value(last, HostMetric::ProcessMemoryBytes).is_ok_and(|bytes| bytes > 0.0));
    let mut earlier = earlier.iter().filter_map(|s| s.system.values.get(HostMetric::ProcessCpuPercent));
    assert!(earlier.next().is_some_and(Result::is_err), "a share of time needs two readings");

    burner.end();
    let samples = stream.samples_until(lost).await;
    let last = samples.last().expect("the one found");
    for metric in [HostMetric::Processes, HostMetric::ProcessMemoryBytes, HostMetric::ProcessCpuPercent] {
        let absence = value(last, metric).expect_err("nobody is there");
        assert!(absence.detail.contains(process), "{absence}");
    }
}

#[tokio::test]
async fn a_process_watched_by_name_is_seen_with_its_time_until_it_ends() {
    let name = format!("burner-by-name-{}", std::process::id());
    sees_its_time_and_its_end(&name, Burner::start(&name)).await;
}

#[tokio::test]
async fn a_process_watched_by_number_counts_with_its_children() {
    let burner = Burner::start("burner-by-number");
    sees_its_time_and_its_end(&burner.shell.id().to_string(), burner).await;
}

#[tokio::test]
async fn without_the_flag_processes_are_not_asked_for() {
    let (_agent, _coordinator, mut stream) = watched(&[]).await;
    let slow = |sample: &HostSample| sample.system.values.get(HostMetric::AgentMemoryBytes).is_some();
    let samples = stream.samples_until(slow).await;
    assert_eq!(samples.last().unwrap().system.values.get(HostMetric::Processes), None);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_lost_and_told() {
    let (_agent, _coordinator, mut stream) = watched(&["--process", "nobody-has-this-name"]).await;
    let samples = stream.samples_until(lost).await;
    let absence = value(samples.last().unwrap(), HostMetric::Processes).unwrap_err();
    assert_eq!(absence.detail, "no process named `nobody-has-this-name` is there");
}

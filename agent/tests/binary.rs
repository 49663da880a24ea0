//! The program itself: what it says and the code it ends with.

mod support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use fluxfleet_proto::reading::AbsenceReason;
use support::Coordinator;
use support::scrape::scrape;
use tonic::Status;

fn agent(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxfleet-agent"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("a program")).await.expect("its output")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[tokio::test]
async fn bad_flags_end_with_2_and_say_what_is_expected() {
    for (args, expected) in [
        (&[][..], "give --coordinator <HOST:PORT>"),
        (&["--metrics", "9400"], "--metrics <ADDR>"),
        (&["--metrics", "192.0.2.1:9400"], "cannot listen on 192.0.2.1:9400 for --metrics"),
        (&["--coordinator", "somewhere"], "give HOST:PORT"),
        (&["--coordinator", "c:1", "--host", ""], "--host <NAME>"),
        (&["--coordinator", "c:1", "--period", "1s"], "unexpected argument '--period'"),
    ] {
        let output = output(agent(args)).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(expected), "{args:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn without_a_library_there_is_one_line_and_the_run_goes_on_to_its_end() {
    let no_library = tempfile::NamedTempFile::new().unwrap();
    let no_library = no_library.path().to_str().unwrap();
    for (lib, line) in [
        ("/nonexistent/nvml.so", "no NVML library at /nonexistent/nvml.so: GPU readings are absent, "),
        (no_library, "cannot be loaded as a library ("),
    ] {
        let mut coordinator = Coordinator::start().await;
        let args = ["--coordinator", &coordinator.address, "--host", "gpu-1", "--nvml-lib", lib];
        let run = tokio::spawn(output(agent(&args)));
        let (mut stream, hello) = coordinator.greeted().await;
        assert_eq!(hello.host, "gpu-1");
        assert_eq!(hello.devices.unwrap_err().reason, AbsenceReason::Unsupported);
        stream.welcome().await;
        assert!(stream.one_sample().await.gpus.is_empty());
        drop(stream);
        let output = run.await.unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert_eq!(text.matches("GPU readings are absent, system metrics go on").count(), 1, "{text}");
        assert!(text.contains(line), "{text}");
        assert!(text.contains("joined run test-run at "), "{text}");
    }
}

#[tokio::test]
async fn a_refused_agent_ends_with_6_and_the_coordinators_words() {
    let coordinator = Coordinator::refusing(Status::already_exists("host gpu-1 is taken")).await;
    let output = output(agent(&["--coordinator", &coordinator.address, "--host", "gpu-1"])).await;
    assert_eq!(output.status.code(), Some(6));
    assert!(stderr(&output).contains("refused host `gpu-1`: host gpu-1 is taken"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_terminated_agent_says_goodbye_and_ends_with_130() {
    for signal in ["-TERM", "-INT"] {
        let mut coordinator = Coordinator::start().await;
        let child = agent(&["--coordinator", &coordinator.address]).spawn().unwrap();
        let (mut stream, _) = coordinator.greeted().await;
        let pid = child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        while stream.hear().await.is_some() {}
        drop(stream);
        let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    }
}

#[tokio::test]
async fn an_agent_alone_serves_readings_until_it_is_interrupted() {
    let args = ["--metrics", "127.0.0.1:0", "--host", "gpu-1", "--nvml-lib", "/nonexistent/nvml.so"];
    let mut child = agent(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let addr = lines.find_map(|line| {
        let url = line.unwrap().strip_prefix("readings for Prometheus are at http://")?.to_owned();
        Some(url.strip_suffix("/metrics")?.parse::<SocketAddr>().unwrap())
    });
    let scrape = scrape(addr.unwrap()).await;
    assert_eq!(scrape.value("fluxfleet_gpus_absent", &[("reason", "unsupported")]), Some(1.0));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(130));
}

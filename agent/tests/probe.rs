//! What a probe finds on hosts that a test wrote down, and what the program prints.

use std::process::{Command, Stdio};

use fluxfleet_agent::testing::{ScriptedCollector, Step, device, gate};
use fluxfleet_agent::{GpuSource, Probe};

async fn probe(gpus: ScriptedCollector) -> String {
    Probe::take("gpu-1".to_owned(), GpuSource::Custom(Box::new(gpus))).await.expect("threads").to_string()
}

/// The line of a field in the part that begins with `title`.
fn field(text: &str, title: &str, name: &str) -> String {
    let part = text.split("\n\n").find(|part| part.contains(title)).unwrap_or_else(|| panic!("{text}"));
    let line = part.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{part}")).to_owned()
}

#[tokio::test]
async fn a_probe_reads_every_lane_of_every_gpu_and_of_the_host() {
    let text = probe(ScriptedCollector::new(Ok(vec![device("GPU-a"), device("GPU-b")]))).await;
    for gpu in ["GPU-a", "GPU-b"] {
        assert_eq!(field(&text, gpu, "utilization_percent").split_whitespace().nth(1), Some("75"));
        // Of the fast and of the slow lane.
        assert!(field(&text, gpu, "power_instant_w").ends_with(" 1 W"), "{text}");
        assert!(field(&text, gpu, "pcie_width").ends_with(" 1"), "{text}");
    }
    assert!(field(&text, "Host", "memory_total_bytes").ends_with("iB"), "{text}");
    assert!(field(&text, "Host", "agent_memory_bytes").ends_with("iB"), "{text}");
    assert!(!text.contains("not part of this sample"), "{text}");
}

#[tokio::test]
async fn a_hung_driver_costs_the_gpu_that_hangs_and_the_probe_ends() {
    let (_never_opened, closed) = gate();
    let gpus = ScriptedCollector::new(Ok(vec![device("GPU-a"), device("GPU-b")])).then(Step::Hang(closed));
    let text = probe(gpus).await;
    let hung = field(&text, "GPU-a", "utilization_percent");
    assert!(hung.contains("absent        stale"), "{text}");
    assert!(field(&text, "GPU-b", "utilization_percent").ends_with(" 75 %"), "{text}");
}

#[test]
fn without_a_gpu_the_program_says_what_to_do_and_ends_with_0() {
    let output = Command::new(env!("CARGO_BIN_EXE_fluxfleet-agent"))
        .args(["probe", "--nvml-lib", "/nonexistent/nvml.so"])
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("unsupported: no NVML library at /nonexistent/nvml.so\n"), "{text}");
    assert!(text.contains("what to do "), "{text}");
    assert!(field(&text, "Host", "cpu_percent").contains('%'), "{text}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "it is all in the text");
    assert!(!text.contains('\u{1b}'), "no colours");
}

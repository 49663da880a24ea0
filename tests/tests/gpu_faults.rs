//! Drivers that fail in the middle of a run: it completes, and every reading is right or absent with its reason.

use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::gpus::{A, B, Gpus};
use fluxfleet_tests::process::Process;
use fluxfleet_tests::results::Results;
use serde_json::{Value, json};

/// A run long enough for a fault to come and go.
struct Rig {
    gpus: Gpus,
    coordinator: Coordinator,
    agent: Process,
    worker: Process,
    _sim: Sim,
    _out: tempfile::TempDir,
}

impl Rig {
    fn start() -> Self {
        let (sim, out, gpus) = (Sim::start(&[]), tempfile::tempdir().expect("a directory"), Gpus::default());
        let args =
            ["--workers", "1", "--agents", "1", "--rate", "20", "--duration", "12s", "--allow-invalid"];
        let lanes = ["--sample-period", "100ms", "--fast-period", "50ms", "--strategies", "baseline"];
        let coordinator = Coordinator::start(&sim.url, out.path(), &[&args[..], &lanes].concat());
        let agent = coordinator.agent_of("gpu-1", &gpus);
        let worker = coordinator.worker("a");
        coordinator.process.wait_stderr("baseline: ");
        Self { gpus, coordinator, agent, worker, _sim: sim, _out: out }
    }

    fn end(self) -> Results {
        let (ended, results) = self.coordinator.results();
        ended.expect_code(0);
        self.agent.end().expect_code(0);
        self.worker.end().expect_code(0);
        results
    }
}

/// A number of a GPU in each sample of the normal lane, by time: itself, or the reason why it is absent.
fn numbers(results: &Results, uuid: &str, name: &str) -> Vec<Result<f64, String>> {
    let of_gpu = |sample: &Value| {
        let gpu = sample["gpus"].as_array()?.iter().find(|gpu| gpu["uuid"] == uuid)?.clone();
        Some(gpu[name].as_f64().ok_or_else(|| gpu["absent"][name].as_str().expect("a reason").to_owned()))
    };
    let samples = results.0["system_metrics"].as_array().expect("samples");
    samples.iter().map(|sample| of_gpu(sample).expect("both GPUs are in every sample")).collect()
}

/// What is there is the scripted number, the rest is absent for this reason, and it was there before and after.
///
/// A few readings may be stale instead: while NVML is started anew nothing answers, and a busy machine is late.
fn expect_a_hole(numbers: &[Result<f64, String>], scripted: f64, reason: &str) {
    let absent: Vec<_> = (0..numbers.len()).filter(|at| numbers[*at].is_err()).collect();
    let (Some(first), Some(last)) = (absent.first(), absent.last()) else { panic!("nothing is absent") };
    assert!(
        *first > 0 && last + 1 < numbers.len(),
        "readings before and after: {first} {last} of {}",
        numbers.len()
    );
    for number in numbers {
        match number {
            Ok(value) => assert!((value - scripted).abs() < 1e-9, "{value} is not {scripted}"),
            Err(why) => assert!(why.starts_with(reason) || why.starts_with("stale"), "{why}"),
        }
    }
    assert!(
        numbers.iter().filter_map(|number| number.as_ref().err()).any(|why| why.starts_with(reason)),
        "nothing is {reason}"
    );
}

fn expect_whole(numbers: &[Result<f64, String>], scripted: f64) {
    for number in numbers {
        match number {
            Ok(value) => assert!((value - scripted).abs() < 1e-9, "{value} is not {scripted}"),
            Err(why) => {
                assert!(why.starts_with("stale"), "only a busy machine may cost a reading here: {why}");
            }
        }
    }
    assert!(numbers.iter().any(Result::is_ok));
}

#[test]
fn a_driver_that_goes_and_comes_back_leaves_a_hole_that_says_lost() {
    let rig = Rig::start();
    let from = rig.gpus.second();
    rig.gpus.strike(&json!([{ "kind": "driver_unloaded", "from": from }]));
    rig.coordinator.process.wait_stderr("is gone: lost");
    rig.gpus.strike(&json!([{ "kind": "driver_unloaded", "from": from, "to": rig.gpus.second() }]));
    rig.agent.wait_stderr("NVML is back");
    let results = rig.end();
    for (uuid, watts) in [(A, 100.0), (B, 200.0)] {
        expect_a_hole(&numbers(&results, uuid, "power_w"), watts, "lost");
        expect_a_hole(&numbers(&results, uuid, "utilization"), 60.0, "lost");
    }
    results.expect_items("baseline", 240, 0, 0);
}

#[test]
fn a_call_that_hangs_costs_its_own_gpu_while_it_hangs_and_the_other_goes_on() {
    let rig = Rig::start();
    rig.gpus.strike(&json!([{ "kind": "hung", "device": A }]));
    rig.agent.wait_stderr("hangs in the driver");
    rig.gpus.strike(&json!([]));
    let results = rig.end();
    expect_a_hole(&numbers(&results, A, "power_w"), 100.0, "stale");
    let other = numbers(&results, B, "power_w");
    // Until the watch has found out which one hangs, the other waits behind it.
    let waits = other.iter().filter(|number| number.is_err()).count();
    let hung = numbers(&results, A, "power_w").iter().filter(|number| number.is_err()).count();
    assert!(waits <= hung, "{waits} {hung}");
    for number in other.iter().flatten() {
        assert!((number - 200.0).abs() < 1e-9, "{number}");
    }
    assert!(other.last().expect("samples").is_ok());
    results.expect_items("baseline", 240, 0, 0);
}

#[test]
fn two_faults_at_once_leave_each_gpu_its_own_hole() {
    let rig = Rig::start();
    rig.gpus.strike(&json!([
        { "kind": "no_permission", "device": A },
        { "kind": "gpu_lost", "device": B },
    ]));
    rig.coordinator.process.wait_stderr("is gone: lost");
    rig.coordinator.process.wait_stderr("is gone: denied");
    rig.gpus.strike(&json!([]));
    rig.coordinator.process.wait_stderr(&format!("GPU {B} on host gpu-1 is back"));
    let results = rig.end();
    expect_a_hole(&numbers(&results, A, "temperature_c"), 61.0, "denied");
    expect_a_hole(&numbers(&results, B, "temperature_c"), 61.0, "lost");
}

#[test]
fn one_call_that_is_denied_costs_its_own_number_alone() {
    let rig = Rig::start();
    rig.gpus.strike(&json!([{ "kind": "no_permission", "device": A, "call": "nvmlDeviceGetTemperature" }]));
    let results = rig.end();
    let denied = numbers(&results, A, "temperature_c");
    assert!(denied.iter().any(Result::is_ok) && denied.last().expect("samples").is_err());
    expect_whole(&numbers(&results, A, "power_w"), 100.0);
    expect_whole(&numbers(&results, B, "temperature_c"), 61.0);
}

//! Drivers that fail in the middle of a run: it completes, and every reading is right or absent with its reason.

use std::time::Duration;

use fluxfleet_proto::clock::Clock;
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
        Self::with(Gpus::default())
    }

    fn with(gpus: Gpus) -> Self {
        Self::of(gpus, "12s")
    }

    fn of(gpus: Gpus, duration: &str) -> Self {
        let (sim, out) = (Sim::start(&[]), tempfile::tempdir().expect("a directory"));
        let args =
            ["--workers", "1", "--agents", "1", "--rate", "20", "--duration", duration, "--allow-invalid"];
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

#[test]
fn a_driver_that_comes_in_the_middle_of_a_run_is_found_and_its_gpus_are_in_the_report() {
    let gpus = Gpus::default();
    gpus.strike(&json!([{ "kind": "driver_unloaded" }]));
    let rig = Rig::with(gpus);
    rig.coordinator.process.wait_stderr("agent gpu-1 sees no GPU (lost: ");
    rig.gpus.strike(&json!([]));
    rig.coordinator
        .process
        .wait_stderr(&format!("GPU {B} on host gpu-1 (Scripted H100) can be read from now on"));
    let results = rig.end();
    for (uuid, watts) in [(A, 100.0), (B, 200.0)] {
        let numbers = numbers(&results, uuid, "power_w");
        assert!(numbers[0].as_ref().is_err_and(|why| why.starts_with("not_yet")), "{:?}", numbers[0]);
        assert_eq!(numbers.last(), Some(&Ok(watts)));
    }
    let found: Vec<_> = { results.0["gpu_events"].as_array().expect("events").iter() }
        .filter(|event| event["kind"] == "found")
        .map(|event| event["uuid"].as_str().expect("a UUID"))
        .collect();
    assert_eq!(found, [A, B]);
    assert!(results.reasons().contains("it was found after the strategy had begun"), "{}", results.reasons());
}

/// How long a fault lasts in a row of them. Nothing depends on it but how many readings it costs.
const HOLE: Duration = Duration::from_millis(600);

/// A fault of a GPU, and the time until the next one.
struct Strike {
    from: f64,
    to: f64,
    uuid: &'static str,
    reason: &'static str,
}

/// Seconds since the Unix epoch, by this machine's clock, which is the coordinator's.
fn wall() -> f64 {
    Clock::wall().as_secs_f64()
}

/// Each reading is the scripted one, or absent for the reason of the fault in whose time it was taken; each fault shows.
fn expect_holes(results: &Results, uuid: &str, scripted: f64, struck: &[Strike]) {
    let samples = results.0["system_metrics"].as_array().expect("samples");
    let own: Vec<&Strike> = struck.iter().filter(|strike| strike.uuid == uuid).collect();
    let mut shown = vec![0; own.len()];
    for (sample, number) in samples.iter().zip(numbers(results, uuid, "power_w")) {
        match number {
            Ok(value) => assert!((value - scripted).abs() < 1e-9, "{value} is not {scripted}"),
            // While NVML is started anew, and when a busy machine is late.
            Err(why) if why.starts_with("stale") => {}
            Err(why) => {
                let at = sample["timestamp"].as_f64().expect("a time");
                // What is read when a fault begins may have begun to be read before.
                let within = |strike: &&&Strike| strike.from - 0.5 <= at && at <= strike.to;
                let fits = |strike: &&&Strike| within(strike) && why.starts_with(strike.reason);
                let found = own.iter().position(|strike| fits(&strike));
                shown[found.unwrap_or_else(|| panic!("{uuid} at {at}: {why}"))] += 1;
            }
        }
    }
    for (count, strike) in shown.iter().zip(&own) {
        assert!(*count > 0, "nothing is {} at {}", strike.reason, strike.from);
    }
    let read = numbers(results, uuid, "power_w").iter().flatten().count();
    assert!(read > samples.len() / 4, "{read} of {} readings", samples.len());
}

/// Each kind of fault, and what the readings of a GPU that has it are absent as.
fn faults() -> Vec<(Value, &'static str)> {
    let kind = |kind: &str| json!({ "kind": kind });
    vec![
        (kind("not_supported"), "unsupported"),
        (kind("no_permission"), "denied"),
        (kind("gpu_lost"), "lost"),
        (kind("reset_required"), "error"),
        (kind("insufficient_size"), "error"),
        (json!({ "kind": "code", "code": 999 }), "error"),
    ]
}

#[test]
fn one_fault_after_the_other_and_each_beside_another_leave_the_rest_of_the_readings_as_they_are() {
    let faults = faults();
    let rig = Rig::of(Gpus::default(), "36s");
    let on = |fault: &Value, uuid: &str| {
        let mut fault = fault.clone();
        fault["device"] = json!(uuid);
        fault
    };
    let mut struck: Vec<Strike> = Vec::new();
    for (at, (fault, reason)) in faults.iter().enumerate() {
        // Alone, and then beside the next.
        let (other, others) = &faults[(at + 1) % faults.len()];
        for both in [false, true] {
            let mut strike = vec![on(fault, A)];
            strike.extend(both.then(|| on(other, B)));
            let from = wall();
            rig.gpus.strike(&json!(strike));
            std::thread::sleep(HOLE);
            rig.gpus.strike(&json!([]));
            let lost = *reason == "lost" || both && *others == "lost";
            // A GPU that was lost is looked for again after two seconds, and then after four.
            std::thread::sleep(if lost { HOLE + Duration::from_secs(4) } else { HOLE });
            let to = wall();
            struck.push(Strike { from, to, uuid: A, reason });
            struck.extend(both.then_some(Strike { from, to, uuid: B, reason: others }));
        }
    }
    let results = rig.end();
    for (uuid, watts) in [(A, 100.0), (B, 200.0)] {
        expect_holes(&results, uuid, watts, &struck);
    }
}

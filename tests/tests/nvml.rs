//! Agents that read GPUs through NVML's own ABI, from the stand-in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fluxfleet_nvml::script::{
    Architecture, Clocks, Energy, Fault, FaultKind, Gpu, Memory, Power, Script, Utilization,
};
use fluxfleet_nvml::{Curve, Now, testing};
use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::results::Results;
use serde_json::Value;

/// A run of one worker and an agent that reads NVML.
fn run(sim: &Sim, library: &Path, script: &Path, requests: &str) -> Results {
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "1", "--agents", "1", "--requests", requests, "--concurrent", "12"];
    let coordinator =
        Coordinator::start(&sim.url, out.path(), &[&args[..], &["--sample-period", "50ms"]].concat());
    let _worker = coordinator.worker("w1");
    let _agent = coordinator.nvml_agent("gpu-host", library, script);
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results
}

/// What the agent said it has: names by UUID.
fn devices(results: &Results) -> BTreeMap<String, String> {
    let agents = results.0["fleet"]["agents"].as_array().expect("an array");
    let devices = agents[0]["devices"].as_array().expect("an array");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    devices.iter().map(|device| (text(&device["uuid"]), text(&device["name"]))).collect()
}

/// All readings of a GPU, in the order of their samples.
fn readings<'a>(results: &'a Results, uuid: &'a str) -> Vec<&'a Value> {
    let samples = results.0["system_metrics"].as_array().expect("an array");
    let gpus = samples.iter().flat_map(|sample| sample["gpus"].as_array().expect("an array"));
    gpus.filter(|gpu| gpu["uuid"] == uuid).collect()
}

/// When each sample was taken, by the agent's wall clock.
fn own_walls(results: &Results) -> Vec<f64> {
    let samples = results.0["system_metrics"].as_array().expect("an array");
    samples.iter().map(|sample| sample["own_wall_s"].as_f64().expect("a time")).collect()
}

fn numbers(readings: &[&Value], field: &str) -> Vec<f64> {
    let number =
        |reading: &&Value| reading[field].as_f64().unwrap_or_else(|| panic!("no {field} in {reading}"));
    readings.iter().map(number).collect()
}

#[test]
fn an_agent_reads_the_simulated_hosts_gpus_through_nvml() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("nvml.json");
    let sim = Sim::start(&["--nvml", path.to_str().expect("UTF-8"), "--gpus", "2"]);
    let script =
        Script::parse(&fs::read_to_string(&path).expect("it is there with the host")).expect("a script");
    let results = run(&sim, &testing::library(), &path, "400");
    assert_eq!(results.count("baseline", "items_ok"), 400);
    assert!(results.strategy("baseline")["avg_gpu_utilization"].as_f64() > Some(0.0));

    let shown: BTreeMap<_, _> =
        script.devices.iter().map(|gpu| (gpu.uuid.clone(), gpu.name.clone())).collect();
    assert_eq!(devices(&results), shown);
    assert_eq!(shown.len(), 2);
    for (uuid, name) in shown {
        assert!(name.starts_with("Virtual GPU"), "{name}");
        let readings = readings(&results, &uuid);
        assert!(readings.len() > 1, "{} readings", readings.len());
        // The stand-in stamps what it reads by this machine's clock, as a driver does.
        let stamps = numbers(&readings, "driver_wall_s");
        let own: Vec<f64> = own_walls(&results);
        assert!(stamps.iter().zip(&own).all(|(stamp, own)| (stamp - own).abs() < 60.0), "{stamps:?} {own:?}");
        let within = |field, low: f64, high: f64| {
            let numbers = numbers(&readings, field);
            assert!(numbers.iter().all(|n| (low..=high).contains(n)), "{field}: {numbers:?}");
            numbers
        };
        let busy = within("utilization", 0.0, 100.0);
        assert!(busy.iter().any(|percent| *percent > 0.0), "it worked: {busy:?}");
        let power = within("power_w", 55.0, 400.0);
        assert!(power.iter().any(|watts| *watts >= 150.0), "it was awake: {power:?}");
        within("temperature_c", 30.0, 81.0);
        within("sm_clock_mhz", 210.0, 1755.0);
        within("memory_used_bytes", 1e9, 80.0 * f64::from(1 << 30));
        within("memory_total_bytes", 80.0 * f64::from(1 << 30), 80.0 * f64::from(1 << 30));
        let energy = within("energy_j", 0.0, f64::MAX);
        assert!(energy.windows(2).all(|pair| pair[0] <= pair[1]), "a counter never falls: {energy:?}");
        assert!(energy.first() < energy.last(), "{energy:?}");
    }
}

#[test]
fn the_control_file_is_there_as_long_as_the_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("nvml.json");
    let text = path.to_str().expect("UTF-8");
    let sim = fluxfleet_tests::process::Process::start("fluxfleet", &["sim", "--port", "0", "--nvml", text]);
    sim.wait_stdout_word("http://");
    assert!(path.exists());
    sim.signal("TERM");
    sim.end().expect_code(0);
    assert!(!path.exists());
}

#[test]
fn a_control_file_that_cannot_be_written_is_said_before_the_host_serves() {
    let args = ["sim", "--port", "0", "--nvml", "/nonexistent/nvml.json"];
    let ended = fluxfleet_tests::process::Process::start("fluxfleet", &args).end();
    ended.expect_code(2);
    ended.expect_stderr(&[
        "cannot write the NVML control file /nonexistent/nvml.json: No such file or directory",
    ]);
}

#[test]
fn what_a_script_says_is_what_the_results_say_and_what_it_leaves_out_has_a_reason() {
    const WHOLE: &str = "GPU-11111111-0000-4000-8000-000000000000";
    const BARE: &str = "GPU-22222222-0000-4000-8000-000000000000";
    let mut whole = Gpu::new(WHOLE, "NVIDIA H100 80GB HBM3", Architecture::Hopper);
    whole.utilization = Some(Utilization::constant(73.0));
    whole.memory =
        Some(Memory { total_bytes: 80_000_000_000, reserved_bytes: 0, used_bytes: 30_000_000_000.0.into() });
    whole.power = Some(Power { watts: 512.0.into(), limit_watts: Some(700.0) });
    whole.energy = Some(Energy { base_mj: 9_000_000.0, watts: Some(0.0.into()), ..Energy::default() });
    whole.temperature_c = Some(61.0.into());
    whole.clocks_mhz = Clocks { sm: Some(1980.0.into()), ..Clocks::default() };
    whole.throttle = Some(Curve::constant(4.0));
    let mut bare = Gpu { power: None, ..whole.clone() };
    bare.uuid = BARE.to_owned();
    let mut script = Script::new(Now::read().monotonic_ns, vec![whole, bare]);
    let call = Some("nvmlDeviceGetTemperature".to_owned());
    script.faults =
        vec![Fault { device: Some(BARE.to_owned()), call, ..Fault::new(FaultKind::NoPermission) }];

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("script.json");
    fs::write(&path, serde_json::to_string(&script).expect("JSON")).expect("the script");
    // As with a driver too new for one of the agent's calls.
    let library = dir.path().join("libnvidia-ml.so.1");
    let built = fs::read(testing::library()).expect("the library");
    let copy = testing::without_symbols(&built, &["nvmlDeviceGetCurrentClocksThrottleReasons"]);
    fs::write(&library, copy).expect("a copy of the library");

    let sim = Sim::start(&[]);
    let results = run(&sim, &library, &path, "100");
    assert_eq!(devices(&results).into_keys().collect::<Vec<_>>(), [WHOLE, BARE]);
    for reading in readings(&results, WHOLE) {
        for (field, value) in [
            ("utilization", 73.0),
            ("memory_used_bytes", 3e10),
            ("memory_total_bytes", 8e10),
            ("power_w", 512.0),
            ("energy_j", 9_000.0),
            ("temperature_c", 61.0),
            ("sm_clock_mhz", 1980.0),
        ] {
            assert_eq!(reading[field].as_f64(), Some(value), "{field} in {reading}");
        }
        assert!(reading["throttle"].is_null() && reading["absent"]["throttle"].is_string(), "{reading}");
    }
    let bare = readings(&results, BARE);
    assert!(!bare.is_empty());
    for reading in bare {
        assert_eq!(reading["utilization"].as_f64(), Some(73.0));
        for field in ["power_w", "energy_j", "temperature_c"] {
            assert!(reading[field].is_null() && reading["absent"][field].is_string(), "{field} in {reading}");
        }
    }
}

//! A whole fleet as separate processes.

use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::process::Process;
use fluxfleet_tests::results::Results;

const STRATEGIES: [(&str, &str); 4] = [
    ("baseline", "/generate"),
    ("model_pool", "/generate"),
    ("batch", "/batch-generate"),
    ("async", "/async-generate"),
];

fn run(requests: &str, sim: &Sim) -> Results {
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "3", "--agents", "1", "--strategies", "all", "--requests", requests];
    let args = [&args[..], &["--concurrent", "12", "--records", "all"]].concat();
    let coordinator = Coordinator::start(&sim.url, out.path(), &args);
    let _peers: Vec<Process> = ["w1", "w2", "w3"]
        .map(|name| coordinator.worker(name))
        .into_iter()
        .chain([coordinator.agent("gpu-host")])
        .collect();
    let (ended, results) = coordinator.results();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    results
}

#[test]
fn three_workers_and_an_agent_account_for_every_item_of_every_strategy() {
    let sim = Sim::start(&[]);
    let results = run("200", &sim);
    results.expect_sound();
    for (strategy, _) in STRATEGIES {
        assert_eq!(results.count(strategy, "items_planned"), 200);
        assert_eq!(results.count(strategy, "items_ok"), 200);
        results.check_quantiles(strategy);
    }
    assert_eq!(results.count("batch", "requests_sent"), 50);
    // The server's own account.
    assert_eq!(sim.completed("/generate"), 400);
    assert_eq!(sim.completed("/batch-generate"), 200);
    assert_eq!(sim.completed("/async-generate"), 200);

    assert_eq!(results.workers().len(), 3);
    for worker in results.workers() {
        assert!(worker["items_ok"].as_u64() > Some(0), "{worker}");
        assert_eq!(worker["state"], "present");
    }
    // No GPU on the agent's host: absent with a reason, never zero; the system's readings go on.
    let samples = results.0["system_metrics"].as_array().expect("an array");
    assert!(!samples.is_empty());
    for sample in samples {
        assert_eq!(sample["host"], "gpu-host");
        assert!(
            sample["gpu_utilization"].is_null() && sample["absent"]["gpu_utilization"].is_string(),
            "{sample}"
        );
        assert!(sample["memory_percent"].as_f64() > Some(0.0));
    }
    assert!(results.strategy("baseline")["avg_gpu_utilization"].is_null());
}

#[test]
fn all_workers_start_within_five_milliseconds_of_the_barrier() {
    let sim = Sim::start(&[]);
    // A busy machine may delay one start; a barrier that does not hold delays every one.
    let worst_skews: Vec<u64> = (0..3)
        .map(|_| {
            let results = run("12", &sim);
            let skew = |w: &serde_json::Value| w["start_skew_us"].as_i64().expect("it began").unsigned_abs();
            results.workers().iter().map(skew).max().expect("three workers")
        })
        .collect();
    assert!(worst_skews.iter().any(|&skew| skew < 5_000), "{worst_skews:?} us");
}

#[test]
fn more_workers_than_slots_and_items_lose_nothing() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "4", "--requests", "3", "--concurrent", "2", "--strategies", "baseline,batch"];
    let coordinator = Coordinator::start(&sim.url, out.path(), &args);
    let _peers = ["a", "b", "c", "d"].map(|name| coordinator.worker(name));
    let (ended, results) = coordinator.results();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(results.count("baseline", "items_ok"), 3);
    assert_eq!(results.count("batch", "items_ok"), 3);
    assert_eq!(results.count("batch", "requests_sent"), 1);
}

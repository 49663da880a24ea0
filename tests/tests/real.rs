//! The main job against servers that nobody here wrote: their own counts are held against the report's.

use fluxfleet_tests::fleet::run;
use fluxfleet_tests::http;
use fluxfleet_tests::real::{RealServer, set_up};

const ARGS: [&str; 6] = ["--requests", "40", "--concurrent", "4", "--records", "all"];

#[test]
fn litserve_counts_what_the_report_counts() {
    set_up();
    let server = RealServer::litserve(1);
    let (ended, results) = run(&server.url, &[&ARGS[..], &["--strategies", "all"]].concat());
    ended.expect_code(0);
    results.expect_sound();
    for strategy in ["baseline", "model_pool", "batch"] {
        results.expect_items(strategy, 40, 0, 0);
        results.check_quantiles(strategy);
        // It says how long it took: 20 ms for an item and more.
        assert!(results.strategy(strategy)["avg_generation_time"].as_f64() >= Some(0.02), "{strategy}");
    }
    assert_eq!(results.count("batch", "requests_sent"), 10);
    let why = results.strategy("async")["skipped"].as_str().expect("it has no such route");
    assert!(why.contains("/async-generate answers 404"), "{why}");
    ended.expect_stderr(&["async is left out: "]);
    let counts = server.counts();
    assert_eq!((&counts["generate"], &counts["batch_generate"]), (&80.into(), &40.into()));
    server.stop();
}

#[test]
fn litserve_with_dynamic_batching_counts_the_same() {
    set_up();
    let server = RealServer::litserve(4);
    let args =
        ["--strategies", "baseline,model_pool", "--concurrent", "8", "--requests", "60", "--records", "all"];
    let (ended, results) = run(&server.url, &args);
    ended.expect_code(0);
    results.expect_sound();
    for strategy in ["baseline", "model_pool"] {
        results.expect_items(strategy, 60, 0, 0);
        results.check_quantiles(strategy);
    }
    assert_eq!(server.counts()["generate"], 120);
    server.stop();
}

#[test]
fn bentoml_counts_what_the_report_counts_and_its_tasks_are_polled_to_their_end() {
    set_up();
    let server = RealServer::bentoml();
    let files = tempfile::tempdir().expect("a directory");
    let plan = files.path().join("plan.toml");
    let routes = "strategies = ['baseline', 'async']\npoll-interval = '20ms'\n[strategy.async]\n\
                  path = '/async-generate/submit'\nid_field = 'task_id'\n\
                  status_path = '/async-generate/status?task_id={id}'\n";
    std::fs::write(&plan, routes).expect("a file");
    let (ended, results) =
        run(&server.url, &[&ARGS[..], &["--plan", plan.to_str().expect("UTF-8")]].concat());
    ended.expect_code(0);
    results.expect_sound();
    for strategy in ["baseline", "async"] {
        results.expect_items(strategy, 40, 0, 0);
        assert_eq!(results.count(strategy, "requests_sent"), 40);
        results.check_quantiles(strategy);
    }
    let polls = results.count("async", "polls_sent");
    assert!(polls >= 40, "{polls}");
    let counts = server.counts();
    assert_eq!((&counts["generate"], &counts["async_generate"]), (&40.into(), &40.into()));
    // The framework's own metrics agree.
    assert_eq!(answered(&server, "/generate"), 40);
    assert_eq!(answered(&server, "/async-generate/submit"), 40);
    assert_eq!(answered(&server, "/async-generate/status"), polls);
    server.stop();
}

/// Requests to a route that BentoML says it answered with 200.
fn answered(server: &RealServer, route: &str) -> u64 {
    let (_, metrics) = http::get(&format!("{}/metrics", server.url)).expect("metrics");
    let of_route = |line: &&str| {
        line.starts_with("bentoml_service_request_total{")
            && line.contains(&format!("endpoint=\"{route}\""))
            && line.contains("http_response_code=\"200\"")
    };
    let count =
        |line: &str| line.rsplit_once(' ').and_then(|(_, n)| n.parse::<f64>().ok()).expect("a number");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let total = metrics.lines().filter(of_route).map(count).sum::<f64>() as u64;
    total
}

#[test]
fn a_failing_item_at_a_real_server_is_reported_as_the_server_says() {
    set_up();
    let server = RealServer::litserve(1);
    let files = tempfile::tempdir().expect("a directory");
    let plan = files.path().join("plan.toml");
    // The third of four prompts fails there.
    std::fs::write(&plan, "prompts = ['a cat', 'a dog', 'fail: a bug', 'a bird']\n").expect("a file");
    let (ended, results) =
        run(&server.url, &[&ARGS[..], &["--plan", plan.to_str().expect("UTF-8")]].concat());
    ended.expect_code(0);
    results.expect_items("baseline", 30, 10, 0);
    assert_eq!(results.errors("baseline", "http_500"), 10);
    assert!(results.example("baseline", "http_500").contains("Internal server error"));
    assert_eq!(server.counts()["generate"], 30);
    server.stop();
}

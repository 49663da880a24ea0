//! Ctrl-C at every stage of a run: the load stops, and what was measured is reported as what it is.

use fluxfleet_tests::fleet::{Coordinator, Run, Sim};
use fluxfleet_tests::process::{Ended, eventually};
use fluxfleet_tests::results::Results;
use fluxfleet_tests::server::{Gate, Reply, Server};

/// Fails unless the report says of itself that it is of a part of the run.
fn partial(ended: &Ended, results: &Results) {
    ended.expect_code(130);
    ended.expect_stdout(&["PARTIAL: the run was stopped before its end"]);
    assert_eq!(results.0["partial"], true);
    assert!(results.reasons().contains("the run was stopped before its end"), "{}", results.reasons());
    assert_ne!(results.verdict(), "valid");
}

#[test]
fn ctrl_c_stops_the_load_and_accounts_for_every_item() {
    let gate = Gate::default();
    let server = Server::holding(6, &gate);
    let args = ["--requests", "100", "--concurrent", "2", "--local-workers", "2", "--records", "all"];
    let run = Run::start(&server.url(), &args);
    // Six are answered, two are held in flight and will not end within the grace.
    server.wait_posts("/generate", 8);
    run.process.signal("INT");
    let (ended, results) = run.results();
    partial(&ended, &results);
    assert_eq!(results.verdict(), "degraded");
    results.expect_items("baseline", 6, 2, 92);
    assert_eq!(results.errors("baseline", "interrupted"), 2);
    assert_eq!(results.not_sent("baseline", "interrupted"), 92);
    assert_eq!((results.count("baseline", "requests_sent"), server.posts("/generate")), (8, 8));
    ended.expect_stdout(&["DEGRADED", "92 items were not sent: the run was stopped"]);
    results.check_quantiles("baseline");
}

#[test]
fn what_is_in_flight_at_ctrl_c_may_end_within_the_grace() {
    let sim = Sim::start(&["--base-ms", "150"]);
    for signal in ["INT", "TERM"] {
        let before = (sim.completed("/generate"), sim.requests("/generate"));
        let run = Run::start(&sim.url, &["--requests", "1000", "--concurrent", "3"]);
        eventually("some items are made", || sim.completed("/generate") >= before.0 + 4);
        run.process.signal(signal);
        let (ended, results) = run.results();
        partial(&ended, &results);
        let ok = results.count("baseline", "items_ok");
        assert!((4..1000).contains(&ok), "{ok}");
        results.expect_items("baseline", ok, 0, 1000 - ok);
        // Nothing was sent that is not in the report.
        assert_eq!(results.count("baseline", "requests_sent"), ok);
        assert_eq!(sim.completed("/generate") - before.0, ok);
        assert_eq!(sim.requests("/generate") - before.1, ok);
    }
}

#[test]
fn ctrl_c_at_the_coordinator_stops_remote_workers_too() {
    let sim = Sim::start(&["--base-ms", "100"]);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--agents", "1", "--requests", "1000", "--concurrent", "4"];
    let coordinator =
        Coordinator::start(&sim.url, out.path(), &[&args[..], &["--strategies", "all"]].concat());
    let peers = [coordinator.worker("a"), coordinator.worker("b"), coordinator.agent("gpu-host")];
    eventually("some items are made", || sim.completed("/generate") >= 8);
    coordinator.process.signal("INT");
    let (ended, results) = coordinator.results();
    partial(&ended, &results);
    let ok = results.count("baseline", "items_ok");
    results.expect_items("baseline", ok, 0, 1000 - ok);
    assert_eq!((sim.completed("/generate"), sim.requests("/generate")), (ok, ok));
    for strategy in ["model_pool", "batch", "async"] {
        results.expect_items(strategy, 0, 0, 1000);
        assert_eq!(results.not_sent(strategy, "interrupted"), 1000);
        assert!(results.strategy(strategy)["not_started"].is_string());
    }
    for worker in results.workers() {
        assert_eq!(worker["state"], "present", "{worker}");
    }
    // The run is over for them, and that is no failure of theirs.
    for peer in peers {
        peer.end().expect_code(0);
    }
}

#[test]
fn a_second_ctrl_c_waits_for_nothing() {
    let gate = Gate::default();
    let server = Server::holding(0, &gate);
    let mut run = Run::start(&server.url(), &["--requests", "10", "--concurrent", "2"]);
    server.wait_posts("/generate", 2);
    eventually("it ends", || {
        // Signals of one kind merge while they wait: the second is sent until it is seen.
        let over = run.process.has_ended();
        if !over {
            run.process.signal("INT");
        }
        over
    });
    let (ended, results) = run.results();
    partial(&ended, &results);
    // Had it waited for the grace, the two requests that hang would have failed as interrupted.
    results.expect_items("baseline", 0, 0, 10);
    assert_eq!(server.posts("/generate"), 2);
}

#[test]
fn ctrl_c_while_the_fleet_assembles_ends_the_wait() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--wait", "24h", "--requests", "7", "--strategies", "baseline,batch"];
    let coordinator = Coordinator::start(&sim.url, out.path(), &args);
    let worker = coordinator.worker("early");
    coordinator.process.wait_stderr("workers 1/2 (early)");
    coordinator.process.signal("INT");
    let (ended, results) = coordinator.results();
    partial(&ended, &results);
    for strategy in ["baseline", "batch"] {
        results.expect_items(strategy, 0, 0, 7);
        assert_eq!(results.not_sent(strategy, "interrupted"), 7);
    }
    worker.end().expect_code(0);
    assert_eq!(sim.requests("/generate"), 0);
}

#[test]
fn ctrl_c_during_a_pause_keeps_what_ran_before_it() {
    let sim = Sim::start(&[]);
    let args = ["--strategies", "baseline", "batch", "--requests", "8", "--cooldown", "24h"];
    let run = Run::start(&sim.url, &args);
    run.process.wait_stderr("cooling down for");
    run.process.signal("INT");
    let (ended, results) = run.results();
    partial(&ended, &results);
    assert_eq!(results.verdict(), "degraded");
    results.expect_items("baseline", 8, 0, 0);
    results.expect_items("batch", 0, 0, 8);
    assert!(results.strategy("batch")["not_started"].is_string());
    ended.expect_stdout(&["batch was not started: the run was stopped"]);
    assert_eq!(sim.requests("/batch-generate"), 0);
}

#[test]
fn ctrl_c_during_the_look_for_endpoints_does_not_wait_for_the_service() {
    let server = Server::raw(|_| Reply::Stall);
    let run = Run::start(&server.url(), &["--requests", "5"]);
    eventually("the service is asked", || server.connections() > 0);
    run.process.signal("INT");
    let (ended, results) = run.results();
    partial(&ended, &results);
    results.expect_items("baseline", 0, 0, 5);
    assert_eq!(server.all_posts(), 0);
}

#[test]
fn ctrl_c_ends_the_simulated_host() {
    let sim = fluxfleet_tests::process::Process::start("fluxfleet", &["sim", "--port", "0"]);
    sim.wait_stdout_word("http://");
    sim.signal("INT");
    sim.end().expect_code(0);
}

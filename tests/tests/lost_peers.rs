//! Peers that die, hang or leave in the middle of a run: what they reported counts, what they did not is said.

use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::network::Network;
use fluxfleet_tests::process::{Process, eventually};
use fluxfleet_tests::server::{Gate, Reply, Server};

#[test]
fn a_killed_worker_loses_its_own_items_and_nobody_elses() {
    let gate = Gate::default();
    let server = Server::holding(12, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "3", "--requests", "60", "--concurrent", "3", "--records", "all"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let [a, b, c] = ["a", "b", "c"].map(|name| coordinator.worker(name));
    // Each worker holds one request in flight, twelve are answered.
    server.wait_posts("/generate", 15);
    b.signal("KILL");
    coordinator.process.wait_stderr("lost worker b: ");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    assert_eq!(results.verdict(), "degraded");
    assert!(results.reasons().contains("worker b was lost: "), "{}", results.reasons());
    ended.expect_stdout(&["DEGRADED", "worker b was lost: ", "LOST: "]);
    for name in ["a", "c"] {
        let worker = results.worker(name);
        assert_eq!((&worker["state"], &worker["items_ok"]), (&"present".into(), &20.into()), "{worker}");
    }
    let lost = results.worker("b");
    assert_eq!(lost["state"], "lost");
    assert!(lost["lost_at"].is_string() && lost["lost_why"].is_string(), "{lost}");
    let unsent = lost["items_not_sent"].as_u64().expect("a count");
    assert!(unsent >= 1, "the request in flight was never answered: {lost}");
    assert_eq!(results.not_sent("baseline", "worker_lost"), unsent);
    results.expect_items("baseline", 60 - unsent, 0, unsent);
    assert_eq!(b.end().code, None, "a signal ended it");
    for peer in [a, c] {
        peer.end().expect_code(0);
    }
}

#[test]
fn a_fleet_killed_in_a_later_strategy_leaves_the_earlier_one_standing() {
    let gate = Gate::default();
    // All of the baseline's ten, and four of the pool's.
    let server = Server::holding(14, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--requests", "10", "--concurrent", "2", "--pool-concurrent", "4"];
    let strategies = ["--strategies", "baseline,model_pool,batch"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &[&args[..], &strategies].concat());
    let workers = ["a", "b"].map(|name| coordinator.worker(name));
    // How many more are held depends on whose the four were.
    server.wait_posts("/generate", 15);
    for worker in &workers {
        worker.signal("KILL");
    }
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    assert_eq!(results.verdict(), "degraded");
    results.expect_items("baseline", 10, 0, 0);
    let ok = results.count("model_pool", "items_ok");
    assert!(ok <= 4, "{ok}");
    results.expect_items("model_pool", ok, 0, 10 - ok);
    results.expect_items("batch", 0, 0, 10);
    for strategy in ["model_pool", "batch"] {
        assert!(results.not_sent(strategy, "worker_lost") > 0, "{}", results.strategy(strategy));
    }
    for name in ["a", "b"] {
        assert!(results.reasons().contains(&format!("worker {name} was lost")), "{}", results.reasons());
    }
    assert_eq!(server.posts("/batch-generate"), 0);
}

#[test]
fn a_run_whose_only_worker_is_killed_at_once_is_invalid() {
    let gate = Gate::default();
    let server = Server::holding(0, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&server.url(), out.path(), &["--requests", "5"]);
    let worker = coordinator.worker("only");
    server.wait_posts("/generate", 3);
    worker.signal("KILL");
    let (ended, results) = coordinator.results();
    ended.expect_code(5);
    assert_eq!(results.verdict(), "invalid");
    results.expect_items("baseline", 0, 0, 5);
    assert_eq!(results.not_sent("baseline", "worker_lost"), 5);
}

#[test]
fn a_worker_stopped_by_its_user_hands_in_what_it_has() {
    let gate = Gate::default();
    let server = Server::holding(6, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--requests", "40", "--concurrent", "2"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let [a, b] = ["a", "b"].map(|name| coordinator.worker(name));
    server.wait_posts("/generate", 8);
    b.signal("INT");
    b.end().expect_code(130);
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    assert_eq!(results.verdict(), "degraded");
    assert_eq!(results.worker("a")["items_ok"], 20);
    // Of the one that left everything is known: what ended, what it had in flight, what it never sent.
    let left = results.worker("b");
    assert_eq!(left["items_failed"], 1, "{left}");
    assert_eq!(results.errors("baseline", "interrupted"), 1);
    assert_eq!(
        results.not_sent("baseline", "interrupted"),
        left["items_not_sent"].as_u64().expect("a count")
    );
    assert_eq!(results.count("baseline", "requests_sent"), server.posts("/generate"));
    a.end().expect_code(0);
}

#[test]
fn a_killed_agent_is_away_until_the_end_and_leaves_its_samples() {
    let gate = Gate::default();
    // The baseline ends with the agent there; the batch is held until it is gone.
    let held = gate.clone();
    let server = Server::start(move |request| {
        if request.path == "/batch-generate" {
            held.pass();
            return Reply::json(r#"{"results":["a","b","c","d"]}"#);
        }
        Reply::image()
    });
    let out = tempfile::tempdir().expect("a directory");
    let args =
        ["--agents", "1", "--requests", "4", "--strategies", "baseline,batch", "--sample-period", "50ms"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let (_worker, agent) = (coordinator.worker("w"), coordinator.agent("gpu-host"));
    server.wait_posts("/batch-generate", 1);
    agent.signal("KILL");
    coordinator.process.wait_stderr("agent gpu-host is away (");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    ended.expect_stderr(&[
        "waiting for samples of agent gpu-host, 10 s at most",
        "lost agent gpu-host: it was away at the run's end: ",
    ]);
    assert_eq!(results.verdict(), "degraded");
    assert!(results.reasons().contains("the agent on gpu-host was lost: "), "{}", results.reasons());
    results.expect_items("baseline", 4, 0, 0);
    results.expect_items("batch", 4, 0, 0);
    let agent = &results.0["fleet"]["agents"][0];
    assert_eq!(agent["state"], "lost");
    let samples = results.0["system_metrics"].as_array().expect("an array").len() as u64;
    // Those of the normal lane; the slow one has some besides.
    assert!(samples > 0 && agent["samples"].as_u64() >= Some(samples), "{samples} samples are kept: {agent}");
}

#[test]
fn an_agent_that_its_user_ends_is_lost_at_once_and_leaves_its_samples() {
    let gate = Gate::default();
    let server = Server::holding(4, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--agents", "1", "--requests", "6", "--sample-period", "50ms"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let (_worker, agent) = (coordinator.worker("w"), coordinator.agent("gpu-host"));
    server.wait_posts("/generate", 6);
    agent.signal("INT");
    agent.end().expect_code(130);
    coordinator.process.wait_stderr("lost agent gpu-host: its user ended it");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    assert!(!ended.stderr.contains("waiting for samples"), "{}", ended.stderr);
    assert!(results.reasons().contains("the agent on gpu-host was lost: "), "{}", results.reasons());
    assert_eq!(results.0["fleet"]["agents"][0]["gaps"], 0);
}

#[test]
fn a_worker_that_falls_silent_is_given_up_and_ends_by_itself_when_it_wakes() {
    let gate = Gate::default();
    let server = Server::holding(4, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--requests", "20000", "--concurrent", "2"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let [awake, asleep] = ["awake", "asleep"].map(|name| coordinator.worker(name));
    server.wait_posts("/generate", 6);
    asleep.signal("STOP");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    ended.expect_stderr(&["lost worker asleep: nothing was heard of it for 10 s"]);
    assert_eq!(results.verdict(), "degraded");
    assert_eq!(results.worker("awake")["items_ok"], 10_000);
    assert_eq!(results.worker("asleep")["state"], "lost");
    awake.end().expect_code(0);
    asleep.signal("CONT");
    let woken = asleep.end();
    woken.expect_code(6);
    woken.expect_stderr(&["lost the coordinator"]);
    let posts = server.posts("/generate");
    assert!(posts < 20_000, "{posts}: it did its whole share for nobody");
}

#[test]
fn workers_and_agents_stop_by_themselves_when_the_coordinator_dies() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--agents", "1", "--requests", "1000000", "--concurrent", "4"];
    let coordinator = Coordinator::start(&sim.url, out.path(), &args);
    let workers = ["a", "b"].map(|name| coordinator.worker(name));
    let network = Network::to(&coordinator.addr);
    let agent = Coordinator::agent_over(&network, "gpu-host", &["--reconnect-for", "2s"]);
    eventually("the load is on", || sim.completed("/generate") >= 20);
    coordinator.process.signal("KILL");
    for worker in workers {
        let ended = worker.end();
        ended.expect_code(6);
        ended.expect_stderr(&["lost the coordinator", "all load was stopped"]);
    }
    let ended = agent.end();
    ended.expect_code(6);
    ended.expect_stderr(&["lost the coordinator"]);
    assert!(sim.requests("/generate") < 1_000_000);
    assert!(!out.path().join("results.json").exists(), "nobody is left who could write it");
}

#[test]
fn a_fleet_that_does_not_assemble_names_who_is_there_and_who_is_missing() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "3", "--agents", "1", "--wait", "2s"];
    let coordinator = Coordinator::start(&sim.url, out.path(), &args);
    let peers = ["early", "bird"].map(|name| coordinator.worker(name));
    let ended = coordinator.process.end();
    ended.expect_code(6);
    ended.expect_stderr(&[
        "the fleet did not assemble within 2 s",
        "2 of 3 workers (joined: ",
        "early",
        "bird",
    ]);
    ended.expect_stderr(&["0 of 1 agents (none joined)", "--wait", "fluxfleet-agent --coordinator"]);
    assert_eq!(ended.stdout, "");
    for peer in peers {
        peer.end().expect_code(0);
    }
    assert_eq!(sim.requests("/generate"), 0);
}

#[test]
fn a_worker_that_leaves_before_the_run_can_come_back() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &["--workers", "2", "--requests", "6"]);
    let first = coordinator.worker("a");
    coordinator.process.wait_stderr("workers 1/2 (a)");
    drop(first);
    coordinator.process.wait_stderr("worker a left again: ");
    let _fleet = ["a", "b"].map(|name| coordinator.worker(name));
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results.expect_sound();
    assert_eq!(results.workers().len(), 2);
    results.expect_items("baseline", 6, 0, 0);
}

#[test]
fn peers_look_for_a_coordinator_for_half_a_minute_and_say_where() {
    // Nobody else is given the port while it is taken at the next address.
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = format!("127.0.0.2:{}", held.local_addr().expect("bound").port());
    let peers =
        ["fluxfleet-worker", "fluxfleet-agent"].map(|name| Process::start(name, &["--coordinator", &addr]));
    for peer in peers {
        let ended = peer.end();
        ended.expect_code(6);
        ended.expect_stderr(&[&format!("no coordinator answered at {addr} within 30 s"), "check"]);
    }
}

#[test]
fn peers_of_something_that_is_no_coordinator_say_so_at_once() {
    let sim = Sim::start(&[]);
    let addr = sim.url.trim_start_matches("http://").to_owned();
    for name in ["fluxfleet-worker", "fluxfleet-agent"] {
        let ended = Process::start(name, &["--coordinator", &addr]).end();
        ended.expect_code(6);
        ended.expect_stderr(&[&addr, "no fluxfleet coordinator"]);
    }
}

#[test]
fn peers_with_bad_flags_say_what_is_expected() {
    for name in ["fluxfleet-worker", "fluxfleet-agent"] {
        for (args, words) in [
            (&[][..], "--coordinator <HOST:PORT>"),
            (&["--coordinator", "nowhere"], "HOST:PORT"),
            (&["--coordinator", "nowhere:0"], "HOST:PORT"),
            (&["--coordinator", "nowhere:70000"], "HOST:PORT"),
            (&["--coordinator", "http://nowhere:7000"], "HOST:PORT"),
            (&["--coordinator", "nowhere:7000", "--warp", "9"], "--warp"),
            (&["--coordinator", "nowhere:7000", "stray"], "stray"),
        ] {
            let ended = Process::start(name, args).end();
            assert_eq!(ended.code, Some(2), "{name} {args:?}: {}", ended.stderr);
            ended.expect_stderr(&[words]);
        }
    }
    for args in [["--threads", "0"], ["--threads", "many"], ["--name", ""], ["--label", "x"]] {
        let ended =
            Process::start("fluxfleet-worker", &[&["--coordinator", "c:1"][..], &args].concat()).end();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        ended.expect_stderr(&[args[0]]);
    }
}

//! Breaks between an agent and its coordinator: the agent goes on sampling, comes back, and nothing is lost.

use std::time::Duration;

use fluxfleet_tests::fleet::Coordinator;
use fluxfleet_tests::gpus::Gpus;
use fluxfleet_tests::network::Network;
use fluxfleet_tests::process::{Ended, Process};
use fluxfleet_tests::results::Results;
use fluxfleet_tests::server::{Gate, Server};

/// How long a break lasts. Nothing depends on it but how much there is to hand in late.
const BREAK: Duration = Duration::from_secs(3);

/// A run of one worker and one agent, held in the middle of its only strategy.
struct Held {
    gate: Gate,
    _server: Server,
    coordinator: Coordinator,
    _worker: Process,
    network: Network,
    agent: Process,
    _out: tempfile::TempDir,
}

impl Held {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(agent_args: &[&str]) -> Self {
        let gate = Gate::default();
        let server = Server::holding(4, &gate);
        let out = tempfile::tempdir().expect("a directory");
        let args = ["--agents", "1", "--requests", "8", "--concurrent", "2", "--sample-period", "50ms"];
        let coordinator = Coordinator::start(&server.url(), out.path(), &args);
        let network = Network::to(&coordinator.addr);
        let worker = coordinator.worker("w");
        let agent = Coordinator::agent_over(&network, "gpu-host", agent_args);
        // Two more than are answered are in flight.
        server.wait_posts("/generate", 6);
        Self { gate, _server: server, coordinator, _worker: worker, network, agent, _out: out }
    }

    fn away(&self) {
        self.coordinator.process.wait_stderr("agent gpu-host is away (");
    }

    /// Waits until the agent is back and all it kept has come; tells how many samples came late.
    fn back(&self) -> u64 {
        let line = self.coordinator.process.wait_stderr_line("agent gpu-host is back after ");
        let words: Vec<&str> = line.split_whitespace().collect();
        let place = words.iter().position(|&word| word == "samples").expect("a number of samples");
        words[place - 1].parse().unwrap_or_else(|_| panic!("{line}"))
    }

    /// Lets the run end, to which nothing happened.
    fn ends_whole(self) -> Ended {
        let (ended, results) = self.ends_with_every_sample();
        ended.expect_code(0);
        results.expect_items("baseline", 8, 0, 0);
        // A busy machine may well make the load late; the agent and the peers' presence are no reason for a doubt.
        let reasons = results.reasons();
        assert!(!reasons.contains("agent") && !reasons.contains("lost"), "{reasons}");
        ended
    }

    /// Lets the run end; the report has every sample that the agent took and could hand in before the end.
    fn ends_with_every_sample(self) -> (Ended, Results) {
        self.gate.open();
        let (ended, results) = self.coordinator.results();
        let agent = &results.0["fleet"]["agents"][0];
        assert_eq!((&agent["state"], &agent["gaps"]), (&"present".into(), &0.into()), "{agent}");
        let said = self.agent.end();
        said.expect_code(0);
        let [taken, unconfirmed, lost] = account(&said);
        // What is not confirmed was taken when the run was over already.
        assert_eq!((agent["samples"].as_u64(), lost), (Some(taken - unconfirmed), 0), "{}", said.stderr);
        check_times(&results);
        (ended, results)
    }
}

/// What an agent says at its end of its samples: taken, not confirmed, lost.
fn account(agent: &Ended) -> [u64; 3] {
    let (_, line) = agent.stderr.split_once("closed the stream: ").unwrap_or_else(|| panic!("{agent:?}"));
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    [numbers[0], numbers[1], numbers[2]]
}

/// The report lists the normal lane of what its account counts, and no two samples were taken at one time.
fn check_times(results: &Results) {
    let samples = results.0["system_metrics"].as_array().expect("an array");
    let counted = results.0["fleet"]["agents"][0]["samples"].as_u64();
    assert!(!samples.is_empty() && Some(samples.len() as u64) <= counted, "{} of {counted:?}", samples.len());
    let times: Vec<f64> = samples.iter().map(|s| s["timestamp"].as_f64().expect("a time")).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

fn a_cut_of(time: Duration) {
    let held = Held::start();
    held.network.cut();
    held.away();
    std::thread::sleep(time);
    held.network.restore();
    let late = held.back();
    assert!(late > 0, "it went on sampling");
    println!("after a cut of {time:?} {late} samples came late");
    held.ends_whole();
}

#[test]
fn after_a_cut_the_report_has_every_sample() {
    a_cut_of(BREAK);
}

#[test]
fn a_cut_that_outlasts_what_is_kept_costs_the_readings_worth_least_and_they_are_counted() {
    let gpus = Gpus::default();
    let library = gpus.copied_library();
    let held = Held::with(&["--keep", "1s", "--nvml-lib", library.to_str().expect("a path")]);
    held.network.cut();
    held.away();
    // At 50 ms and 100 ms that is more than the 64 samples which are kept in any case.
    std::thread::sleep(2 * BREAK);
    held.network.restore();
    held.coordinator.process.wait_stderr("agent gpu-host dropped ");
    held.back();
    held.gate.open();
    let (ended, results) = held.coordinator.results();
    ended.expect_code(0);
    let said = held.agent.end();
    let [taken, unconfirmed, lost] = account(&said);
    let agent = &results.0["fleet"]["agents"][0];
    let count = |name: &str| agent[name].as_u64().unwrap_or_else(|| panic!("{agent}"));
    let (samples, gaps) = (count("samples"), count("gaps"));
    assert_eq!(samples + gaps, taken - unconfirmed, "each one is counted once: {}", said.stderr);
    // The cut may have taken the confirmation of some that had arrived; only the agent takes these for lost.
    assert!(gaps > 0 && (gaps..gaps + 8).contains(&lost), "{gaps} gaps: {}", said.stderr);
    check_times(&results);
    // The edges of the trial were read before and after: energy over the whole of it is known all the same.
    let gpu = &results.0["performance_results"][0]["gpus"][0];
    assert!(gpu["energy_j"].is_number(), "{gpu}");
}

#[test]
fn one_break_after_the_other_loses_nothing() {
    let held = Held::start();
    for _ in 0..5 {
        held.network.cut();
        held.network.restore();
    }
    held.network.cut();
    held.away();
    held.network.restore();
    held.back();
    held.ends_whole();
}

#[test]
fn a_network_that_falls_silent_is_noticed_on_both_sides() {
    let held = Held::start();
    held.network.stall();
    held.coordinator.process.wait_stderr("agent gpu-host is away (nothing was heard of it for 10 s)");
    held.agent.wait_stderr("broke (nothing was heard from it for 10 s)");
    held.network.restore();
    assert!(held.back() > 0);
    held.ends_whole();
}

#[test]
fn a_run_waits_at_its_end_for_an_agent_that_comes_back() {
    let held = Held::start();
    held.network.cut();
    held.away();
    held.gate.open();
    held.coordinator.process.wait_stderr("waiting for samples of agent gpu-host");
    held.network.restore();
    held.ends_whole().expect_stderr(&["agent gpu-host is back after "]);
}

#[test]
fn an_agent_that_stands_still_for_a_while_takes_its_place_again() {
    let held = Held::start();
    held.agent.signal("STOP");
    held.away();
    held.agent.signal("CONT");
    held.back();
    held.ends_whole();
}

#[test]
fn a_coordinator_that_stands_still_for_a_while_misses_nothing() {
    let held = Held::start();
    held.coordinator.process.signal("STOP");
    std::thread::sleep(BREAK);
    held.coordinator.process.signal("CONT");
    held.ends_whole();
}

#[test]
fn a_coordinator_that_stands_still_until_it_is_taken_for_gone_misses_no_sample() {
    let held = Held::start();
    held.coordinator.process.signal("STOP");
    held.agent.wait_stderr("broke (nothing was heard from it for 10 s)");
    held.coordinator.process.signal("CONT");
    // How many came late is open: the stream that the agent gave up may be read to its end first.
    held.back();
    // The worker, which does not come back, may have taken it for gone too.
    held.ends_with_every_sample();
}

#[test]
fn another_process_cannot_take_the_place_of_an_agent_that_is_away() {
    let held = Held::start();
    held.network.cut();
    held.away();
    let other = held.coordinator.agent("gpu-host").end();
    other.expect_code(6);
    other.expect_stderr(&["refused host `gpu-host`", "an agent of host `gpu-host` already, another process"]);
    held.network.restore();
    held.back();
    held.ends_whole();
}

#[test]
fn an_agent_does_not_join_another_run_by_mistake() {
    let held = Held::start();
    held.network.cut();
    held.away();
    held.coordinator.process.signal("KILL");
    let out = tempfile::tempdir().expect("a directory");
    let next = Coordinator::start("http://127.0.0.1:9", out.path(), &["--agents", "1"]);
    held.network.redirect(&next.addr);
    held.network.restore();
    let ended = held.agent.end();
    ended.expect_code(6);
    ended.expect_stderr(&["refused host `gpu-host`: it takes part in run ", ", this is run "]);
    next.process.wait_stderr("refused agent gpu-host at ");
}

#[test]
fn an_agent_whose_time_to_come_back_is_over_ends_and_says_what_was_not_confirmed() {
    let gate = Gate::default();
    let server = Server::holding(0, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--agents", "1", "--requests", "2", "--sample-period", "50ms"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let network = Network::to(&coordinator.addr);
    let _worker = coordinator.worker("w");
    let agent = Coordinator::agent_over(&network, "gpu-host", &["--reconnect-for", "1s"]);
    server.wait_posts("/generate", 2);
    network.cut();
    let ended = agent.end();
    ended.expect_code(6);
    ended.expect_stderr(&[
        "lost the coordinator",
        "not reached again within 1 s",
        "samples were not confirmed",
    ]);
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    ended.expect_stderr(&["lost agent gpu-host: it was away at the run's end"]);
    assert_eq!(results.0["fleet"]["agents"][0]["state"], "lost");
    assert!(results.reasons().contains("the agent on gpu-host was lost: "), "{}", results.reasons());
}

//! Samples are placed where they belong, whatever the network and the clocks do: real processes, and a network of their
//! own where that matters.
//!
//! The truth: all processes of a test run on one machine, and an agent stamps each sample with that machine's wall clock
//! too, which the coordinator's timestamps use and its placing never does. So the two must agree within the stated error.
//! How clocks that drift are placed is shown by the property tests of the coordinator: no two processes of one machine
//! drift apart.

use std::process::Command;
use std::time::Duration;

use fluxfleet_tests::faketime::Faketime;
use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::net::{Delays, End, Net};
use fluxfleet_tests::process::{Ended, eventually, program};
use fluxfleet_tests::results::Results;

/// Two clocks are not read in the same instant: the wall clock and the monotonic one, once by the coordinator.
const READ_APART_US: f64 = 500.0;

/// A sample as the report has it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seq: u64,
    /// By the coordinator's clock, and how wrong.
    placed_s: f64,
    error_us: f64,
    /// By the agent's own clocks.
    monotonic_s: f64,
    wall_s: f64,
}

impl Sample {
    /// How far it was placed behind the truth, in microseconds, if the wall clock was ahead by this.
    fn off_us(&self, ahead_s: f64) -> f64 {
        (self.placed_s - (self.wall_s - ahead_s)) * 1e6
    }

    /// Fails unless it lies where it says.
    fn expect_true(&self, ahead_s: f64) {
        let off = self.off_us(ahead_s);
        assert!(off.abs() <= self.error_us + READ_APART_US, "off by {off} us: {self:?}");
    }
}

/// The only agent's samples, whose order and numbers are checked: none is missing, none is out of order.
fn samples(results: &Results) -> Vec<Sample> {
    let agent = agent(results);
    assert_eq!((&agent["gaps"], &agent["state"]), (&0.into(), &"present".into()), "{agent}");
    let all = results.0["system_metrics"].as_array().expect("an array");
    let number = |value: &serde_json::Value, name: &str| value[name].as_f64().expect("a number");
    let samples: Vec<_> = all
        .iter()
        .map(|of| Sample {
            seq: of["seq"].as_u64().expect("a number"),
            placed_s: number(of, "timestamp"),
            error_us: number(of, "timestamp_error_us"),
            monotonic_s: number(of, "own_monotonic_s"),
            wall_s: number(of, "own_wall_s"),
        })
        .collect();
    assert!(samples.len() > 20, "{}", samples.len());
    assert!(samples.windows(2).all(|w| w[0].seq < w[1].seq), "numbers are out of order");
    assert!(samples.windows(2).all(|w| w[0].placed_s <= w[1].placed_s), "times are out of order");
    samples
}

fn agent(results: &Results) -> &serde_json::Value {
    &results.0["fleet"]["agents"][0]
}

fn clock(results: &Results, field: &str) -> f64 {
    agent(results)[field].as_f64().expect("a number")
}

/// What holds for the run of every test here.
fn args(duration: &'static str) -> [&'static str; 10] {
    [
        "--agents",
        "1",
        "--strategies",
        "baseline",
        "--duration",
        duration,
        "--sample-period",
        "50ms",
        "--concurrent",
        "1",
    ]
}

/// A run of which the agent is at the other end of a wire; `happen` is what happens meanwhile, begun when samples come.
fn over_wire(delays: Delays, duration: &'static str, happen: impl FnOnce(&mut Net)) -> Results {
    let mut net = Net::new(delays);
    let sim = Sim::start_at(net.command(End::Here, "fluxfleet"), &[]);
    let out = tempfile::tempdir().expect("a directory");
    let program = net.command(End::Here, "fluxfleet");
    let coordinator = Coordinator::start_at(program, Net::HERE, &sim.url, out.path(), &args(duration));
    let _worker = coordinator.worker_at(net.command(End::Here, "fluxfleet-worker"), "w");
    let _agent = coordinator.agent_at(net.command(End::There, "fluxfleet-agent"), "gpu-host");
    coordinator.process.wait_stderr("baseline");
    happen(&mut net);
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results
}

#[test]
fn however_unequal_the_ways_are_a_sample_lies_within_its_error() {
    for (there, back) in [(20, 2), (2, 20)] {
        let delays = Delays { there_ms: (there, 3), back_ms: (back, 3) };
        let results = over_wire(delays, "6s", |_| {});
        let samples = samples(&results);
        for sample in &samples {
            sample.expect_true(0.0);
        }
        // The middle is wrong by half the difference of the two ways, and that shows: the bound is needed.
        let worst = samples.iter().map(|s| s.off_us(0.0)).max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        let (least, most) = (clock(&results, "clock_error_min_us"), clock(&results, "clock_error_max_us"));
        println!(
            "{there} ms there, {back} ms back: off by up to {worst:.0} us, said {least:.0} to {most:.0} us"
        );
        assert!((7_000.0..14_000.0).contains(&worst.abs()), "{worst}");
        assert_eq!(worst > 0.0, back > there, "{worst}");
        assert!(least >= 11_000.0 && most < 20_000.0, "{least} to {most}");
        assert!(clock(&results, "clock_exchanges") >= 12.0);
        results.expect_sound();
        assert_eq!(agent(&results)["clock_steps"], 0);
    }
}

#[test]
fn samples_that_a_broken_network_holds_back_are_placed_when_they_were_taken() {
    let delays = Delays { there_ms: (1, 1), back_ms: (1, 1) };
    let results = over_wire(delays, "12s", |net| {
        std::thread::sleep(Duration::from_secs(2));
        net.cut();
        std::thread::sleep(Duration::from_secs(4));
        net.mend();
    });
    let samples = samples(&results);
    for sample in &samples {
        sample.expect_true(0.0);
        // Half a round trip, and what drifts in the break.
        assert!(sample.error_us < 10_000.0, "{sample:?}");
    }
    // They were taken all along, and none is placed where it arrived.
    let widest = samples.windows(2).map(|w| w[1].placed_s - w[0].placed_s).fold(0.0, f64::max);
    let worst = samples.iter().map(|s| s.off_us(0.0).abs()).fold(0.0, f64::max);
    let most = samples.iter().map(|s| s.error_us).fold(0.0, f64::max);
    println!(
        "a break of 4 s: {} samples, off by up to {worst:.0} us, said up to {most:.0} us",
        samples.len()
    );
    assert!(widest < 1.5, "{widest} s without a sample");
    results.expect_sound();
    assert_eq!(agent(&results)["clock_steps"], 0);
}

/// A run on this machine's own network with an agent whose clocks are shifted by ten seconds on the way.
fn with_a_shift(faketime: &Faketime) -> (Ended, Results) {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &args("8s"));
    let _worker = coordinator.worker("w");
    let mut at = Command::new(program("fluxfleet-agent"));
    at.envs(faketime.environment());
    let _agent = coordinator.agent_at(at, "gpu-host");
    coordinator.process.wait_stderr("baseline");
    std::thread::sleep(Duration::from_secs(3));
    faketime.shift_by(10);
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    (ended, results)
}

#[test]
fn a_wall_clock_that_is_set_moves_no_sample() {
    let (_, results) = with_a_shift(&Faketime::of_wall());
    let samples = samples(&results);
    let set = samples.iter().position(|s| s.off_us(0.0) < -5e6).expect("the wall clock was set");
    assert!(set > 10 && samples.len() - set > 10, "{set} of {}", samples.len());
    for (place, sample) in samples.iter().enumerate() {
        sample.expect_true(if place < set { 0.0 } else { 10.0 });
        // Nor does it move against the monotonic clock.
        let moved =
            ((sample.placed_s - sample.monotonic_s) - (samples[0].placed_s - samples[0].monotonic_s)) * 1e6;
        assert!(moved.abs() <= sample.error_us + samples[0].error_us, "moved by {moved} us: {sample:?}");
    }
    let worst = samples[set..].iter().map(|s| s.off_us(10.0).abs()).fold(0.0, f64::max);
    println!(
        "set forward by 10 s: off by up to {worst:.0} us, said up to {} us",
        clock(&results, "clock_error_max_us")
    );
    assert_eq!(agent(&results)["clock_steps"], 0);
    results.expect_sound();
}

#[test]
fn a_monotonic_clock_that_jumps_is_noticed_and_every_sample_still_lies_within_its_error() {
    let (ended, results) = with_a_shift(&Faketime::of_all());
    let samples = samples(&results);
    let jump =
        samples.windows(2).position(|w| w[1].monotonic_s - w[0].monotonic_s > 5.0).expect("a jump") + 1;
    for (place, sample) in samples.iter().enumerate() {
        sample.expect_true(if place < jump { 0.0 } else { 10.0 });
    }
    assert_eq!(agent(&results)["clock_steps"], 1);
    assert_eq!(results.verdict(), "degraded");
    assert!(
        results.reasons().contains("the clock of gpu-host jumped or stood still"),
        "{}",
        results.reasons()
    );
    ended.expect_stderr(&["the clock of agent gpu-host stepped by "]);
    // Away from the jump they are as sure as ever.
    let sure = samples.iter().filter(|s| s.error_us < 10_000.0).count();
    println!("a jump of 10 s: {sure} of {} samples are sure to 10 ms", samples.len());
    assert!(sure * 2 > samples.len(), "{sure} of {}", samples.len());
}

#[test]
fn an_agent_that_is_stopped_and_continued_leaves_a_pause_and_nothing_else() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &args("10s"));
    let _worker = coordinator.worker("w");
    let agent_process = coordinator.agent("gpu-host");
    coordinator.process.wait_stderr("baseline");
    std::thread::sleep(Duration::from_secs(2));
    agent_process.signal("STOP");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", agent_process.id())).expect("it lives");
    eventually("it stops", || state().contains(") T "));
    std::thread::sleep(Duration::from_secs(4));
    agent_process.signal("CONT");
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    let samples = samples(&results);
    for sample in &samples {
        sample.expect_true(0.0);
    }
    let pauses = samples.windows(2).filter(|w| w[1].placed_s - w[0].placed_s > 3.5).count();
    assert_eq!(pauses, 1, "one pause of 4 s");
    let worst = samples.iter().map(|s| s.off_us(0.0).abs()).fold(0.0, f64::max);
    println!(
        "stopped for 4 s: off by up to {worst:.0} us, said up to {} us",
        clock(&results, "clock_error_max_us")
    );
    assert_eq!(agent(&results)["clock_steps"], 0);
    results.expect_sound();
}

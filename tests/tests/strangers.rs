//! Whatever else knocks at the coordinator's port: it is turned away with a line, and the run goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::wire::worker_up::Message as Up;
use fluxfleet_proto::wire::{self, WorkerHello};
use fluxfleet_tests::fake::{FakeWorker, hello};
use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::process::eventually;
use fluxfleet_tests::server::{Gate, Server};
use tempfile::TempDir;
use tonic::Code;

/// A coordinator that waits for one worker, and what it runs against.
fn waiting() -> (Sim, TempDir, Coordinator) {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &["--requests", "6", "--wait", "24h"]);
    (sim, out, coordinator)
}

/// Lets the worker come that is waited for: nothing that happened before may be seen in the results.
fn unharmed(coordinator: Coordinator) {
    let _worker = coordinator.worker("honest");
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results.expect_sound();
    results.expect_items("baseline", 6, 0, 0);
    assert_eq!(results.workers().len(), 1);
}

/// Says something on a fresh connection and waits for the other side to hang up.
fn knock(addr: &str, words: &[u8]) {
    let mut stream = TcpStream::connect(addr).expect("the port");
    stream.write_all(words).expect("a connection");
    let mut rest = Vec::new();
    // A reset is a way of hanging up.
    let _ = stream.read_to_end(&mut rest);
}

#[test]
fn what_is_not_grpc_is_turned_away_with_a_line() {
    let (_sim, _out, coordinator) = waiting();
    for words in [
        &b"\x00\x01\x02 what is this \xff\xfe"[..],
        b"GET / HTTP/1.1\r\nhost: here\r\n\r\n",
        b"POST /fluxfleet.v1.Fleet/Work HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        b"PRI * HTTP/1.0\r\n\r\n",
    ] {
        knock(&coordinator.addr, words);
    }
    let lines = || coordinator.process.stderr_so_far();
    eventually("a line for each", || {
        lines().matches("sent something that is not gRPC; connection closed").count() == 5
    });
    unharmed(coordinator);
}

#[test]
fn a_connection_that_says_nothing_or_half_a_greeting_hurts_nobody() {
    let (_sim, _out, coordinator) = waiting();
    // Gone again at once, as a port scan is.
    drop(TcpStream::connect(&coordinator.addr).expect("the port"));
    // Half of HTTP/2's preface and then silence: the coordinator hangs up.
    knock(&coordinator.addr, b"PRI * HTTP/2.0\r\n");
    coordinator.process.wait_stderr("connection closed");
    // The whole preface, and then no HTTP/2.
    let mut stream = TcpStream::connect(&coordinator.addr).expect("the port");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff")
        .expect("a connection");
    let _ = stream.read_to_end(&mut Vec::new());
    // One that stays and says nothing while the run goes on.
    let _silent = TcpStream::connect(&coordinator.addr).expect("the port");
    unharmed(coordinator);
}

#[test]
fn noise_on_the_port_during_the_load_changes_nothing() {
    let gate = Gate::default();
    let server = Server::holding(2, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator =
        Coordinator::start(&server.url(), out.path(), &["--requests", "9", "--concurrent", "3"]);
    let _worker = coordinator.worker("honest");
    server.wait_posts("/generate", 5);
    knock(&coordinator.addr, b"GET /metrics HTTP/1.1\r\n\r\n");
    coordinator.process.wait_stderr("sent something that is not gRPC");
    let foreign = WorkerHello { protocol_version: 99, ..hello("foreign") };
    assert!(FakeWorker::join(&coordinator.addr, foreign).is_err());
    coordinator.process.wait_stderr("it speaks protocol version 99");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results.expect_sound();
    results.expect_items("baseline", 9, 0, 0);
    assert_eq!(server.posts("/generate"), 9);
}

#[test]
fn another_protocol_version_is_refused_with_both_named() {
    let (_sim, _out, coordinator) = waiting();
    let foreign = WorkerHello { protocol_version: 99, ..hello("foreign") };
    let refusal = FakeWorker::join(&coordinator.addr, foreign).err().expect("a refusal");
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    for version in [99, PROTOCOL_VERSION] {
        assert!(refusal.message().contains(&version.to_string()), "{}", refusal.message());
    }
    assert!(
        refusal.message().contains("install the same fluxfleet release on both"),
        "{}",
        refusal.message()
    );
    coordinator.process.wait_stderr("it speaks protocol version 99");
    unharmed(coordinator);
}

#[test]
fn a_first_message_that_is_no_greeting_is_refused() {
    let (_sim, _out, coordinator) = waiting();
    for first in [
        Up::Ready(wire::Ready::default()),
        Up::Hello(WorkerHello { name: String::new(), ..hello("") }),
        Up::Hello(WorkerHello { threads: 0, ..hello("idle") }),
    ] {
        let refusal = FakeWorker::open(&coordinator.addr, first).err().expect("a refusal");
        assert_eq!(refusal.code(), Code::InvalidArgument, "{}", refusal.message());
        assert!(refusal.message().contains("not a greeting"), "{}", refusal.message());
    }
    coordinator.process.wait_stderr("its first message is not a greeting: `threads` is 0");
    unharmed(coordinator);
}

#[test]
fn the_second_of_two_workers_with_one_name_is_refused_and_the_run_goes_on() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &["--workers", "2", "--requests", "6"]);
    let first = coordinator.worker("twin");
    coordinator.process.wait_stderr("workers 1/2 (twin)");
    let second = coordinator.worker("twin").end();
    second.expect_code(6);
    second.expect_stderr(&["refused this worker", "a worker named `twin` takes part already", "--name"]);
    coordinator.process.wait_stderr("refused worker twin at ");
    let _other = coordinator.worker("other");
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results.expect_sound();
    assert_eq!(results.workers().len(), 2);
    results.expect_items("baseline", 6, 0, 0);
    first.end().expect_code(0);
}

#[test]
fn two_agents_of_one_host_are_one_too_many() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &["--agents", "1", "--requests", "6"]);
    let _first = coordinator.agent("gpu-host");
    coordinator.process.wait_stderr("agents 1/1 (gpu-host)");
    let second = coordinator.agent("gpu-host").end();
    second.expect_code(6);
    second.expect_stderr(&["refused host `gpu-host`", "takes part already", "--host"]);
    let _worker = coordinator.worker("w");
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    results.expect_sound();
}

#[test]
fn a_worker_too_many_is_refused_with_what_to_do() {
    let (_sim, _out, coordinator) = waiting();
    // It holds the one place, and the run cannot end before it says so.
    let first = FakeWorker::join(&coordinator.addr, hello("first")).expect("there is a place");
    let trial = first.prepared();
    let second = coordinator.worker("second").end();
    second.expect_code(6);
    second.expect_stderr(&["refused this worker", "the fleet is complete", "--workers"]);
    let late = coordinator.agent("late").end();
    late.expect_code(6);
    late.expect_stderr(&["the fleet is complete", "--agents"]);
    first.say(Up::Fault(wire::Fault { trial_id: Some(trial.trial_id), message: "that was all".to_owned() }));
    let (ended, results) = coordinator.results();
    ended.expect_code(5);
    assert!(results.reasons().contains("that was all"), "{}", results.reasons());
    assert_eq!(results.not_sent("baseline", "worker_fault"), 6);
}

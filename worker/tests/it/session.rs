//! Sessions with a coordinator.

use std::sync::mpsc;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::{Acked, WorkerCommand, WorkerReport};
use fluxfleet_proto::tally::Tally;
use fluxfleet_proto::trial::TrialEnd;
use fluxfleet_proto::wire;
use fluxfleet_worker::WorkerError;
use tonic::Status;

use crate::fleet::{Coordinator, Peer, Worker, joined};
use crate::support::{Trial, server};

const IMAGE: &str = r#"{"image_url":"/x.png"}"#;
const LONG: Duration = Duration::from_secs(30);

pub(crate) fn prepare(peer: &Peer, trial: Trial, id: u32) {
    let mut assignment = trial.assignment;
    assignment.trial = TrialId(id);
    peer.send(WorkerCommand::Prepare(Box::new(assignment)));
}

pub(crate) fn ready(peer: &Peer, id: u32) {
    assert_eq!(peer.next(), Some(WorkerReport::Ready(TrialId(id), None)));
}

/// The zero of any process's clock has passed.
pub(crate) fn start_now(peer: &Peer, id: u32) {
    peer.send(WorkerCommand::Start(TrialId(id), Mono::from_nanos(0)));
}

/// Reads a trial to its end: all intervals merged, the number of records, the end.
pub(crate) fn finish(peer: &Peer, id: u32) -> (Tally, usize, TrialEnd) {
    let mut tally = Tally::default();
    let (mut intervals, mut messages, mut records) = (0, 0, 0);
    loop {
        match peer.next().expect("the trial ends") {
            WorkerReport::Interval(i) => {
                assert_eq!((i.trial, i.seq), (TrialId(id), intervals));
                intervals += 1;
                tally.merge(&i.tally);
                peer.send(WorkerCommand::Ack(i.trial, Acked::Interval(i.seq)));
            }
            WorkerReport::Records(r) => {
                assert_eq!((r.trial, r.seq), (TrialId(id), messages));
                messages += 1;
                records += r.records.len();
                peer.send(WorkerCommand::Ack(r.trial, Acked::Records(r.seq)));
            }
            WorkerReport::TrialDone(trial, end) => {
                assert_eq!((trial, end.intervals, end.records), (TrialId(id), intervals, messages));
                return (tally, records, end);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A server that never answers, and a channel that tells of each request.
fn silent() -> (server::Server, mpsc::Receiver<()>) {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    });
    (server, arrivals)
}

#[test]
fn a_worker_introduces_itself_and_leaves_when_the_coordinator_closes_the_stream() {
    let coordinator = Coordinator::start();
    let worker = Worker::start(coordinator.address, LONG);
    let mut peer = coordinator.peer();
    let Some(WorkerReport::Hello(hello)) = peer.next() else { panic!("hello comes first") };
    assert_eq!(
        (hello.protocol_version, hello.name.as_str(), hello.threads),
        (fluxfleet_proto::PROTOCOL_VERSION, "worker-a", 2)
    );
    assert_eq!(hello.labels["zone"], "b");
    assert!(hello.cores >= 1 && !hello.host.is_empty());
    peer.close();
    worker.result().unwrap();
}

#[test]
fn two_trials_run_one_after_the_other() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (_coordinator, mut peer, worker) = joined();
    for id in 0..2 {
        prepare(&peer, Trial::single(&server).items(1200).in_flight(8).records(), id);
        ready(&peer, id);
        let at = Clock::now() + Duration::from_millis(20);
        peer.send(WorkerCommand::Start(TrialId(id), at));
        let (tally, records, end) = finish(&peer, id);
        assert_eq!((tally.items_ok, records, end.not_sent), (1200, 1200, None));
        assert!(end.started.unwrap() >= at);
    }
    assert_eq!(server.requests(), 2400);
    peer.close();
    worker.result().unwrap();
}

#[test]
fn pings_are_answered_with_both_stamps_even_while_a_trial_runs() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (_coordinator, peer, _worker) = joined();
    prepare(&peer, Trial::single(&server).items(u64::MAX / 2).in_flight(8), 0);
    ready(&peer, 0);
    start_now(&peer, 0);
    for id in 0..20 {
        let sent = Clock::now();
        peer.send(WorkerCommand::ClockPing(id));
        let reports = peer.until(|r| matches!(r, WorkerReport::ClockPong(_)));
        let Some(WorkerReport::ClockPong(pong)) = reports.last() else { unreachable!() };
        assert_eq!(pong.id, id);
        // The test and the worker share one clock.
        assert!(sent <= pong.received && pong.received <= pong.sent && pong.sent <= Clock::now());
    }
}

#[test]
fn a_refusal_is_told_in_the_coordinators_words_with_what_to_do() {
    for (status, words, advice) in [
        (
            Status::failed_precondition("protocol 2 here, 1 there"),
            "protocol 2 here, 1 there",
            "same fluxfleet release",
        ),
        (Status::already_exists("worker-a is taken"), "worker-a is taken", "--name"),
    ] {
        let coordinator = Coordinator::refusing(status.clone());
        let error = Worker::start(coordinator.address, LONG).result().unwrap_err();
        assert_eq!(error.exit_code(), 6);
        let text = error.to_string();
        assert!(text.contains(words) && text.contains(advice), "{text}");

        // The same refusal on the open stream, after the hello was read.
        let coordinator = Coordinator::start();
        let worker = Worker::start(coordinator.address, LONG);
        coordinator.peer_unwelcomed().fail(status);
        let text = worker.result().unwrap_err().to_string();
        assert!(text.contains(words) && text.contains(advice), "{text}");
    }
}

#[test]
fn a_coordinator_that_is_started_late_is_waited_for() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Worker::start(address, LONG);
    std::thread::sleep(Duration::from_millis(300));
    let coordinator = Coordinator::listen(address, None);
    let mut peer = coordinator.peer();
    assert!(matches!(peer.next(), Some(WorkerReport::Hello(_))));
    peer.close();
    worker.result().unwrap();
}

#[test]
fn a_coordinator_that_is_not_there_is_given_up_in_time() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Worker::start(address, Duration::from_millis(200)).result().unwrap_err();
    assert!(matches!(error, WorkerError::Unreachable { .. }), "{error}");
    assert_eq!(error.exit_code(), 6);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn a_service_that_is_no_coordinator_is_recognised() {
    let server = server::start(|_| server::json(200, IMAGE));
    let address = server.url().strip_prefix("http://").unwrap().parse().unwrap();
    let error = Worker::start(address, Duration::from_millis(500)).result().unwrap_err();
    assert!(matches!(error, WorkerError::Stranger { .. }), "{error}");
    assert_eq!(error.exit_code(), 6);
}

#[test]
fn a_stop_before_the_start_ends_the_trial_with_every_item_not_sent() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (_coordinator, mut peer, worker) = joined();
    prepare(&peer, Trial::single(&server).items(10).in_flight(2), 0);
    ready(&peer, 0);
    peer.send(WorkerCommand::Stop(TrialId(0), NotSentReason::NotStarted, Duration::ZERO));
    // Crosses the end; means nothing any more.
    start_now(&peer, 0);
    let (_, _, end) = finish(&peer, 0);
    assert_eq!((end.not_sent, end.started), (Some((10, NotSentReason::NotStarted)), None));
    assert_eq!(server.requests(), 0);
    peer.close();
    worker.result().unwrap();
}

#[test]
fn a_stop_right_after_prepare_is_obeyed_too() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (_coordinator, peer, _worker) = joined();
    prepare(&peer, Trial::single(&server).items(10).in_flight(2), 0);
    peer.send(WorkerCommand::Stop(TrialId(0), NotSentReason::Interrupted, Duration::ZERO));
    let reports = peer.until(|r| matches!(r, WorkerReport::TrialDone(..)));
    let Some(WorkerReport::TrialDone(_, end)) = reports.last() else { unreachable!() };
    assert_eq!(end.not_sent, Some((10, NotSentReason::Interrupted)));
}

#[test]
fn a_stop_in_the_middle_accounts_for_every_item() {
    let (server, arrivals) = silent();
    let (_coordinator, peer, _worker) = joined();
    prepare(&peer, Trial::single(&server).items(100).in_flight(6), 7);
    ready(&peer, 7);
    start_now(&peer, 7);
    (0..6).for_each(|_| arrivals.recv().unwrap());
    peer.send(WorkerCommand::Stop(TrialId(7), NotSentReason::WorkerFault, Duration::from_millis(10)));
    let (tally, _, end) = finish(&peer, 7);
    assert_eq!((tally.items_failed, end.not_sent), (6, Some((94, NotSentReason::WorkerFault))));
    assert_eq!(server.requests(), 6);
}

#[test]
fn a_second_prepare_ends_the_first_trial_and_then_has_its_turn() {
    let (server, arrivals) = silent();
    let (_coordinator, peer, _worker) = joined();
    prepare(&peer, Trial::single(&server).items(10).in_flight(1), 0);
    ready(&peer, 0);
    start_now(&peer, 0);
    arrivals.recv().unwrap();
    let quick = server::start(|_| server::json(200, IMAGE));
    prepare(&peer, Trial::single(&quick).items(5), 1);
    start_now(&peer, 1);
    let (tally, _, end) = finish(&peer, 0);
    assert_eq!((tally.items_failed, end.not_sent), (1, Some((9, NotSentReason::Interrupted))));
    ready(&peer, 1);
    assert_eq!(finish(&peer, 1).0.items_ok, 5);
}

#[test]
fn a_trial_that_cannot_be_run_is_a_fault_and_the_next_one_runs() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (_coordinator, peer, _worker) = joined();
    prepare(&peer, Trial::at("nonsense"), 0);
    let Some(WorkerReport::Fault(Some(TrialId(0)), why)) = peer.next() else { panic!("a fault") };
    assert!(why.contains("nonsense"), "{why}");
    // A message that only a later protocol knows.
    let update = wire::worker_down::Message::Update(wire::Update { trial_id: 4, share: None });
    peer.send_raw(wire::WorkerDown { message: Some(update) });
    assert!(matches!(peer.next(), Some(WorkerReport::Fault(Some(TrialId(4)), _))));
    prepare(&peer, Trial::single(&server).items(3), 1);
    ready(&peer, 1);
    start_now(&peer, 1);
    assert_eq!(finish(&peer, 1).0.items_ok, 3);
}

#[test]
fn a_coordinator_that_vanishes_in_the_middle_stops_the_load() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start(move |_| {
        let _ = arrived.send(());
        server::json(200, IMAGE)
    });
    for clean in [false, true] {
        let (coordinator, mut peer, worker) = joined();
        prepare(&peer, Trial::single(&server).items(u64::MAX / 2).in_flight(4), 0);
        ready(&peer, 0);
        start_now(&peer, 0);
        arrivals.recv().unwrap();
        if clean {
            peer.close();
        } else {
            coordinator.vanish();
        }
        let error = worker.result().unwrap_err();
        assert!(matches!(error, WorkerError::Lost { .. }), "{error}");
        assert!(error.to_string().contains("during trial 0"), "{error}");
        assert_eq!(error.exit_code(), 6);
        // No request comes any more: the channel falls silent, and stays so.
        while arrivals.recv_timeout(Duration::from_millis(300)).is_ok() {}
        let stopped_at = server.requests();
        assert!(arrivals.recv_timeout(Duration::from_millis(300)).is_err());
        assert_eq!(server.requests(), stopped_at);
    }
}

#[test]
fn an_interrupted_worker_reports_what_it_has_and_leaves() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start(move |_| {
        let _ = arrived.send(());
        server::json(200, IMAGE)
    });
    let (_coordinator, mut peer, worker) = joined();
    let items = 1 << 39;
    prepare(&peer, Trial::single(&server).items(items).in_flight(4), 0);
    ready(&peer, 0);
    start_now(&peer, 0);
    (0..50).for_each(|_| arrivals.recv().unwrap());
    worker.cancel.cancel();
    let (tally, _, end) = finish(&peer, 0);
    let (not_sent, reason) = end.not_sent.unwrap();
    assert_eq!((tally.items_ended() + not_sent, reason), (items, NotSentReason::Interrupted));
    assert_eq!(tally.items_ok, server.requests() as u64);
    assert_eq!(peer.next(), None, "the worker ends its half of the stream");
    peer.close();
    worker.result().unwrap();
}

#[test]
fn an_interrupted_worker_without_a_trial_leaves_at_once() {
    let (_coordinator, mut peer, worker) = joined();
    worker.cancel.cancel();
    assert_eq!(peer.next(), None);
    peer.close();
    worker.result().unwrap();

    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let worker = Worker::start(address, Duration::from_secs(3600));
    worker.cancel.cancel();
    worker.result().unwrap();
}

//! Starts and stops.

use std::sync::mpsc;
use std::time::Duration;

use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::load::{Limits, Warmup};
use fluxfleet_worker::engine::{self, Output};

use crate::support::{Trial, gather, run_with, server};

const IMAGE: &str = r#"{"image_url":"/x.png"}"#;

#[test]
fn a_stop_before_the_start_sends_nothing() {
    let server = server::start(|_| server::json(200, IMAGE));
    for threads in [1, 4] {
        let outcome = run_with(Trial::single(&server).items(10).in_flight(2).threads(threads), |handle| {
            handle.stop(NotSentReason::NotStarted, Duration::from_secs(1));
            handle.start(Clock::now());
        });
        assert_eq!(outcome.end.not_sent, Some((10, NotSentReason::NotStarted)));
        assert_eq!((outcome.end.started, outcome.end.intervals), (None, 0));
    }
    let outcome = run_with(Trial::single(&server).items(10).in_flight(2), |handle| {
        handle.start(Clock::now() + Duration::from_secs(3600));
        handle.stop(NotSentReason::Interrupted, Duration::ZERO);
    });
    assert_eq!(outcome.end.not_sent, Some((10, NotSentReason::Interrupted)));
    assert_eq!(server.requests(), 0);
}

#[test]
fn nothing_is_sent_before_the_instant_of_the_start() {
    let server = server::start(|_| server::json(200, IMAGE));
    let at = Clock::now() + Duration::from_millis(60);
    let outcome =
        run_with(Trial::single(&server).items(6).in_flight(3).threads(3).records(), |h| h.start(at));
    assert!(outcome.end.started.unwrap() >= at);
    assert!(outcome.end.active.unwrap().0 >= at);
    assert!(outcome.records.iter().all(|r| r.intended >= at));
}

#[test]
fn what_is_in_flight_at_a_stop_may_end_within_the_grace() {
    let (arrived, arrivals) = mpsc::channel();
    let (release, held) = tokio::sync::watch::channel(false);
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        let mut held = held.clone();
        async move {
            held.wait_for(|go| *go).await.unwrap();
            server::json(200, IMAGE)
        }
    });
    let outcome = run_with(Trial::single(&server).items(100).in_flight(5).threads(2), |handle| {
        handle.start(Clock::now());
        (0..5).for_each(|_| arrivals.recv().unwrap());
        handle.stop(NotSentReason::Interrupted, Duration::from_secs(20));
        release.send(true).unwrap();
    });
    assert_eq!((outcome.tally.items_ok, server.requests()), (5, 5));
    assert_eq!(outcome.end.not_sent, Some((95, NotSentReason::Interrupted)));
}

#[test]
fn what_has_not_ended_within_the_grace_has_failed_as_interrupted() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    });
    let outcome = run_with(Trial::batch(&server, 3).items(100).in_flight(4).threads(3).records(), |handle| {
        handle.start(Clock::now());
        (0..4).for_each(|_| arrivals.recv().unwrap());
        handle.stop(NotSentReason::WorkerFault, Duration::from_millis(30));
    });
    assert_eq!(outcome.kinds(), [("interrupted".to_owned(), 12)]);
    assert_eq!(outcome.end.not_sent, Some((88, NotSentReason::WorkerFault)));
    assert_eq!((outcome.records.len(), outcome.tally.requests_failed), (4, 4));
}

#[test]
fn a_job_that_is_being_polled_at_a_stop_may_end_within_the_grace() {
    let (arrived, arrivals) = mpsc::channel();
    let (release, held) = tokio::sync::watch::channel(false);
    let server = server::start(move |seen| {
        if seen.method == "POST" {
            return server::json(202, r#"{"status_url":"/job"}"#);
        }
        arrived.send(()).unwrap();
        server::json(200, if *held.borrow() { r#"{"status":"done"}"# } else { r#"{"status":"running"}"# })
    });
    let outcome = run_with(Trial::submit_poll(&server, None).items(10), |handle| {
        handle.start(Clock::now());
        arrivals.recv().unwrap();
        handle.stop(NotSentReason::Interrupted, Duration::from_secs(20));
        release.send(true).unwrap();
    });
    assert_eq!(outcome.tally.items_ok, 1);
    assert_eq!(outcome.end.not_sent, Some((9, NotSentReason::Interrupted)));
}

#[test]
fn a_second_stop_hastens_the_end() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    });
    let outcome = run_with(Trial::single(&server).items(2), |handle| {
        handle.start(Clock::now());
        arrivals.recv().unwrap();
        handle.stop(NotSentReason::Interrupted, Duration::from_secs(3600));
        handle.stop(NotSentReason::WorkerFault, Duration::ZERO);
    });
    assert_eq!(outcome.kinds(), [("interrupted".to_owned(), 1)]);
    assert_eq!(outcome.end.not_sent, Some((1, NotSentReason::Interrupted)));
}

#[test]
fn a_trial_whose_owner_is_gone_stops_at_once() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    });
    let trial = Trial::single(&server).items(50).in_flight(2);
    let (handle, mut outputs) = engine::prepare(trial.assignment, std::num::NonZeroUsize::MIN).unwrap();
    assert!(matches!(outputs.blocking_recv(), Some(Output::Ready(None))));
    handle.start(Clock::now());
    (0..2).for_each(|_| arrivals.recv().unwrap());
    drop(handle);
    let outcome = gather(&mut outputs).unwrap();
    assert_eq!(outcome.kinds(), [("interrupted".to_owned(), 2)]);
    assert_eq!(outcome.end.not_sent, Some((48, NotSentReason::Interrupted)));
}

#[test]
fn a_reader_that_reads_nothing_slows_the_load_down_and_loses_nothing() {
    let server = server::start(|_| server::json(200, IMAGE));
    let mut trial = Trial::single(&server).items(60_000).in_flight(32).records();
    trial.assignment.interval = Duration::from_secs(3600);
    let (handle, mut outputs) = engine::prepare(trial.assignment, std::num::NonZeroUsize::MIN).unwrap();
    assert!(matches!(outputs.blocking_recv(), Some(Output::Ready(None))));
    handle.start(Clock::now());
    // The load comes to rest with bounded room full; whatever the machine's speed, it can never have sent all.
    let mut before = usize::MAX;
    while before != server.requests() {
        before = server.requests();
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(before < 60_000, "{before}");
    let outcome = gather(&mut outputs).unwrap();
    assert_eq!((outcome.tally.items_ok, outcome.records.len()), (60_000, 60_000));
}

#[test]
fn requests_that_fail_without_waiting_do_not_keep_their_thread_from_its_intervals() {
    // The loopback's broadcast address: the system refuses at once, and nothing is sent.
    let limits = Limits { warmup: Warmup::None, duration: Some(Duration::from_secs(1)) };
    let outcome =
        run_with(Trial::at("http://127.255.255.255:9").items(1 << 40).in_flight(2).limits(limits), |h| {
            h.start(Clock::now());
        });
    assert!(outcome.tally.items_failed > 100, "{:?}", outcome.kinds());
    assert!(outcome.intervals.len() >= 5, "{} intervals of 20 ms in a second", outcome.intervals.len());
}

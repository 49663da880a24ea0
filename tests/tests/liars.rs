//! A worker whose account makes no sense is dropped with the reason; its part is said to be unknown, and the other
//! workers' stands.

use fluxfleet_proto::wire::worker_up::Message as Up;
use fluxfleet_proto::wire::{self, ErrorCount, Interval, Latency, Prepare, Record, Records, TrialDone};
use fluxfleet_tests::fake::{FakeWorker, hello};
use fluxfleet_tests::fleet::{Coordinator, Sim};
use fluxfleet_tests::results::Results;
use fluxfleet_tests::server::{Gate, Server};

/// The liar's half of the items.
const SHARE: u64 = 10;

/// Runs an honest worker beside one that says `lies` once its trial has started. The liar must be dropped for
/// `why`, and nothing of what it says may be taken for more than its share.
fn caught(why: &str, lies: impl Fn(&Prepare) -> Vec<Up>) -> Results {
    // The honest worker is held until the liar is gone: the trial is not over before.
    let gate = Gate::default();
    let server = Server::holding(0, &gate);
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "2", "--requests", "20", "--concurrent", "2", "--records", "all"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let honest = coordinator.worker("honest");
    let liar = FakeWorker::join(&coordinator.addr, hello("liar")).expect("it is welcome");
    let trial = liar.prepared();
    assert_eq!(trial.share.as_ref().expect("a share").items, SHARE);
    liar.started(&trial);
    for lie in lies(&trial) {
        liar.say(lie);
    }
    liar.dropped();
    coordinator.process.wait_stderr("lost worker liar: ");
    gate.open();
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    let line = ended.stderr.lines().find(|line| line.starts_with("lost worker liar: ")).expect("a line");
    assert!(line.contains(why), "{why:?} is not the reason: {line}");
    assert_eq!(results.verdict(), "degraded", "{}", results.reasons());
    assert!(results.reasons().contains("worker liar was lost: "), "{}", results.reasons());

    assert_eq!(results.worker("honest")["items_ok"], 10);
    assert_eq!(server.posts("/generate"), 10);
    let entry = results.worker("liar");
    assert_eq!((&entry["state"], &entry["items_planned"]), (&"lost".into(), &SHARE.into()), "{entry}");
    let records = results.0["detailed_results"].as_array().expect("an array").len() as u64;
    assert!(records <= 20, "{records} records of 20 items");
    honest.end().expect_code(0);
    results
}

/// An interval that says no more than its number and how many items went well, each in a millisecond.
fn interval(trial: &Prepare, seq: u64, ok: u64) -> Interval {
    let mut latency = fluxfleet_proto::latency::Latency::new();
    (0..ok).for_each(|_| latency.record(fluxfleet_proto::units::Micros(1000)));
    let latency = Latency::from(&latency);
    Interval {
        trial_id: trial.trial_id,
        seq,
        requests_sent: ok,
        items_ok: ok,
        requests_ok: ok,
        response_time: Some(latency.clone()),
        service_time: Some(latency.clone()),
        send_lateness: Some(latency),
        ..Interval::default()
    }
}

fn done(trial: &Prepare, intervals: u64, not_sent: u64) -> Up {
    Up::TrialDone(TrialDone {
        trial_id: trial.trial_id,
        intervals,
        items_not_sent: not_sent,
        not_sent_reason: (not_sent > 0).then(|| "interrupted".to_owned()),
        ..TrialDone::default()
    })
}

#[test]
fn a_histogram_that_does_not_decode_is_no_measurement() {
    let results = caught("it sent a message that makes no sense: `response_time`", |trial| {
        let garbage = Latency { histogram_v2: b"no histogram".to_vec(), ..Latency::default() };
        vec![Up::Interval(Interval { response_time: Some(garbage), ..interval(trial, 0, 3) })]
    });
    results.expect_items("baseline", 10, 0, SHARE);
}

#[test]
fn a_histogram_that_contradicts_its_sums_is_no_measurement() {
    let results = caught("contradict each other", |trial| {
        let mut lie = interval(trial, 0, 3);
        let latency = lie.response_time.as_mut().expect("set above");
        latency.sum_us_lo = u64::MAX;
        vec![Up::Interval(lie)]
    });
    results.expect_items("baseline", 10, 0, SHARE);
}

#[test]
fn an_interval_that_leaves_others_out_is_refused() {
    let results = caught("interval 2 came where 1 was due", |trial| {
        vec![Up::Interval(interval(trial, 0, 3)), Up::Interval(interval(trial, 2, 3))]
    });
    // What came in order counts.
    results.expect_items("baseline", 13, 0, 7);
}

#[test]
fn an_interval_that_is_repeated_counts_once() {
    let results = caught("it reported a fault: enough", |trial| {
        let fault = wire::Fault { trial_id: Some(trial.trial_id), message: "enough".to_owned() };
        vec![Up::Interval(interval(trial, 0, 3)), Up::Interval(interval(trial, 0, 3)), Up::Fault(fault)]
    });
    results.expect_items("baseline", 13, 0, 7);
}

#[test]
fn failures_that_do_not_add_up_are_refused() {
    let results = caught("`items_failed` is 3, which is not the sum of the failures by kind", |trial| {
        let errors = vec![ErrorCount { kind: "timeout".to_owned(), count: 2, example: None }];
        vec![Up::Interval(Interval { items_failed: 3, errors, ..interval(trial, 0, 3) })]
    });
    results.expect_items("baseline", 10, 0, SHARE);
    let results = caught("`items_failed` is 1, which is not the sum of the failures by kind", |trial| {
        // In 64 bits these wrap to 1.
        let error = |kind: &str, count| ErrorCount { kind: kind.to_owned(), count, example: None };
        let errors = vec![error("timeout", u64::MAX), error("dns", 2)];
        vec![Up::Interval(Interval { items_failed: 1, errors, ..interval(trial, 0, 3) })]
    });
    results.expect_items("baseline", 10, 0, SHARE);
}

#[test]
fn more_items_than_its_share_are_refused() {
    let results = caught("its account contradicts itself", |trial| {
        vec![Up::Interval(interval(trial, 0, 4)), Up::Interval(interval(trial, 1, 500))]
    });
    results.expect_items("baseline", 14, 0, 6);
}

#[test]
fn counts_beyond_all_measure_are_refused() {
    caught("", |trial| {
        let errors = vec![ErrorCount { kind: "timeout".to_owned(), count: 1, example: None }];
        let absurd = Interval { items_ok: u64::MAX, items_failed: 1, errors, ..interval(trial, 0, 3) };
        vec![Up::Interval(absurd)]
    })
    .expect_items("baseline", 10, 0, SHARE);
    caught("", |trial| {
        let twice = |seq| Up::Interval(Interval { requests_sent: u64::MAX, ..interval(trial, seq, 3) });
        vec![twice(0), twice(1), done(trial, 2, 99)]
    });
    caught("", |trial| vec![done(trial, 0, u64::MAX)]).expect_items("baseline", 10, 0, SHARE);
}

#[test]
fn an_end_that_does_not_account_for_the_share_is_refused() {
    let results = caught(
        "its account contradicts itself: 3 items ended and 2 were not sent, of a share of 10",
        |trial| vec![Up::Interval(interval(trial, 0, 3)), done(trial, 1, 2)],
    );
    results.expect_items("baseline", 13, 0, 7);
}

#[test]
fn an_end_that_speaks_of_intervals_nobody_saw_is_refused() {
    let results = caught("its account contradicts itself", |trial| {
        vec![Up::Interval(interval(trial, 0, 3)), done(trial, 4, 7)]
    });
    results.expect_items("baseline", 13, 0, 7);
}

#[test]
fn what_comes_after_the_end_is_refused_and_the_end_stands() {
    let results = caught("more came after the end of its trial", |trial| {
        vec![Up::Interval(interval(trial, 0, 3)), done(trial, 1, 7), Up::Interval(interval(trial, 1, 4))]
    });
    results.expect_items("baseline", 13, 0, 7);
    assert_eq!(results.not_sent("baseline", "interrupted"), 7);
}

#[test]
fn a_flood_of_records_is_stopped_at_the_share() {
    caught("its account contradicts itself", |trial| {
        let record = Record { items: 1, items_ok: 1, response_time_us: 1000, ..Record::default() };
        let records = vec![record; 10_000];
        let flood = |seq| Up::Records(Records { trial_id: trial.trial_id, seq, records: records.clone() });
        (0..100).map(flood).collect()
    });
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    caught("its stream broke", |trial| {
        let message = "x".repeat(17 << 20);
        vec![Up::Fault(wire::Fault { trial_id: Some(trial.trial_id), message })]
    });
}

#[test]
fn a_name_with_control_characters_cannot_forge_a_line() {
    let sim = Sim::start(&[]);
    let out = tempfile::tempdir().expect("a directory");
    let coordinator = Coordinator::start(&sim.url, out.path(), &["--requests", "4"]);
    let forger = FakeWorker::join(&coordinator.addr, hello("x\n\u{1b}[2Jlost worker honest: forged"));
    if let Ok(forger) = forger {
        let trial = forger.prepared();
        forger.say(Up::Fault(wire::Fault {
            trial_id: Some(trial.trial_id),
            message: "a\nb\u{1b}[31m".to_owned(),
        }));
    }
    let ended = coordinator.process;
    ended.wait_stderr("forged");
    ended.signal("INT");
    let ended = ended.end();
    for text in [&ended.stderr, &ended.stdout] {
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("lost worker honest")), "{text}");
    }
}

//! Exact accounting of whole trials.

use std::collections::BTreeSet;

use fluxfleet_proto::tally::Tally;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Outcome, Trial, run, server};

const IMAGE: &str = r#"{"image_url":"/x.png","generation_time":"0.25s"}"#;

#[test]
fn every_item_is_asked_for_once_with_its_own_prompt_seed_and_id() {
    let server = server::start(|_| server::json(200, IMAGE));
    let outcome =
        run(Trial::single(&server).first_item(10).items(300).in_flight(7).threads(3).header("x-key", "k"));
    assert_eq!((outcome.tally.items_ok, outcome.tally.requests_ok, server.requests()), (300, 300, 300));
    let mut ids = BTreeSet::new();
    for request in server.seen() {
        let body = request.json();
        let item = body["seed"].as_u64().unwrap() - 40;
        assert!((10..310).contains(&item));
        let prompt = ["一只猫", "a dog", "a \"bird\""][usize::try_from(item % 3).unwrap()];
        assert_eq!((&body["prompt"], &body["width"]), (&json!(prompt), &json!(512)));
        assert_eq!(request.headers["x-key"], "k");
        ids.insert(body["request_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 300);
    assert!(ids.contains("baseline_0010") && ids.contains("baseline_0309"));
}

#[test]
fn records_hold_exactly_what_the_histograms_hold() {
    // Every third request fails.
    let server = server::start(|seen| match seen.index % 3 {
        0 => server::json(500, "no"),
        _ => server::json(200, IMAGE),
    });
    let outcome = run(Trial::single(&server).items(2500).in_flight(16).threads(2).records());
    let Outcome { tally, records, .. } = outcome;
    assert_eq!((tally.items_ok, tally.items_failed, records.len()), (1666, 834, 2500));
    let mut again = Tally::default();
    for record in &records {
        assert_eq!(record.items, 1);
        assert_eq!(record.error.is_some(), record.items_ok == 0);
        if record.items_ok > 0 {
            again.response_time.record(record.response_time);
            again.service_time.record(record.service_time);
            again.generation_time.record(record.generation_time.unwrap());
        } else {
            again.failed_response_time.record(record.response_time);
        }
    }
    assert_eq!(again.response_time, tally.response_time);
    assert_eq!(again.service_time, tally.service_time);
    assert_eq!(again.failed_response_time, tally.failed_response_time);
    assert_eq!(again.generation_time, tally.generation_time);
    assert_eq!((tally.send_lateness.count(), tally.first_byte.count()), (2500, 1666));
    let items: BTreeSet<_> = records.iter().map(|r| r.first_item).collect();
    assert_eq!(items, (0..2500).collect());
}

#[test]
fn a_trial_without_items_ends_at_once() {
    let outcome = run(Trial::at("http://127.0.0.1:1").items(0).in_flight(0).threads(2));
    assert_eq!(outcome.tally, Tally::default());
    assert_eq!((outcome.end.not_sent, outcome.end.active), (None, None));
    assert!(outcome.end.started.is_some());
}

#[test]
fn the_last_batch_is_short_when_the_items_do_not_divide() {
    let server = server::start(|seen| {
        let items = seen.json()["prompts"].as_array().unwrap().len();
        server::json(200, json!({ "results": vec![json!({"url": "/x"}); items] }).to_string())
    });
    let outcome = run(Trial::batch(&server, 4).items(10).in_flight(2).records());
    assert_eq!((outcome.tally.items_ok, outcome.tally.requests_sent), (10, 3));
    let mut sizes: Vec<_> = outcome.records.iter().map(|r| (r.first_item, r.items, r.items_ok)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(0, 4, 4), (4, 4, 4), (8, 2, 2)]);
}

#[test]
fn a_batch_that_is_partly_answered_counts_both_parts() {
    let server =
        server::start(|_| server::json(200, r#"{"images":[{"url":"a"},{"error":"nsfw"},"http://x"]}"#));
    let outcome = run(Trial::batch(&server, 4).items(8).in_flight(1));
    assert_eq!(outcome.tally.items_ok, 4);
    assert_eq!(outcome.kinds(), [("service_error".to_owned(), 2), ("short_answer".to_owned(), 2)]);
    // A request with at least one item ok has its times among the successful ones.
    let t = &outcome.tally;
    assert_eq!((t.requests_failed, t.response_time.count(), t.failed_response_time.count()), (2, 2, 0));
}

#[test]
fn no_more_requests_are_in_flight_than_there_are_places() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let server = server::start_async(|_| async {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        NOW.fetch_sub(1, Ordering::SeqCst);
        server::json(200, IMAGE)
    });
    let outcome = run(Trial::single(&server).items(400).in_flight(5).threads(3));
    assert_eq!(outcome.tally.items_ok, 400);
    assert!(MOST.load(Ordering::SeqCst) <= 5);
}

#[test]
fn an_assignment_that_cannot_be_carried_out_is_a_fault_that_says_what_to_change() {
    let cases = [
        (Trial::at("not a url"), "not a url"),
        (Trial::at("ftp://gpu/"), "http"),
        (Trial::at("http://user:pw@gpu/"), "header"),
        (Trial::at("http://gpu").header("bad name", "x"), "bad name"),
        (Trial::at("http://gpu").header("content-length", "3"), "content-length"),
        (Trial::at("http://gpu").items(1).in_flight(0), "in flight"),
        (
            {
                let mut trial = Trial::at("http://gpu");
                trial.assignment.workload.parameters_json = "[1]".into();
                trial
            },
            "JSON object",
        ),
    ];
    for (trial, expected) in cases {
        let (_handle, mut outputs) =
            fluxfleet_worker::engine::prepare(trial.assignment, std::num::NonZeroUsize::MIN).unwrap();
        match outputs.blocking_recv() {
            Some(fluxfleet_worker::engine::Output::Fault(why)) => {
                assert!(why.contains(expected), "{why}");
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_item_ends_once_however_the_share_is_cut(
        items in 0u64..60, in_flight in 1u32..9, threads in 1usize..5, size in 1u32..7, bad in 0usize..4,
    ) {
        let server = server::start(move |seen| {
            let items = seen.json()["prompts"].as_array().unwrap().len();
            if bad > 0 && seen.index % bad == 0 {
                return server::json(503, "");
            }
            server::json(200, json!(vec!["http://x"; items]).to_string())
        });
        let trial = Trial::batch(&server, size).items(items).in_flight(in_flight).threads(threads);
        let outcome = run(trial);
        // `run` checks the sum; the server saw each request once.
        prop_assert_eq!(outcome.tally.requests_sent, server.requests() as u64);
        prop_assert_eq!(outcome.tally.requests_sent, items.div_ceil(size.into()));
        prop_assert_eq!(outcome.end.not_sent, None);
    }
}

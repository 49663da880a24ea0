//! Jobs that are submitted and polled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;

use crate::support::server::{self, Seen, Server};
use crate::support::{Outcome, Trial, run};

/// Answers submits with `submit` and the n-th poll (from 0) with `poll`.
fn queue(
    submit: (u16, &'static str),
    poll: impl Fn(usize, &Seen) -> Response<Body> + Send + Sync + 'static,
) -> Server {
    let polls = AtomicUsize::new(0);
    server::start(move |seen| match seen.method.as_str() {
        "POST" => server::json(submit.0, submit.1),
        _ => poll(polls.fetch_add(1, Ordering::SeqCst), seen),
    })
}

fn kind(outcome: &Outcome) -> String {
    outcome.kinds().iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>().join(", ")
}

const QUEUED: (u16, &str) = (202, r#"{"request_id":"a/1","status":"queued","status_url":"/jobs/1?x=y"}"#);

#[test]
fn a_job_is_polled_until_it_is_done() {
    let server = queue(QUEUED, |n, _| match n {
        0 => server::json(200, r#"{"status":"PENDING"}"#),
        1 => server::json(202, r#"{"status":"IN_PROGRESS"}"#),
        2 => server::json(200, r#"{"status":"some new state"}"#),
        _ => server::json(200, r#"{"status":"Completed","generation_time":1.5}"#),
    });
    let outcome = run(Trial::submit_poll(&server, None).records());
    let t = &outcome.tally;
    assert_eq!((t.items_ok, t.requests_sent, t.polls_sent), (1, 1, 4));
    assert_eq!(t.generation_time.max().unwrap().0, 1_500_000);
    let polls: Vec<_> = server.seen().into_iter().filter(|s| s.method == "GET").collect();
    assert!(polls.iter().all(|s| s.uri == "/jobs/1?x=y" && s.body.is_empty()));
    // Four intervals of 5 ms at least: the item is held in flight until it has ended.
    assert!(outcome.records[0].service_time.0 >= 20_000);
    assert!(t.first_byte.max().unwrap() < t.service_time.max().unwrap());
}

#[test]
fn a_status_path_takes_the_id_encoded() {
    let server = queue(QUEUED, |_, _| server::json(200, r#"{"status":"ready"}"#));
    assert_eq!(run(Trial::submit_poll(&server, Some("/request-status/{id}"))).tally.items_ok, 1);
    assert_eq!(server.seen()[1].uri, "/request-status/a%2F1");
}

#[test]
fn an_unknown_job_is_pending_until_it_was_seen_and_lost_afterwards() {
    let server = queue(QUEUED, |n, _| match n {
        0 | 1 => server::json(404, r#"{"detail":"not found"}"#),
        _ => server::json(200, r#"{"status":"done"}"#),
    });
    assert_eq!(run(Trial::submit_poll(&server, None)).tally.items_ok, 1);

    let server = queue(QUEUED, |n, _| match n {
        1 => server::json(200, r#"{"status":"processing"}"#),
        _ => server::json(404, r#"{"detail":"not found"}"#),
    });
    let outcome = run(Trial::submit_poll(&server, None));
    assert_eq!((kind(&outcome).as_str(), outcome.tally.polls_sent), ("job_lost 1", 3));
}

#[test]
fn each_end_of_a_job_has_its_kind() {
    for (status, body, expected) in [
        (200, r#"{"status":"failed","error":"no memory"}"#, "job_failed 1"),
        (200, r#"{"status":"COMPLETED","error":"late"}"#, "job_failed 1"),
        (200, r#"{"status":"TIMED_OUT"}"#, "job_failed 1"),
        (200, r#"{"status":"canceled"}"#, "job_cancelled 1"),
        (410, r#"{"detail":"gone"}"#, "job_lost 1"),
        (500, "oops", "http_500 1"),
        (200, "<html>", "not_json 1"),
    ] {
        let server = queue(QUEUED, move |_, _| server::typed(status, "text/plain", body));
        let outcome = run(Trial::submit_poll(&server, None));
        assert_eq!(kind(&outcome), expected, "{body}");
        assert!(outcome.example().starts_with("GET /jobs/1"), "{}", outcome.example());
    }
}

#[test]
fn a_poll_that_is_turned_away_is_repeated() {
    let server = queue(QUEUED, |n, _| match n {
        0 => server::json(429, ""),
        1 => server::json(503, ""),
        _ => server::json(200, r#"{"status":"success"}"#),
    });
    let outcome = run(Trial::submit_poll(&server, None));
    assert_eq!((outcome.tally.items_ok, outcome.tally.polls_sent), (1, 3));
}

#[test]
fn a_job_that_never_ends_times_out_and_the_text_tells_its_last_state() {
    let server = queue(QUEUED, |_, _| server::json(200, r#"{"status":"Content Moderated"}"#));
    let outcome = run(Trial::submit_poll(&server, None).timeout(Duration::from_millis(150)));
    assert_eq!(kind(&outcome), "timeout 1");
    assert!(outcome.example().contains("last state `Content Moderated`"), "{}", outcome.example());
}

#[test]
fn a_submit_that_is_answered_with_the_item_needs_no_poll() {
    for body in [r#"{"request_id":1,"status":"completed","image_url":"/x"}"#, r#"{"image_url":"/x"}"#] {
        let server = queue((200, body), |_, _| server::json(500, ""));
        let outcome = run(Trial::submit_poll(&server, None));
        assert_eq!((outcome.tally.items_ok, outcome.tally.polls_sent, server.requests()), (1, 0, 1));
    }
}

#[test]
fn a_submit_that_fails_is_no_job() {
    for (submit, path, expected, shown) in [
        ((500, r#"{"detail":"Queue is full"}"#), None, "overloaded 1", "Queue is full"),
        ((404, "{}"), None, "http_404 1", "404"),
        ((202, r#"{"request_id":"1"}"#), None, "missing_field 1", "status_url"),
        ((202, r#"{"status_url":"/x"}"#), Some("/s/{id}"), "missing_field 1", "request_id"),
        ((202, r#"{"status_url":"ftp://x/"}"#), None, "missing_field 1", "ftp"),
        ((200, r#"{"status":"error","detail":"bad prompt"}"#), None, "job_failed 1", "bad prompt"),
    ] {
        let server = queue(submit, |_, _| server::json(500, ""));
        let outcome = run(Trial::submit_poll(&server, path));
        assert_eq!((kind(&outcome).as_str(), server.requests()), (expected, 1), "{submit:?}");
        assert!(outcome.example().contains(shown), "{}", outcome.example());
    }
}

//! Asynchronous jobs on services with quirks and on broken ones.

use std::collections::BTreeMap;
use std::sync::Mutex;

use fluxfleet_tests::fleet::run;
use fluxfleet_tests::results::Results;
use fluxfleet_tests::server::{Reply, Server};

const ARGS: [&str; 8] =
    ["--strategies", "async", "--requests", "6", "--concurrent", "3", "--poll-interval", "10ms"];

/// A service of jobs; `status` answers poll number `n` (from 0) of job `j` (from 0).
fn jobs(status: impl Fn(u64, u64) -> Reply + Send + Sync + 'static) -> Server {
    let polls: Mutex<BTreeMap<String, u64>> = Mutex::default();
    Server::start(move |request| {
        if let Some(job) = request.path.strip_prefix("/status/") {
            let mut polls = polls.lock().expect("no panics");
            let count = polls.entry(job.to_owned()).or_default();
            *count += 1;
            return status(job.parse().expect("a job's number"), *count - 1);
        }
        let body = format!(r#"{{"request_id":"{0}","status_url":"/status/{0}"}}"#, request.number);
        Reply::answer(202, "application/json", &body)
    })
}

fn state(state: &str) -> Reply {
    Reply::json(&format!(r#"{{"status":"{state}"}}"#))
}

fn unknown() -> Reply {
    Reply::answer(404, "application/json", r#"{"detail":"Request not found"}"#)
}

/// Runs six jobs: every one is submitted once, whatever becomes of it.
fn six(server: &Server, code: i32, args: &[&str]) -> Results {
    let (ended, results) = run(&server.url(), &[&ARGS[..], args].concat());
    ended.expect_code(code);
    assert_eq!((results.count("async", "requests_sent"), server.posts("/async-generate")), (6, 6));
    results
}

#[test]
fn a_job_that_is_unknown_while_it_waits_in_the_queue_is_waited_for() {
    let server = jobs(|_, n| match n {
        0 | 1 => unknown(),
        2 => state("processing"),
        _ => state("completed"),
    });
    six(&server, 0, &[]).expect_items("async", 6, 0, 0);
}

#[test]
fn a_job_that_ends_as_failed_or_cancelled_is_a_failed_item() {
    let server = jobs(|job, n| match (n, job % 3) {
        (0, _) => state("processing"),
        (_, 0) => Reply::json(r#"{"status":"failed","error":"CUDA out of memory"}"#),
        (_, 1) => state("cancelled"),
        _ => state("completed"),
    });
    let results = six(&server, 0, &[]);
    results.expect_items("async", 2, 4, 0);
    assert_eq!((results.errors("async", "job_failed"), results.errors("async", "job_cancelled")), (2, 2));
    assert!(results.example("async", "job_failed").contains("CUDA out of memory"));
}

#[test]
fn a_job_that_the_service_forgets_is_lost() {
    let server = jobs(|job, n| match (n, job % 2) {
        (0, _) => state("processing"),
        (_, 0) => unknown(),
        _ => state("completed"),
    });
    let results = six(&server, 0, &[]);
    results.expect_items("async", 3, 3, 0);
    assert_eq!(results.errors("async", "job_lost"), 3);
}

#[test]
fn a_job_that_never_ends_times_out_with_its_last_state() {
    let server = jobs(|job, _| if job == 0 { state("completed") } else { state("thinking") });
    let results = six(&server, 0, &["--timeout", "1s"]);
    results.expect_items("async", 1, 5, 0);
    assert_eq!(results.errors("async", "timeout"), 5);
    let example = results.example("async", "timeout");
    assert!(example.contains("thinking") && example.contains("within 1s"), "{example}");
}

#[test]
fn a_poll_that_is_turned_away_is_repeated_and_one_that_breaks_fails_the_item() {
    let server = jobs(|job, n| match (n, job) {
        (0, _) => Reply::answer(429, "text/plain", "too many polls"),
        (1, _) => Reply::answer(503, "text/plain", "busy"),
        (_, 0) => Reply::answer(500, "text/plain", "the status is broken"),
        (_, 1) => Reply::Cut(Vec::new()),
        (_, 2) => Reply::answer(200, "text/html", "<html>"),
        _ => state("completed"),
    });
    let results = six(&server, 0, &[]);
    results.expect_items("async", 3, 3, 0);
    for kind in ["http_500", "disconnected", "not_json"] {
        assert_eq!(results.errors("async", kind), 1, "{kind}");
        assert!(
            results.example("async", kind).contains("GET /status/"),
            "{}",
            results.example("async", kind)
        );
    }
}

#[test]
fn a_submit_answer_that_leads_to_no_job_fails_the_item() {
    let server = Server::start(|request| match request.number % 3 {
        0 => Reply::answer(202, "application/json", r#"{"status":"queued"}"#),
        1 => Reply::answer(503, "application/json", r#"{"detail":"Queue is full"}"#),
        _ => Reply::answer(202, "application/json", r#"{"request_id":"x","status_url":"http://"}"#),
    });
    let results = six(&server, 5, &[]);
    results.expect_items("async", 0, 6, 0);
    assert_eq!((results.errors("async", "missing_field"), results.errors("async", "overloaded")), (4, 2));
}

#[test]
fn another_services_routes_are_named_in_the_plan_file() {
    let server = Server::start(|request| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/queue/submit") => {
            Reply::json(&format!(r#"{{"task_id":"a b/{}","status":"in_progress"}}"#, request.number))
        }
        // The id is escaped where it goes into a URL.
        ("GET", path) if path.starts_with("/queue/status?task_id=a%20b%2F") => state("completed"),
        _ => unknown(),
    });
    let files = tempfile::tempdir().expect("a directory");
    let plan = files.path().join("plan.toml");
    let routes = "strategies = ['async']\nrequests = 6\npoll-interval = '10ms'\n[strategy.async]\n\
                  path = '/queue/submit'\nid_field = 'task_id'\nstatus_path = '/queue/status?task_id={id}'\n";
    std::fs::write(&plan, routes).expect("a file");
    let (ended, results) = run(&server.url(), &["--plan", plan.to_str().expect("UTF-8")]);
    ended.expect_code(0);
    results.expect_items("async", 6, 0, 0);
    assert_eq!(server.posts("/queue/submit"), 6);
}

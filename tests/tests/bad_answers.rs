//! Services that are there and answer wrongly: every item is accounted for, by kind, with an example.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fluxfleet_tests::fleet::{Run, Sim, run};
use fluxfleet_tests::process::eventually;
use fluxfleet_tests::server::{Reply, Server};

/// A way of failing, its kind, and words of the example.
fn failures() -> Vec<(Reply, &'static str, &'static str)> {
    let json = |status, body| Reply::answer(status, "application/json", body);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    vec![
        (Reply::answer(200, "text/html", "<html>Welcome to nginx"), "not_json", "Welcome to nginx"),
        (json(200, ""), "empty_body", "no body"),
        (json(200, r#"{"image_url":"/i"#), "invalid_json", r#"{"image_url":"/i"#),
        (json(200, r#"{"seed":1}"#), "missing_field", r#"{"seed":1}"#),
        (json(200, r#"{"image_url":"/i.png","error":"out of memory"}"#), "service_error", "out of memory"),
        (Reply::Flood(100 << 20), "body_too_large", "longer than the limit of 33554432 bytes"),
        (Reply::Stall, "timeout", "no answer within 1s"),
        (Reply::Cut(Vec::new()), "disconnected", "POST /generate"),
        (Reply::Cut(format!("{head}{{\"image_url\"").into_bytes()), "disconnected", "POST /generate"),
        (Reply::Cut(b"EHLO there\r\n\r\n".to_vec()), "protocol", "not HTTP"),
        (json(429, r#"{"detail":"slow down"}"#), "overloaded", ""),
        (json(503, r#"{"detail":"warming up"}"#), "overloaded", ""),
        (json(500, r#"{"detail":"Queue is full, 100 waiting"}"#), "overloaded", ""),
        (json(500, r#"{"detail":"CUDA error"}"#), "http_500", "CUDA error"),
        (json(422, r#"{"detail":"no prompt"}"#), "http_422", "no prompt"),
    ]
}

#[test]
fn every_wrong_answer_is_counted_by_its_kind_with_an_example() {
    let ways = failures();
    let period = ways.len() as u64 + 1;
    let replies: Vec<Reply> = ways.iter().map(|(reply, ..)| reply.clone()).collect();
    // One good answer, then each wrong one, and so on.
    let server = Server::start(move |request| match request.number % period {
        0 => Reply::image(),
        n => replies[usize::try_from(n - 1).expect("small")].clone(),
    });
    let items = (period * 3).to_string();
    let (ended, results) =
        run(&server.url(), &["--requests", &items, "--concurrent", "4", "--timeout", "1s"]);
    ended.expect_code(0);
    assert_eq!(server.posts("/generate"), period * 3);
    assert_eq!(results.count("baseline", "requests_sent"), period * 3);
    results.expect_items("baseline", 3, (period - 1) * 3, 0);
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, kind, example) in &ways {
        *expected.entry(kind).or_default() += 3;
        let shown = results.example("baseline", kind);
        assert!(shown.contains(example) && shown.contains("POST /generate"), "{kind}: {shown}");
    }
    for (kind, count) in expected {
        assert_eq!(results.errors("baseline", kind), count, "{kind}");
        ended.expect_stdout(&[&format!("{kind} x {count}, for example: POST /generate")]);
    }
    let share = results.strategy("baseline")["success_rate"].as_f64().expect("a number");
    assert!((share - 300.0 / (period * 3) as f64).abs() < 1e-9, "{share} % of the items succeeded");
}

#[test]
fn a_share_of_errors_is_the_servers_own_share() {
    let server = Server::start(|request| match request.number % 3 {
        2 => Reply::answer(500, "text/plain", "now and then"),
        _ => Reply::image(),
    });
    let (ended, results) = run(&server.url(), &["--requests", "60", "--concurrent", "5"]);
    ended.expect_code(0);
    results.expect_items("baseline", 40, 20, 0);
    assert_eq!(results.errors("baseline", "http_500"), 20);
    assert_eq!((results.count("baseline", "requests_sent"), server.posts("/generate")), (60, 60));
    results.expect_sound();
}

#[test]
fn a_service_that_only_fails_makes_the_run_invalid() {
    for (reply, kind, words) in [
        (Reply::answer(200, "text/html", "<html>login"), "not_json", "what it answers on this path"),
        (Reply::Cut(Vec::new()), "disconnected", "look for restarts in the service's log"),
        (Reply::answer(500, "text/plain", "Queue is full"), "overloaded", "lower the load"),
    ] {
        let server = Server::start(move |_| reply.clone());
        let (ended, results) = run(&server.url(), &["--requests", "5"]);
        ended.expect_code(5);
        results.expect_items("baseline", 0, 5, 0);
        assert_eq!(results.errors("baseline", kind), 5);
        assert_eq!(results.verdict(), "invalid");
        assert_eq!(server.posts("/generate"), 5);
        ended.expect_stdout(&["INVALID", "nothing succeeded", &format!("{kind} x 5"), words]);
        let entry = results.strategy("baseline");
        let error = entry["error"].as_str().expect("why there is no success");
        assert!(error.contains(kind) && error.contains(words), "{error}");
        for field in ["avg_response_time", "p50_response_time", "p95_response_time"] {
            assert_ne!(
                entry[field].as_f64(),
                Some(0.0),
                "{field}: no success took no time is no measurement"
            );
        }
    }
}

#[test]
fn an_invalid_run_can_be_allowed() {
    let server = Server::start(|_| Reply::answer(500, "text/plain", "never"));
    let (ended, results) = run(&server.url(), &["--requests", "3", "--allow-invalid"]);
    ended.expect_code(0);
    assert_eq!(results.verdict(), "invalid");
}

#[test]
fn a_batch_counts_each_of_its_items() {
    // Of four items: all, two of them, none, one of them marked as failed.
    let server = Server::start(|request| {
        let item = r#"{"image_url":"/i.png"}"#;
        match request.number {
            1 => Reply::json(&format!(r#"{{"results":[{item},{item}]}}"#)),
            2 => Reply::answer(500, "text/plain", "batch too hot"),
            3 => Reply::json(&format!(r#"{{"results":[{item},{{"error":"nan"}},{item},{item}]}}"#)),
            _ => Reply::json(&format!(r#"{{"results":[{item},{item},{item},{item}]}}"#)),
        }
    });
    let (ended, results) =
        run(&server.url(), &["--strategies", "batch", "--requests", "18", "--concurrent", "1"]);
    ended.expect_code(0);
    // The fleet's last request asks for two and is given four.
    assert_eq!((results.count("batch", "requests_sent"), server.posts("/batch-generate")), (5, 5));
    results.expect_items("batch", 4 + 2 + 3 + 2, 2 + 4 + 1, 0);
    assert_eq!(results.errors("batch", "short_answer"), 2);
    assert_eq!(results.errors("batch", "http_500"), 4);
    assert_eq!(results.errors("batch", "service_error"), 1);
    assert!(results.example("batch", "short_answer").contains("2 of 4 items"));
    ended.expect_stdout(&["short_answer x 2", "lower --batch-size"]);
}

#[test]
fn a_redirect_is_followed_and_the_body_goes_along() {
    let bodies: Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>> = Arc::default();
    let seen = bodies.clone();
    let server = Server::start(move |request| {
        seen.lock().expect("no panics").entry(request.path.clone()).or_default().push(request.body.clone());
        match request.path.as_str() {
            "/generate" => Reply::redirect("/v2/generate"),
            _ => Reply::image(),
        }
    });
    let (ended, results) = run(&server.url(), &["--requests", "8", "--concurrent", "2"]);
    ended.expect_code(0);
    results.expect_items("baseline", 8, 0, 0);
    assert_eq!(results.count("baseline", "requests_sent"), 8);
    assert_eq!((server.posts("/generate"), server.posts("/v2/generate")), (8, 8));
    let mut bodies = bodies.lock().expect("no panics");
    let [mut first, mut second] =
        ["/generate", "/v2/generate"].map(|path| bodies.remove(path).expect("asked"));
    first.sort();
    second.sort();
    assert!(first[0].starts_with(b"{\"prompt\":"), "{}", String::from_utf8_lossy(&first[0]));
    assert_eq!(first, second);
}

#[test]
fn redirects_that_lead_nowhere_fail_by_name() {
    let server = Server::start(|request| match request.number % 2 {
        0 => Reply::redirect("/generate"),
        _ => Reply::redirect("http://"),
    });
    let (ended, results) = run(&server.url(), &["--requests", "4"]);
    ended.expect_code(5);
    results.expect_items("baseline", 0, 4, 0);
    assert_eq!(results.errors("baseline", "redirect"), 4);
}

#[test]
fn a_service_that_closes_each_connection_as_announced_causes_no_failure() {
    let server = Server::start(|_| Reply::last_image());
    let (ended, results) = run(&server.url(), &["--requests", "30", "--concurrent", "3"]);
    ended.expect_code(0);
    results.expect_items("baseline", 30, 0, 0);
    assert_eq!(server.posts("/generate"), 30);
    assert!(server.connections() >= 30, "each request needed its own connection");
}

#[test]
fn a_service_that_dies_under_the_load_fails_what_comes_after() {
    let sim = Sim::start(&[]);
    let run = Run::start(&sim.url, &["--requests", "3000", "--concurrent", "8"]);
    eventually("some items are made", || sim.completed("/generate") >= 20);
    sim.kill();
    let (ended, results) = run.results();
    ended.expect_code(0);
    let ok = results.count("baseline", "items_ok");
    assert!((10..3000).contains(&ok), "{ok} succeeded before");
    let gone = results.errors("baseline", "connect") + results.errors("baseline", "disconnected");
    assert_eq!(ok + gone, 3000, "{}", results.strategy("baseline")["errors"]);
    assert_eq!(results.count("baseline", "requests_sent"), 3000);
}

//! Services that misbehave: each way has its own kind, a text that helps, and never hangs.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use fluxfleet_proto::trial::DriverChoice;

use crate::support::{Outcome, Trial, run, server};

const IMAGE: &str = r#"{"image_url":"/x.png"}"#;
/// For servers that never answer: short, since the test waits it out.
const SHORT: Duration = Duration::from_millis(150);

fn kind_and_text(outcome: &Outcome) -> (String, String) {
    let kinds = outcome.kinds();
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    (kinds[0].0.clone(), outcome.example())
}

#[test]
fn each_bad_answer_has_its_kind_and_shows_what_came() {
    for (status, media, body, kind, shown) in [
        (500, "text/plain", "kaboom", "http_500", "kaboom"),
        (404, "application/json", r#"{"detail":"Not Found"}"#, "http_404", "Not Found"),
        (429, "application/json", r#"{"detail":"slow down"}"#, "overloaded", "429"),
        (503, "text/html", "<h1>later</h1>", "overloaded", "503"),
        (500, "application/json", r#"{"detail":"Queue is full"}"#, "overloaded", "500"),
        (200, "application/json", "", "empty_body", "no body"),
        (200, "text/html", "<html>welcome</html>", "not_json", "<html>welcome"),
        (200, "application/json", r#"{"image_url": "/x.pn"#, "invalid_json", "/x.pn"),
        (200, "application/json", r#"{"seed": 1}"#, "missing_field", "seed"),
        (200, "application/json", r#"{"url":"x","error":"out of memory"}"#, "service_error", "out of memory"),
        (200, "application/json", r#"{"status":"failed","detail":"no GPU"}"#, "service_error", "no GPU"),
        (200, "application/json", r#"{"success":false,"image":"x"}"#, "service_error", "success"),
    ] {
        let server = server::start(move |_| server::typed(status, media, body));
        let outcome = run(Trial::single(&server).items(3).in_flight(2));
        let (seen, text) = kind_and_text(&outcome);
        assert_eq!((seen.as_str(), outcome.tally.items_failed, server.requests()), (kind, 3, 3), "{body}");
        assert!(text.starts_with("POST /generate: ") && text.contains(shown), "{text}");
        assert_eq!(outcome.tally.failed_response_time.count(), 3);
    }
}

#[test]
fn an_image_as_it_is_counts_as_an_item() {
    let server = server::start(|_| server::typed(200, "image/png", &b"\x89PNG\r\n\x1a\n"[..]));
    let outcome = run(Trial::single(&server).items(2));
    assert_eq!((outcome.tally.items_ok, outcome.tally.bytes_received), (2, 16));
}

#[test]
fn a_large_image_in_json_is_an_item_and_its_bytes_are_counted() {
    let body = format!(r#"{{"image_base64":"{}"}}"#, "A".repeat(3_000_000));
    let length = body.len() as u64;
    let server = server::start(move |_| server::json(200, body.clone()));
    let outcome = run(Trial::single(&server).items(2).max_body(4_000_000));
    assert_eq!((outcome.tally.items_ok, outcome.tally.bytes_received), (2, 2 * length));
    let outcome = run(Trial::single(&server).items(2).max_body(1_000_000));
    assert_eq!(kind_and_text(&outcome).0, "body_too_large");
}

#[test]
fn a_server_that_never_answers_costs_one_timeout() {
    let server = server::start_async(|_| std::future::pending());
    let outcome = run(Trial::single(&server).items(4).in_flight(4).timeout(SHORT));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), server.requests()), ("timeout", 4));
    assert!(text.contains("no answer within 150ms"), "{text}");
    assert!(outcome.tally.failed_response_time.min().unwrap().0 >= 150_000);
}

#[test]
fn a_body_that_stalls_is_a_timeout_that_tells_how_much_came() {
    let url = raw(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789").unwrap();
        // Held open until the client goes away.
        let _ = stream.read(&mut [0; 64]);
    });
    let outcome = run(Trial::at(url).timeout(SHORT));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), outcome.tally.bytes_received), ("timeout", 10));
    assert!(text.contains("stalled after 10 body bytes"), "{text}");
}

#[test]
fn an_endless_body_ends_at_the_limit() {
    let url = raw(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"image\":\"").unwrap();
        while stream.write_all(&[b'A'; 4096]).is_ok() {}
    });
    assert_eq!(kind_and_text(&run(Trial::at(url).max_body(200_000))).0, "body_too_large");
}

#[test]
fn a_service_that_answers_with_something_else_than_http_is_a_protocol_failure() {
    let url = raw(|stream| stream.write_all(b"+OK redis here\r\n").unwrap());
    let (kind, text) = kind_and_text(&run(Trial::at(url)));
    assert_eq!(kind, "protocol");
    assert!(text.contains("not HTTP/1.1"), "{text}");
}

#[test]
fn a_connection_cut_within_the_answer_is_disconnected() {
    let url = raw(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"image_url\"").unwrap();
    });
    assert_eq!(kind_and_text(&run(Trial::at(url))).0, "disconnected");
}

#[test]
fn a_service_that_is_not_there_is_a_connect_failure_for_each_item() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = run(Trial::at(format!("http://{address}")).items(50).in_flight(8).threads(2));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), outcome.tally.items_failed), ("connect", 50));
    assert!(text.contains(&address.to_string()), "{text}");
}

#[test]
fn a_service_that_accepts_no_connections_is_a_connect_failure_in_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts; once the queue is full the system answers no further attempt.
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, SHORT) {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue is bounded");
    }
    let (kind, text) = kind_and_text(&run(Trial::at(format!("http://{address}")).timeout(SHORT)));
    assert_eq!(kind, "connect");
    assert!(text.contains("no connection within 150ms"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_failure() {
    let outcome = run(Trial::at("http://no-such-host.invalid:8000").items(20).in_flight(20));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), outcome.tally.items_failed), ("dns", 20));
    assert!(text.contains("no-such-host.invalid"), "{text}");
}

#[test]
fn https_to_a_port_that_speaks_plain_http_is_a_tls_failure() {
    let server = server::start(|_| server::json(200, IMAGE));
    let outcome = run(Trial::at(server.url().replace("http:", "https:")));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), server.requests()), ("tls", 0));
    assert!(text.contains("http://"), "{text}");
}

#[test]
fn a_slash_redirect_is_followed_with_its_body_and_counted() {
    let server = server::start(|seen| match seen.uri.path() {
        "/generate" => {
            let mut answer = server::json(307, "");
            answer.headers_mut().insert("location", "/generate/".parse().unwrap());
            answer
        }
        _ => server::json(200, IMAGE),
    });
    let outcome = run(Trial::single(&server).items(4).in_flight(2));
    assert_eq!((outcome.tally.items_ok, outcome.tally.redirects, outcome.tally.requests_sent), (4, 4, 4));
    let seen = server.seen();
    assert_eq!(seen.len(), 8);
    assert!(seen.iter().all(|s| s.method == "POST" && s.json()["width"] == 512));
}

#[test]
fn a_see_other_is_followed_by_get() {
    let server = server::start(|seen| match seen.method.as_str() {
        "POST" => {
            let mut answer = server::json(303, "");
            answer.headers_mut().insert("location", "result?id=1".parse().unwrap());
            answer
        }
        _ => server::json(200, IMAGE),
    });
    assert_eq!(run(Trial::single(&server)).tally.items_ok, 1);
    let last = server.seen().pop().unwrap();
    assert_eq!((last.uri.to_string().as_str(), last.body.len()), ("/result?id=1", 0));
}

#[test]
fn redirects_that_go_round_are_given_up() {
    let server = server::start(|_| {
        let mut answer = server::json(308, "");
        answer.headers_mut().insert("location", "/generate".parse().unwrap());
        answer
    });
    let outcome = run(Trial::single(&server));
    let (kind, text) = kind_and_text(&outcome);
    assert_eq!((kind.as_str(), outcome.tally.redirects, server.requests()), ("redirect", 5, 6));
    assert!(text.contains("more than 5"), "{text}");
}

/// A server that reads one request's beginning and leaves the rest to `answer`; for each connection anew.
fn raw(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            answer(&mut stream);
        }
    });
    url
}

#[test]
fn a_request_lasts_until_its_answer_ends_or_breaks_whichever_driver_sends_it() {
    const PAUSE: Duration = Duration::from_millis(60);
    for (rest, ok) in [(&IMAGE[7..], 1), ("", 0)] {
        let url = raw(move |stream| {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", IMAGE.len());
            let _ = stream.write_all((head + &IMAGE[..7]).as_bytes());
            std::thread::sleep(PAUSE);
            let _ = stream.write_all(rest.as_bytes());
        });
        for driver in [DriverChoice::Direct, DriverChoice::General] {
            let mut trial = Trial::at(&url).records();
            trial.assignment.target.transport.driver = driver;
            let outcome = run(trial);
            assert_eq!(outcome.tally.items_ok, ok, "{driver:?}: {:?}", outcome.kinds());
            let service_time = outcome.records[0].service_time.0;
            assert!(u128::from(service_time) >= PAUSE.as_micros(), "{driver:?}: {service_time} us");
        }
    }
}

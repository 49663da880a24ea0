//! Targets that cannot be reached, or serve no strategy: found before the load, told with what to do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use fluxfleet_tests::fleet::{Sim, run};
use fluxfleet_tests::process::{Ended, fluxfleet};
use fluxfleet_tests::server::{Reply, Server};

/// Runs against a target and fails unless it was given up before the load with these words.
fn give_up(url: &str, args: &[&str], words: &[&str]) -> Ended {
    let out = tempfile::tempdir().expect("a directory");
    let dir = out.path().to_str().expect("UTF-8");
    let ended = fluxfleet(&[&["run", "--url", url, "--save", "--out", dir], args].concat());
    ended.expect_code(3);
    ended.expect_stderr(&[url]);
    ended.expect_stderr(words);
    assert_eq!(ended.stdout, "");
    assert!(!out.path().join("results.json").exists(), "there are no results");
    ended
}

/// Serves bytes, whatever the client says first.
fn raw(answer: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            answer(&mut stream);
        }
    });
    addr
}

#[test]
fn nobody_listening_is_a_refused_connection() {
    // Nobody else is given the port while it is taken at the next address.
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = held.local_addr().expect("bound").port();
    let words = ["cannot reach", "connection refused; is the service running, and on this port?"];
    give_up(&format!("http://127.0.0.2:{port}"), &["--strategies", "all"], &words);
    give_up(&format!("https://127.0.0.2:{port}"), &[], &words);
}

#[test]
fn without_the_look_before_it_the_load_itself_says_what_is_wrong() {
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = held.local_addr().expect("bound").port();
    let sim = Sim::start(&["--without", "/generate"]);
    for (code, url, kind, words) in [
        (5, format!("http://127.0.0.2:{port}"), "connect", "check that the service runs at --url"),
        (5, "http://no-such-host.invalid:1".to_owned(), "dns", "check the host name in --url"),
        (5, sim.url.replace("http://", "https://"), "tls", "whether it speaks plain http"),
        (3, sim.url.clone(), "http_404", "leave the strategy out of --strategies"),
    ] {
        let (ended, results) = run(&url, &["--skip-preflight", "--requests", "4"]);
        ended.expect_code(code);
        results.expect_items("baseline", 0, 4, 0);
        assert_eq!(results.errors("baseline", kind), 4, "{kind}");
        ended.expect_stdout(&[&format!("{kind} x 4"), words]);
    }
}

#[test]
fn a_name_that_does_not_resolve_says_so() {
    give_up("http://no-such-host.invalid:1", &[], &["the host name does not resolve; check its spelling"]);
}

#[test]
fn https_to_a_port_that_speaks_plain_http_says_to_use_http() {
    let sim = Sim::start(&[]);
    let url = sim.url.replace("http://", "https://");
    give_up(&url, &[], &["TLS failed", "does this port speak plain HTTP? then use http://"]);
    assert_eq!(sim.requests("/generate"), 0);
}

#[test]
fn http_to_a_port_that_speaks_tls_says_to_use_https() {
    let addr = raw(|stream| {
        // A TLS server's own words to a client that does not begin a handshake; a certificate is not needed for them.
        let mut tls = rustls::server::Acceptor::default();
        let _ = tls.read_tls(stream);
        if let Err((_, mut alert)) = tls.accept() {
            let _ = alert.write_all(stream);
        }
    });
    give_up(&format!("http://{addr}"), &[], &["does not speak HTTP", "does this port want https://"]);
}

#[test]
fn a_port_that_does_not_speak_http_says_so() {
    let addr = raw(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    give_up(&format!("http://{addr}"), &[], &["does not speak HTTP", "is it another service's?"]);
}

#[test]
fn a_port_that_hangs_up_says_so() {
    let addr = raw(|stream| {
        let _ = stream.read(&mut [0; 1024]);
    });
    give_up(&format!("http://{addr}"), &[], &["does not speak HTTP"]);
}

#[test]
fn a_service_with_none_of_the_routes_is_given_up_with_each_of_them_named() {
    let server = Server::raw(|_| Reply::answer(404, "application/json", r#"{"detail":"Not Found"}"#));
    let url = server.url();
    let ended = give_up(
        &url,
        &["--strategies", "all"],
        &[
            "serves none of the strategies",
            &format!("- baseline: POST {url}/generate answers 404"),
            &format!("- model_pool: POST {url}/generate answers 404"),
            &format!("- batch: POST {url}/batch-generate answers 404"),
            &format!("- async: POST {url}/async-generate answers 404"),
            "[strategy.NAME] path",
        ],
    );
    assert!(!ended.stderr.contains("20 items"), "no load was begun:\n{}", ended.stderr);
    // One look at each route, with nothing in it that could be generated.
    assert_eq!(server.all_posts(), 3);
}

#[test]
fn a_strategy_without_its_route_is_left_out_and_the_others_run() {
    let sim = Sim::start(&["--without", "/batch-generate"]);
    let args = ["--strategies", "baseline", "batch", "async", "--requests", "6", "--poll-interval", "10ms"];
    let (ended, results) = run(&sim.url, &args);
    ended.expect_code(0);
    let why = format!("POST {}/batch-generate answers 404; the service has no such endpoint", sim.url);
    ended.expect_stderr(&[
        "batch is left out: ",
        &why,
        "leave the strategy out, or name its route in a plan file",
    ]);
    ended.expect_stdout(&["batch: skipped: ", &why]);

    let batch = results.strategy("batch");
    assert!(batch["skipped"].as_str().expect("a reason").contains(&why), "{batch}");
    for field in ["throughput", "avg_response_time", "p95_response_time", "success_rate", "efficiency_score"]
    {
        assert!(batch[field].is_null(), "{field} of a strategy that did not run: {}", batch[field]);
    }
    for strategy in ["baseline", "async"] {
        results.expect_items(strategy, 6, 0, 0);
        assert!(results.strategy(strategy)["skipped"].is_null());
    }
    results.expect_sound();
    assert_eq!(sim.completed("/generate") + sim.completed("/async-generate"), 12);
}

/// Answers OPTIONS alike for every path, as some proxies do, and serves one route.
fn hiding(served: &'static str) -> Server {
    Server::raw(move |request| match request.method.as_str() {
        "OPTIONS" => Reply::answer(200, "text/plain", "GET, POST"),
        _ if request.path == served => Reply::image(),
        _ => Reply::answer(404, "text/plain", "no such page"),
    })
}

#[test]
fn a_missing_route_that_hides_from_the_look_ends_the_load() {
    let server = hiding("/nothing");
    let (ended, results) = run(&server.url(), &["--requests", "1000000000", "--concurrent", "2"]);
    ended.expect_code(3);
    let failed = results.errors("baseline", "http_404");
    let unsent = results.not_sent("baseline", "no_endpoint");
    results.expect_items("baseline", 0, failed, unsent);
    assert!(failed > 0 && unsent > 0, "{failed} and {unsent}");
    assert_eq!(results.count("baseline", "requests_sent"), server.posts("/generate"));
    assert!(results.strategy("baseline")["throughput"].is_null(), "a row of zeros");
    ended.expect_stdout(&["INVALID", "http_404 x", "leave the strategy out of --strategies"]);
}

#[test]
fn a_strategy_whose_missing_route_hides_is_no_row_of_zeros_and_the_others_run() {
    let server = hiding("/generate");
    let (ended, results) = run(&server.url(), &["--strategies", "batch,baseline", "--requests", "8"]);
    ended.expect_code(0);
    results.expect_items("batch", 0, 8, 0);
    results.expect_items("baseline", 8, 0, 0);
    let batch = results.strategy("batch");
    for field in ["throughput", "avg_response_time", "efficiency_score"] {
        assert!(batch[field].is_null(), "{field}: {}", batch[field]);
    }
    assert!(batch["error"].as_str().expect("why").contains("http_404"), "{batch}");
    assert_eq!(results.0["best_strategy"]["strategy"], "baseline", "{}", results.0["best_strategy"]);
}

#[test]
fn a_route_that_only_knows_post_is_found_without_an_item_being_made() {
    // Some frameworks answer 404 to every method they do not know.
    let server = Server::raw(|request| match (request.method.as_str(), request.body.is_empty()) {
        ("POST", false) => Reply::image(),
        ("POST", true) => Reply::answer(422, "application/json", r#"{"detail":"no prompt"}"#),
        _ => Reply::answer(404, "application/json", r#"{"detail":"Not Found"}"#),
    });
    let (ended, results) = run(&server.url(), &["--requests", "5"]);
    ended.expect_code(0);
    results.expect_items("baseline", 5, 0, 0);
    assert_eq!(results.count("baseline", "requests_sent"), 5);
    assert_eq!(server.posts("/generate"), 6, "the look and five requests");
}

#[test]
fn a_route_that_wants_credentials_is_doubted_and_tried() {
    let server = Server::raw(|_| Reply::answer(401, "application/json", r#"{"detail":"who are you?"}"#));
    let (ended, results) = run(&server.url(), &["--requests", "4"]);
    ended.expect_code(5);
    ended.expect_stderr(&["baseline: /generate answers 401; requests may need --header 'Authorization: ..'"]);
    assert_eq!(results.errors("baseline", "http_401"), 4);
    ended.expect_stdout(&["http_401 x 4", "who are you?", "send the credentials that the service asks for"]);
}

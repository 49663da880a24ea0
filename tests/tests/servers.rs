//! The HTTP drivers against servers and proxies that nobody here wrote: the server's access log is held against the
//! report, request by request.

use fluxfleet_tests::access::{Accesses, ends};
use fluxfleet_tests::fleet::{Run, run};
use fluxfleet_tests::peers::{Certificate, Nginx, Onward, Peer};
use fluxfleet_tests::process::eventually;
use fluxfleet_tests::real::set_up;
use fluxfleet_tests::results::Results;

const DRIVERS: [&[&str]; 3] =
    [&["--driver", "direct"], &["--driver", "general"], &["--driver", "general", "--http", "2"]];

/// Requests go well, and the log knows each of them once.
fn expect_all_well(peer: &Peer, args: &[&str]) -> (Results, Accesses) {
    peer.log.clear();
    let (ended, results) = run(&peer.url, &[&["--records", "all"], args].concat());
    ended.expect_code(0);
    let planned = results.count("baseline", "items_planned");
    results.expect_items("baseline", planned, 0, 0);
    let accesses = peer.log.read_as_reported(&results, &[]);
    (results, accesses)
}

/// nginx ends each connection after its seventh request, and no request meets the end.
fn expect_sevens(peer: &Peer, args: &[&str]) {
    let (results, accesses) =
        expect_all_well(peer, &[&["--requests", "203", "--concurrent", "1"], args].concat());
    assert_eq!(accesses.by_connection(), [7; 29]);
    assert_eq!(results.count("baseline", "connections"), 29);
    // Of several at once, as many may be left in the middle.
    let (results, accesses) =
        expect_all_well(peer, &[&["--requests", "1000", "--concurrent", "8"], args].concat());
    let carried = accesses.by_connection();
    assert!(carried.iter().filter(|&&n| n < 7).count() <= 8, "{carried:?}");
    assert!(carried.iter().all(|&n| n <= 7), "{carried:?}");
    // The general driver may have opened some that were not needed any more.
    let spare = if args.contains(&"direct") { 0 } else { 8 };
    let (carried, reported) = (carried.len() as u64, results.count("baseline", "connections"));
    assert!((carried..=carried + spare).contains(&reported), "{reported}, {carried}");
}

#[test]
fn nginx_logs_what_is_reported_and_ends_each_connection_after_seven_requests() {
    set_up();
    let nginx = Peer::nginx(Nginx { keepalive_requests: Some(7), ..Nginx::default() });
    for driver in ["direct", "general"] {
        expect_sevens(&nginx, &["--driver", driver]);
    }
}

#[test]
fn nginx_over_tls_logs_what_is_reported_and_ends_each_connection_after_seven_requests() {
    set_up();
    let certificate = Certificate::make();
    let nginx = Peer::nginx(Nginx {
        keepalive_requests: Some(7),
        certificate: Some(&certificate),
        ..Nginx::default()
    });
    for driver in ["direct", "general"] {
        expect_sevens(&nginx, &["--driver", driver, "--ca", certificate.as_arg()]);
    }
}

#[test]
fn nginx_in_front_of_uvicorn_and_uvicorn_log_what_is_reported() {
    set_up();
    let uvicorn = Peer::uvicorn(true);
    let nginx = Peer::nginx(Nginx { onward: Onward::Service(uvicorn.port()), ..Nginx::default() });
    let (ended, results) = run(
        &nginx.url,
        &["--records", "all", "--requests", "500", "--concurrent", "8", "--driver", "direct"],
    );
    ended.expect_code(0);
    assert_eq!(results.errors("baseline", "http_500"), 71);
    for log in [&nginx.log, &uvicorn.log] {
        log.read_as_reported(&results, &[]);
    }
}

#[test]
fn nginx_as_a_forward_proxy_logs_what_is_reported() {
    set_up();
    let uvicorn = Peer::uvicorn(true);
    let nginx = Peer::nginx(Nginx { onward: Onward::Anywhere, ..Nginx::default() });
    let plan = ["--records", "all", "--requests", "300", "--concurrent", "8", "--proxy", &nginx.url];
    let (ended, results) = run(&uvicorn.url, &plan);
    ended.expect_code(0);
    assert_eq!(results.errors("baseline", "http_500"), 42);
    for log in [&nginx.log, &uvicorn.log] {
        log.read_as_reported(&results, &[]);
    }
}

const UNDER_LOAD: [&str; 6] = ["--requests", "2000", "--rate", "500", "--records", "all"];
/// What may befall a request to an nginx that goes away: it passes requests on to itself, and may no longer get there.
const ENDED: [&str; 3] = ["disconnected", "connect", "http_502"];

/// Only in these ways, by the server's end, did requests fail; none came twice, and none is missing.
fn expect_only_lost(peer: &Peer, run: Run, unlogged: usize) -> Results {
    let (_, results) = run.results();
    peer.log.read_as_reported_but(&results, &ENDED, unlogged);
    let failed = results.count("baseline", "items_failed");
    assert_eq!(results.count("baseline", "items_ok") + failed, 2000);
    let lost: u64 = ENDED.iter().map(|kind| results.errors("baseline", kind)).sum();
    assert_eq!(lost, failed, "{}", results.strategy("baseline")["errors"]);
    assert_eq!(ends(&results).len(), 2000);
    results
}

fn expect_reloads_to_lose_little(nginx: &Peer, args: &[&str]) {
    nginx.log.clear();
    let run = Run::start(&nginx.url, &[&UNDER_LOAD[..], args].concat());
    for logged in [300, 700, 1100, 1500] {
        eventually("requests are logged", || nginx.log.count() >= logged);
        nginx.reload();
    }
    let results = expect_only_lost(nginx, run, 0);
    // An old process closes its idle connections, and a request may be on its way on each of them. How many there are
    // is up to the machine; but after each reload the load goes on.
    let failed = results.count("baseline", "items_failed");
    assert!(failed <= 500, "{failed} of 2000 requests failed by four reloads");
    if args.contains(&"--http") {
        // Many share a connection of HTTP/2, and its end fails none that the server has not begun.
        let connections = results.count("baseline", "connections");
        assert!(failed <= connections, "{failed} requests failed, on {connections} connections");
    }
}

#[test]
fn nginx_reloaded_under_load_gets_nothing_twice_and_nothing_is_missing() {
    set_up();
    let nginx = Peer::nginx(Nginx::default());
    for driver in ["direct", "general"] {
        expect_reloads_to_lose_little(&nginx, &["--driver", driver]);
    }
}

#[test]
fn nginx_over_tls_reloaded_under_load_gets_nothing_twice_and_nothing_is_missing() {
    set_up();
    let certificate = Certificate::make();
    let nginx = Peer::nginx(Nginx { certificate: Some(&certificate), ..Nginx::default() });
    for driver in DRIVERS {
        expect_reloads_to_lose_little(&nginx, &[driver, &["--ca", certificate.as_arg()]].concat());
    }
}

#[test]
fn nginx_restarted_under_load_gets_nothing_twice_and_nothing_is_missing() {
    set_up();
    let mut nginx = Peer::nginx(Nginx::default());
    for driver in ["direct", "general"] {
        nginx.log.clear();
        let run = Run::start(&nginx.url, &[&UNDER_LOAD[..], &["--driver", driver]].concat());
        for logged in [300, 900] {
            eventually("requests are logged", || nginx.log.count() >= logged);
            nginx.restart();
        }
        // nginx logs a request after its answer; each of its two processes was ended twice.
        expect_only_lost(&nginx, run, 4);
    }
}

/// A busy time, and then one in which the server closes each connection before the next request.
fn expect_idle_connections_to_be_given_up(peer: &Peer, args: &[&str]) {
    let (results, _) = expect_all_well(peer, &[&["--requests", "500", "--concurrent", "8"], args].concat());
    // Fewer than the requests: connections are kept.
    assert!(results.count("baseline", "connections") <= 100, "{}", results.count("baseline", "connections"));
    let (results, accesses) = expect_all_well(peer, &[&["--rate", "0.6", "--duration", "6s"], args].concat());
    assert_eq!(accesses.by_connection(), [1; 4]);
    assert_eq!(results.count("baseline", "connections"), 4);
}

#[test]
fn uvicorn_may_close_what_is_idle() {
    set_up();
    expect_idle_connections_to_be_given_up(&Peer::uvicorn(false), &["--driver", "direct"]);
}

#[test]
fn hypercorn_may_close_what_is_idle_in_the_clear_and_over_tls() {
    set_up();
    expect_idle_connections_to_be_given_up(&Peer::hypercorn(None, false), &["--driver", "direct"]);
    let certificate = Certificate::make();
    let args = ["--driver", "direct", "--ca", certificate.as_arg()];
    expect_idle_connections_to_be_given_up(&Peer::hypercorn(Some(&certificate), false), &args);
}

#[test]
fn node_may_announce_hints_answer_in_chunks_with_trailers_and_close_what_is_idle() {
    expect_idle_connections_to_be_given_up(&Peer::node(), &["--driver", "direct"]);
}

/// What a report lacks, but for the host's readings, which a short run may miss.
fn untold(results: &Results) -> Vec<&String> {
    let absent = results.strategy("baseline")["absent"].as_object().expect("an object");
    absent.keys().filter(|field| !field.contains("usage") && !field.contains("utilization")).collect()
}

/// A plan against a server that fails by the request's number ends the same, request by request, whatever sends it.
fn expect_the_same(peer: &Peer, drivers: &[&[&str]], args: &[&str]) {
    let one = |driver: &&[&str]| {
        peer.log.clear();
        let plan = ["--requests", "300", "--concurrent", "8", "--records", "all"];
        let (ended, results) = run(&peer.url, &[&plan, *driver, args].concat());
        ended.expect_code(0);
        peer.log.read_as_reported(&results, &[]);
        assert_eq!(results.errors("baseline", "http_500"), 42);
        assert_eq!(results.errors("baseline", "invalid_json"), 24);
        assert_eq!(results.errors("baseline", "disconnected"), 18, "{driver:?}");
        results
    };
    let all: Vec<_> = drivers.iter().map(one).collect();
    for results in &all[1..] {
        assert_eq!(ends(results), ends(&all[0]));
        assert_eq!(untold(results), untold(&all[0]), "each driver tells the same");
    }
}

#[test]
fn a_plan_ends_the_same_whichever_driver_ran_it() {
    set_up();
    expect_the_same(&Peer::uvicorn(true), &DRIVERS[..2], &[]);
}

#[test]
fn a_plan_ends_the_same_over_tls_and_over_http_2() {
    set_up();
    let certificate = Certificate::make();
    let args = ["--ca", certificate.as_arg()];
    expect_the_same(&Peer::hypercorn(Some(&certificate), true), &DRIVERS, &args);
    let uvicorn = Peer::uvicorn(false);
    let nginx = Peer::nginx(Nginx {
        onward: Onward::Service(uvicorn.port()),
        certificate: Some(&certificate),
        ..Nginx::default()
    });
    for driver in DRIVERS {
        let plan = ["--requests", "300", "--concurrent", "8"];
        expect_all_well(&nginx, &[&plan, driver, &args[..]].concat());
    }
}

#[test]
fn nginx_may_end_a_connection_of_http_2_after_seven_requests() {
    set_up();
    let certificate = Certificate::make();
    let nginx = Peer::nginx(Nginx {
        keepalive_requests: Some(7),
        certificate: Some(&certificate),
        ..Nginx::default()
    });
    expect_sevens(&nginx, &["--http", "2", "--ca", certificate.as_arg()]);
}

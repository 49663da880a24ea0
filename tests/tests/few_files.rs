//! Workers that may not open enough files: told before the load starts where that can be known, else in the verdict, and with
//! what to do.

use std::process::Command;
use std::time::Duration;

use fluxfleet_tests::process::{Ended, Process, program};
use fluxfleet_tests::server::{Reply, Server};

/// Runs a plan where 200 files may be open, none of them more by raising the limit.
fn run(service: &Server, args: &[&str]) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 200 && exec \"$0\" run \"$@\""]).arg(program("fluxfleet"));
    command.args(["--no-color", "--allow-invalid", "--url", &service.url()]).args(args);
    Process::spawn("fluxfleet", command).end()
}

#[test]
fn more_in_flight_than_files_is_refused_before_a_request_is_sent() {
    let service = Server::start(|_| Reply::image());
    for load in [&["--concurrent", "500"][..], &["--rate", "100", "--max-in-flight", "500"]] {
        let ended = run(&service, &[load, &["--requests", "1000"]].concat());
        ended.expect_code(0);
        ended.expect_stdout(&["500 requests in flight need", "this worker may have 200", "ulimit -n "]);
    }
    assert_eq!(service.all_posts(), 0);
}

#[test]
fn workers_of_one_process_share_its_files() {
    let service = Server::start(|_| Reply::image());
    // Each for itself would have enough.
    let ended = run(&service, &["--requests", "1000", "--concurrent", "160", "--local-workers", "2"]);
    ended.expect_code(0);
    ended.expect_stdout(&["160 requests in flight need", "this worker may have 200"]);
}

#[test]
fn more_places_than_requests_need_no_files() {
    let service = Server::start(|_| Reply::image());
    let ended = run(&service, &["--requests", "20", "--concurrent", "500"]);
    ended.expect_code(0);
    // Ok, failed, not sent, planned.
    ended.expect_stdout(&["20 0 0 20"]);
}

#[test]
fn requests_that_no_file_was_left_for_are_not_the_services_failures() {
    // More go out than there are files before the first is answered.
    let service = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(2));
        Reply::image()
    });
    let ended = run(&service, &["--rate", "1000", "--requests", "600", "--strategies", "baseline"]);
    ended.expect_code(0);
    ended.expect_stdout(&["exhausted x ", "200 of 200 files", "raise its limit", "Verdict: INVALID"]);
}

//! `fluxfleet top` over the agents of several hosts.

use std::net::TcpListener;

use fluxfleet_tests::process::Process;

/// An agent process that serves its readings, and where.
fn agent(host: &str) -> (Process, String) {
    let args = ["--metrics", "127.0.0.1:0", "--host", host, "--nvml-lib", "/nonexistent/nvml.so"];
    let process = Process::start("fluxfleet-agent", &args);
    let url = process.wait_stderr_word("readings for Prometheus are at http://");
    let addr = url.strip_suffix("/metrics").expect("a page of readings").to_owned();
    (process, addr)
}

#[test]
fn several_hosts_are_shown_and_one_that_cannot_be_reached_says_so() {
    let ((_one, first), (_two, second)) = (agent("gpu-1"), agent("gpu-2"));
    // Bound, and nobody takes what comes.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("an address").to_string();
    let nobody = "127.0.0.1:1";
    let agents = [first.as_str(), &second, nobody, &silent].join(",");
    let top = Process::start("fluxfleet", &["top", "--agents", &agents]);
    top.wait_stdout(&format!("gpu-1 ({first})   cpu "));
    top.wait_stdout(&format!("gpu-2 ({second})   cpu "));
    top.wait_stdout("GPUs cannot be read: unsupported; ");
    top.wait_stdout(&format!("{nobody}   unreachable: "));
    top.wait_stdout(&format!("{silent}   unreachable: no answer within 2 s"));
    top.signal("INT");
    let ended = top.end();
    ended.expect_code(0);
    assert_eq!(ended.stderr, "");
    assert!(!ended.stdout.contains('\u{1b}'), "{}", ended.stdout);
}

#[test]
fn an_agent_that_ends_is_shown_as_unreachable() {
    let (agent, addr) = agent("gpu-1");
    let top = Process::start("fluxfleet", &["top", "--agents", &addr]);
    top.wait_stdout(&format!("gpu-1 ({addr})   cpu "));
    agent.signal("TERM");
    agent.end().expect_code(130);
    top.wait_stdout(&format!("{addr}   unreachable: "));
    top.signal("TERM");
    top.end().expect_code(0);
}

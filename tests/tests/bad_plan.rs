//! Plans that cannot be carried out: told at once, all of it, before anything connects.

use std::net::TcpListener;
use std::process::Command;

use fluxfleet_tests::process::{Ended, Process, program};
use fluxfleet_tests::server::{Reply, Server};
use tempfile::TempDir;

/// A service that must not be touched, and a directory in which nothing may appear.
struct Bystanders {
    service: Server,
    cwd: TempDir,
}

impl Bystanders {
    fn new() -> Self {
        let service = Server::start(|_| Reply::image());
        Self { service, cwd: tempfile::tempdir().expect("a directory") }
    }

    /// Runs `fluxfleet run --save` in the directory; against the service unless `args` say otherwise.
    fn run(&self, args: &[&str]) -> Ended {
        let mut command = Command::new(program("fluxfleet"));
        command.args(["run", "--save"]).args(args).current_dir(self.cwd.path());
        if !args.contains(&"--url") {
            command.args(["--url", &self.service.url()]);
        }
        Process::spawn("fluxfleet", command).end()
    }

    /// Runs it and fails unless it was refused with these words and left everything alone.
    fn refuse(&self, args: &[&str], words: &[&str]) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(2), "{args:?}:\n{}\n{}", ended.stdout, ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{args:?} does not say {word:?}:\n{}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "{args:?}");
        let left: Vec<_> = self.cwd.path().read_dir().expect("the directory").flatten().collect();
        assert!(left.is_empty(), "{args:?} left {left:?}");
        assert_eq!(self.service.connections(), 0, "{args:?} connected to the service");
        ended
    }
}

#[test]
fn counts_that_are_zero_negative_absurd_or_no_numbers_are_refused_with_their_bounds() {
    let by = Bystanders::new();
    for flag in ["--requests", "--concurrent", "--pool-concurrent", "--batch-size", "--local-workers"] {
        for value in ["0", "-3", "99999999999999999999999999999999999999999", "1.5", "many", "1e9", ""] {
            by.refuse(&["--strategies", "all", flag, value], &[flag, value, "between 1 and "]);
        }
    }
    for (flag, value) in [("--seed", "-1"), ("--seed", "x"), ("--max-body", "0"), ("--max-body", "-5MiB")] {
        by.refuse(&[flag, value], &[flag, value, "between "]);
    }
    by.refuse(&["--max-body", "32 apples"], &["--max-body 32 apples", "KiB, MiB or GiB"]);
    by.refuse(&["--max-body", "99999999999999GiB"], &["--max-body 99999999999999GiB"]);
}

#[test]
fn times_that_are_no_times_are_refused_with_an_example() {
    let by = Bystanders::new();
    for flag in ["--timeout", "--cooldown", "--poll-interval", "--sample-period"] {
        for value in ["soon", "-1s", "10 parsecs", "1e400s", "nan", "inf", "99999h", ""] {
            by.refuse(&[flag, value], &[flag, value]);
        }
    }
    by.refuse(&["--timeout", "soon"], &["--timeout soon", "use ms, s, m or h as in 500ms or 10s"]);
    by.refuse(&["--timeout", "0s"], &["--timeout 0s must be between 1ms and 1h"]);
}

#[test]
fn every_problem_is_told_in_one_message() {
    let by = Bystanders::new();
    let ended = by.refuse(
        &[
            "--url",
            "localhost:8000",
            "--requests",
            "0",
            "--concurrent",
            "-3",
            "--strategies",
            "warp,batch",
            "batch",
            "--timeout",
            "soon",
            "--workers",
            "3",
            "--header",
            "Host: s3cret",
            "--lang",
            "fr",
        ],
        &[
            "the plan has 9 problems:",
            "--url localhost:8000 has no scheme; did you mean http://localhost:8000 ?",
            "--requests 0 must be between 1 and ",
            "--concurrent -3 must be between 1 and ",
            "--strategies warp is not a strategy; choose from baseline, model_pool, batch, async, all",
            "--strategies batch is named twice",
            "--timeout soon has no unit I know",
            "--workers 3 is about remote peers and needs --listen ADDR:PORT",
            "--header Host ",
            "--lang fr is not a language I print; choose en or zh",
        ],
    );
    assert_eq!(ended.stderr.lines().count(), 10, "one line each:\n{}", ended.stderr);
    assert!(!ended.stderr.contains("s3cret"), "a header's value is nobody's business:\n{}", ended.stderr);
}

#[test]
fn strategies_that_do_not_exist_or_come_twice_are_refused() {
    let by = Bystanders::new();
    by.refuse(&["--strategies", "warp"], &["--strategies warp is not a strategy", "baseline, model_pool"]);
    by.refuse(&["--strategies", "all", "warp"], &["--strategies warp is not a strategy"]);
    by.refuse(&["--strategies", "batch", "async", "batch"], &["--strategies batch is named twice"]);
    by.refuse(&["--strategies", ","], &["--strategies names none"]);
}

#[test]
fn a_url_that_cannot_be_meant_is_refused_with_what_would_do() {
    let by = Bystanders::new();
    for (url, words) in [
        ("localhost:8000", "did you mean http://localhost:8000 ?"),
        ("", "has no scheme"),
        ("ftp://127.0.0.1/x", "only http and https are spoken"),
        ("http://me:s3cret@127.0.0.1:8000", "--header 'Authorization: ..'"),
        ("http://", "write it as http://HOST:PORT"),
        ("http://127.0.0.1:8000/?a=1", "give the base URL"),
        ("http://127.0.0.1:99999", "write it as http://HOST:PORT"),
        ("http://127.0.0.1:0", "port 0"),
    ] {
        by.refuse(&["--url", url], &["--url", words]);
    }
}

#[test]
fn a_password_in_the_url_is_not_repeated() {
    let by = Bystanders::new();
    for url in ["http://me:s3cret@127.0.0.1:8000", "ftp://me:s3cret@127.0.0.1/x", "me:s3cret@127.0.0.1:8000"]
    {
        let ended = by.refuse(&["--url", url], &["--url", "***@127.0.0.1"]);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    }
}

#[test]
fn flags_that_do_not_exist_or_lack_a_value_are_refused() {
    let by = Bystanders::new();
    by.refuse(&["--warp", "9"], &["--warp", "--help"]);
    by.refuse(&["--request", "9"], &["--request", "--requests"]);
    by.refuse(&["stray"], &["stray"]);
    by.refuse(&["--url", "http://127.0.0.1:1", "--requests"], &["--requests"]);
    let nothing = Process::start("fluxfleet", &[]).end();
    nothing.expect_code(2);
    nothing.expect_stderr(&["Usage", "run", "demo", "sim"]);
    let unknown = Process::start("fluxfleet", &["walk"]).end();
    unknown.expect_code(2);
    unknown.expect_stderr(&["walk"]);
}

#[test]
fn flags_about_remote_peers_need_a_port_for_them() {
    let by = Bystanders::new();
    by.refuse(&["--workers", "3"], &["--workers 3", "needs --listen", "--local-workers"]);
    by.refuse(&["--agents", "1", "--wait", "5s"], &["--agents 1", "--wait 5s", "needs --listen"]);
    let both = ["--listen", "127.0.0.1:0", "--local-workers", "2"];
    by.refuse(&both, &["--local-workers 2 cannot go with --listen"]);
    for address in ["nowhere", "127.0.0.1:99999", "127.0.0.1"] {
        let words = ["--listen", address, "write it as 0.0.0.0:7000"];
        by.refuse(&["--listen", address], &words);
    }
    for (flag, value) in [("--workers", "0"), ("--agents", "-1"), ("--wait", "0s"), ("--wait", "soon")] {
        by.refuse(&["--listen", "127.0.0.1:0", flag, value], &[flag, value]);
    }
}

#[test]
fn a_plan_file_that_cannot_be_used_is_named_with_the_place() {
    let by = Bystanders::new();
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    by.refuse(
        &["--plan", &path("missing.toml")],
        &["cannot read the plan file", "missing.toml", "No such file"],
    );
    by.refuse(
        &["--plan", files.path().to_str().expect("UTF-8")],
        &["cannot read the plan file", "directory"],
    );
    for (text, words) in [
        ("requests = ", &["line 1"][..]),
        ("requests = 4\nworkres = 3\n", &["workres", "line 2"]),
        ("requests = 4\nrequests = 5\n", &["requests", "line 2"]),
        ("requests = [1, 2]\n", &["line 1"]),
        ("requests = 0\n[strategy.warp]\npath = '/x'\n", &["2 problems", "--requests 0", "[strategy.warp]"]),
        ("[strategy.batch]\npath = 'x'\n", &["[strategy.batch] path x", "did you mean /x ?"]),
        ("[strategy.async]\nstatus_path = '/s'\n", &["[strategy.async] status_path", "{id}"]),
        ("[strategy.async]\nroute = '/s'\n", &["route"]),
        ("prompts = []\n", &["prompts"]),
        ("prompts = ['', ' ']\n", &["prompts"]),
    ] {
        std::fs::write(path("plan.toml"), text).expect("a file");
        by.refuse(&["--plan", &path("plan.toml")], words);
    }
    std::fs::write(path("plan.toml"), b"requests = 4 # \xff").expect("a file");
    by.refuse(&["--plan", &path("plan.toml")], &["cannot read the plan file", "plan.toml", "UTF-8"]);
}

#[test]
fn flags_win_over_the_plan_file_also_where_they_are_wrong() {
    let by = Bystanders::new();
    let files = tempfile::tempdir().expect("a directory");
    let plan = files.path().join("plan.toml");
    std::fs::write(&plan, "requests = 4\n").expect("a file");
    by.refuse(&["--plan", plan.to_str().expect("UTF-8"), "--requests", "none"], &["--requests none"]);
}

#[test]
fn a_place_for_results_that_cannot_be_written_is_found_before_the_load() {
    let by = Bystanders::new();
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("file"), "mine").expect("a file");
    // Permissions would not keep root out; these keep everybody out.
    for (out, words) in [
        (path("file"), path("file")),
        (path("file/under/it"), path("file/under/it")),
        ("/proc/fluxfleet".to_owned(), "/proc/fluxfleet".to_owned()),
        (String::new(), "--out".to_owned()),
    ] {
        by.refuse(&["--plot", "--out", &out], &[&words]);
    }
    assert_eq!(std::fs::read_to_string(path("file")).expect("still there"), "mine");
}

#[test]
fn a_directory_in_the_way_of_a_result_file_is_found_before_the_load() {
    let by = Bystanders::new();
    let out = tempfile::tempdir().expect("a directory");
    for (flag, file) in [("--save", "results.json"), ("--plot", "performance_comparison.png")] {
        let taken = out.path().join(flag.trim_start_matches('-')).join(file);
        std::fs::create_dir_all(&taken).expect("a directory");
        let dir = taken.parent().and_then(|dir| dir.to_str()).expect("UTF-8");
        by.refuse(&["--plot", "--out", dir], &[file]);
    }
}

#[test]
fn a_file_named_results_in_the_way_of_the_default_place_is_found_before_the_load() {
    let by = Bystanders::new();
    std::fs::write(by.cwd.path().join("results"), "mine").expect("a file");
    let ended = by.run(&[]);
    ended.expect_code(2);
    ended.expect_stderr(&["results"]);
    assert_eq!(by.service.connections(), 0, "nobody was to connect");
}

#[test]
fn a_port_that_is_taken_is_told_with_what_to_do() {
    let by = Bystanders::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound");
    let out = tempfile::tempdir().expect("a directory");
    let out = out.path().to_str().expect("UTF-8");
    by.refuse(
        &["--listen", &addr.to_string(), "--out", out],
        &["cannot listen on", &addr.to_string(), "choose another port with --listen"],
    );
    // TEST-NET-1 of RFC 5737: nobody's own address.
    by.refuse(&["--listen", "192.0.2.1:7000", "--out", out], &["cannot listen on 192.0.2.1:7000"]);

    let sim = Process::start("fluxfleet", &["sim", "--port", &addr.port().to_string()]).end();
    sim.expect_code(2);
    sim.expect_stderr(&[&format!("cannot listen on {addr}"), "the port is taken", "choose another port"]);
    assert_eq!(sim.stdout, "");
}

#[test]
fn a_simulated_host_that_cannot_be_is_refused_with_every_problem() {
    let sim = Process::start("fluxfleet", &["sim", "--port", "0", "--gpus", "0", "--jitter", "2"]).end();
    sim.expect_code(2);
    sim.expect_stderr(&["gpus is 0, but must be 1 to 64", "jitter is 2, but must be 0 to 1"]);
    for args in [&["--port", "70000"][..], &["--gpus", "x"], &["--fail-share", "x"], &["--without"]] {
        let sim = Process::start("fluxfleet", &[&["sim"], args].concat()).end();
        sim.expect_code(2);
        sim.expect_stderr(&[args[0]]);
    }
}

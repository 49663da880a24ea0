//! Open loads over real processes: every arrival once, whoever sends it, and what came of it in the results.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Process as Spacing, Profile};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::load::Limits;
use fluxfleet_tests::fleet::{Coordinator, Run, run};
use fluxfleet_tests::process::{Ended, fluxfleet};
use fluxfleet_tests::results::Results;
use fluxfleet_tests::server::{Reply, Request, Server};
use serde_json::Value;

/// Request ids in the order of their arrival, each with the wall clock's seconds.
type Arrived = Arc<Mutex<Vec<(String, f64)>>>;

/// A server that answers with an image and keeps who came when.
fn recording() -> (Server, Arrived) {
    let arrived = Arrived::default();
    let kept = Arc::clone(&arrived);
    let server = Server::start(move |request| {
        kept.lock().expect("no panics").push((id(request), Clock::wall().as_secs_f64()));
        Reply::image()
    });
    (server, arrived)
}

fn id(request: &Request) -> String {
    let body: Value = serde_json::from_slice(&request.body).expect("a body of JSON");
    body["request_id"].as_str().expect("an id").to_owned()
}

/// The ids that came, each of them once.
fn ids(arrived: &Arrived) -> BTreeSet<String> {
    let arrived = arrived.lock().expect("no panics");
    let ids: BTreeSet<_> = arrived.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(ids.len(), arrived.len(), "no id comes twice");
    ids
}

/// `baseline_0000` and so on.
fn numbered(prefix: &str, count: u64) -> BTreeSet<String> {
    (0..count).map(|i| format!("{prefix}_{i:04}")).collect()
}

/// Item, intended start in seconds of the wall clock, and worker of each request, by item.
fn sent(results: &Results) -> Vec<(u64, f64, String)> {
    let detailed = results.0["detailed_results"].as_array().expect("an array");
    let mut sent: Vec<_> = detailed
        .iter()
        .map(|entry| {
            let at = entry["intended_start"].as_f64().expect("a time");
            (entry["first_item"].as_u64().expect("an item"), at, text(&entry["worker"]).to_owned())
        })
        .collect();
    sent.sort_unstable_by_key(|&(item, ..)| item);
    sent
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The sum of a field over the points of the measured phase.
fn in_series(results: &Results, field: &str) -> u64 {
    let series = results.strategy("baseline")["series"].as_array().expect("an array");
    let points = series.iter().filter(|point| point["phase"] == "measure");
    points.map(|point| point[field].as_u64().expect("a count")).sum()
}

/// Fails unless all that is against the run is what a busy machine does to a generator; the runs that are asked
/// this allow an invalid verdict, which enough of that brings about.
fn expect_at_most_late(ended: &Ended, results: &Results) {
    ended.expect_code(0);
    let reasons = results.0["verdict"]["reasons"].as_array().expect("an array");
    let late = [
        " off the planned start",
        " is known only to +/-",
        "the generator was ",
        "the gaps between sends are not those asked for",
        " late to what was due (P99)",
        " items/s were asked for and ",
        "it never settled",
    ];
    for reason in reasons {
        assert!(late.iter().any(|part| text(reason).contains(part)), "{reason}");
    }
    assert_eq!(results.verdict() == "valid", reasons.is_empty());
}

/// Runs `args` on this many worker processes of one thread each.
fn run_on(workers: usize, server: &Server, args: &[&str]) -> (Ended, Results) {
    let out = tempfile::tempdir().expect("a directory");
    let count = workers.to_string();
    let fleet = ["--workers", &count, "--allow-invalid"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &[&fleet, args].concat());
    let names = ["a", "b", "c"];
    let workers: Vec<_> = names[..workers].iter().map(|name| coordinator.worker(name)).collect();
    let ended = coordinator.results();
    for worker in workers {
        worker.end().expect_code(0);
    }
    ended
}

#[test]
fn the_arrivals_of_three_workers_are_together_the_even_ones_asked_for() {
    let (server, arrived) = recording();
    let (ended, results) = run_on(3, &server, &["--rate", "300", "--duration", "2s"]);
    expect_at_most_late(&ended, &results);
    results.expect_items("baseline", 600, 0, 0);
    assert_eq!(ids(&arrived), numbered("baseline", 600));
    let sent = sent(&results);
    assert_eq!(sent.len(), 600);
    for (k, (item, at, worker)) in (0u32..).zip(&sent) {
        assert_eq!(*item, u64::from(k));
        // Each worker counts on its own clock, which the coordinator knows but roughly, and better with time.
        let off = at - sent[0].1 - f64::from(k) / 300.0;
        assert!(off.abs() < 0.05, "arrival {k} is {off} s off the grid");
        if let Some((_, before, same)) = k.checked_sub(3).map(|k| &sent[k as usize]) {
            assert_eq!(worker, same, "arrivals go round");
            assert!((at - before - 0.01).abs() < 0.005, "arrival {k} is {} s after the last", at - before);
        }
    }
    let first: BTreeSet<_> = sent[..3].iter().map(|(_, _, worker)| worker.as_str()).collect();
    assert_eq!(first, ["a", "b", "c"].into());
    // Nothing comes before its time; how long after is the machine's affair.
    for (id, at) in arrived.lock().expect("no panics").iter() {
        let item: usize = id.rsplit('_').next().expect("a number").parse().expect("a number");
        assert!(at - sent[item].1 > -0.05, "{id} came {} s early", sent[item].1 - at);
    }
    let load = &results.strategy("baseline")["load"];
    assert_eq!((&load["kind"], &load["intended_requests"]), (&"open".into(), &600.into()), "{load}");
    assert!((load["intended_rate"].as_f64().expect("a rate") - 300.0).abs() < 1.0, "{load}");
    assert!(load["achieved_rate"].as_f64() > Some(0.0), "{load}");
    assert_eq!((&load["requests_waited"], &load["requests_not_sent"]), (&0.into(), &0.into()), "{load}");
    assert!(text(&load["absent"]["arrival_test"]).contains("even gaps have no distribution"), "{load}");
    for field in ["items_ok", "requests_sent", "responses"] {
        assert_eq!(in_series(&results, field), 600, "{field}");
    }
    results.check_quantiles("baseline");
}

#[test]
fn poisson_arrivals_are_those_of_the_seed_whatever_the_fleet() {
    let (server, arrived) = recording();
    let args = ["--rate", "200", "--arrival", "poisson", "--seed", "7", "--duration", "2s"];
    let (ended, results) = run_on(2, &server, &args);
    expect_at_most_late(&ended, &results);
    let profile = Profile::steady(200.0).expect("a rate");
    let arrivals = Arrivals::Drawn { process: Spacing::Poisson, profile, seed: 7 };
    let limits = Limits { duration: Some(Duration::from_secs(2)), ..Limits::default() };
    let planned: Vec<_> = arrivals.sequence(2).phases(NonZeroU32::MIN, None, limits).collect();
    let first = planned[0].arrival.at;
    results.expect_items("baseline", planned.len() as u64, 0, 0);
    assert_eq!(ids(&arrived), numbered("baseline", planned.len() as u64));
    let sent = sent(&results);
    let mut lanes = BTreeSet::new();
    for (planned, (_, at, worker)) in planned.iter().zip(&sent) {
        let off = at - sent[0].1 - planned.arrival.at.as_secs_f64() + first.as_secs_f64();
        assert!(off.abs() < 0.05, "{planned:?} is {off} s off");
        lanes.insert((planned.arrival.lane, worker));
    }
    assert_eq!(lanes.len(), 2, "each of two lanes is one worker's: {lanes:?}");
    let load = &results.strategy("baseline")["load"];
    assert_eq!(load["arrival_test"]["law"], "exponential", "{load}");
    assert!(load["arrival_test"]["gaps"].as_u64() > Some(300), "{load}");
}

#[test]
fn stages_and_ramps_bring_as_many_arrivals_as_the_area_under_them() {
    let (server, arrived) = recording();
    let (ended, results) = run_on(2, &server, &["--stages", "50:1s,100..200:1s"]);
    expect_at_most_late(&ended, &results);
    results.expect_items("baseline", 200, 0, 0);
    assert_eq!(ids(&arrived), numbered("baseline", 200));
    let sent = sent(&results);
    let early = sent.iter().filter(|(_, at, _)| at - sent[0].1 < 0.95).count();
    assert!((45..=50).contains(&early), "{early} of 50 in the first second");
    // The ramp's rate is 150 in its middle: 50 + 62.5 by then.
    let half = sent[112].1 - sent[0].1;
    assert!((half - 1.5).abs() < 0.06, "{half}");
    assert_eq!(results.strategy("baseline")["steady_state"]["state"], "load_changes");
    assert_eq!(in_series(&results, "items_ok"), 200);
}

#[test]
fn arrivals_that_find_no_place_are_counted_and_too_many_make_the_run_invalid() {
    let (behind, most) =
        (["--rate", "100", "--duration", "1s", "--max-in-flight", "1"], Duration::from_millis(100));
    for (allow, when_full, code) in [(false, "wait", 5), (true, "drop", 0)] {
        let server = Server::start(move |_| {
            std::thread::sleep(most);
            Reply::image()
        });
        let mut args = [&behind[..], &["--when-full", when_full]].concat();
        if allow {
            args.push("--allow-invalid");
        }
        let (ended, results) = run(&server.url(), &args);
        ended.expect_code(code);
        let ok = results.count("baseline", "items_ok");
        // One place, and no answer takes less than a tenth of the second; one more may begin at its end.
        assert!((1..=11).contains(&ok), "{ok}");
        results.expect_items("baseline", ok, 0, 100 - ok);
        assert_eq!((results.not_sent("baseline", "no_place"), server.posts("/generate")), (100 - ok, ok));
        assert_eq!(results.verdict(), "invalid");
        let given_up = format!("{} of 100 items of the load were given up", 100 - ok);
        assert!(results.reasons().contains(&given_up), "{}", results.reasons());
        ended.expect_stdout(&[
            "INVALID",
            &given_up,
            "no place in flight came free in time (--max-in-flight)",
        ]);
        let entry = results.strategy("baseline");
        assert_eq!(entry["load"]["requests_not_sent"], 100 - ok);
        assert_eq!(entry["not_sent_wait_count"], 100 - ok);
        assert_eq!(in_series(&results, "items_not_sent"), 100 - ok);
        let detailed = results.0["detailed_results"].as_array().expect("an array");
        let unsent = detailed.iter().filter(|entry| entry["not_sent"] == "no_place").count();
        assert_eq!((detailed.len(), unsent as u64), (100, 100 - ok));
        results.check_quantiles("baseline");
    }
}

#[test]
fn a_warm_up_is_sent_and_is_part_of_no_other_figure() {
    let (server, arrived) = recording();
    let args = ["--rate", "200", "--warmup", "500ms", "--duration", "1s", "--allow-invalid"];
    let (ended, results) = run(&server.url(), &args);
    expect_at_most_late(&ended, &results);
    results.expect_items("baseline", 200, 0, 0);
    assert_eq!(ids(&arrived), &numbered("baseline_warmup", 100) | &numbered("baseline", 200));
    let entry = results.strategy("baseline");
    let warmup = &entry["warmup"];
    assert_eq!((&warmup["items_ok"], &warmup["requests_sent"]), (&100.into(), &100.into()), "{warmup}");
    assert_eq!((&entry["requests_sent"], &entry["response_time_count"]), (&200.into(), &200.into()));
    assert_eq!(entry["load"]["intended_requests"], 200);
    assert_eq!(in_series(&results, "items_ok"), 200);
    let series = entry["series"].as_array().expect("an array");
    assert!(series.iter().any(|point| point["phase"] == "warmup"));
    ended.expect_stdout(&["Warm-up, part of no other figure:", "100 items before measuring"]);
    results.check_quantiles("baseline");
    let of = |phase: &str| {
        let detailed = results.0["detailed_results"].as_array().expect("an array");
        let ids = detailed.iter().filter(|entry| entry["phase"] == phase);
        ids.map(|entry| text(&entry["request_id"]).to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!((of("warmup"), of("measure")), (numbered("baseline_warmup", 100), numbered("baseline", 200)));
}

#[test]
fn a_load_that_fails_more_than_allowed_stops_and_says_so() {
    let server = Server::start(|request| match request.number % 2 {
        0 => Reply::answer(500, "text/plain", "out of memory"),
        _ => Reply::image(),
    });
    let args = ["--rate", "50", "--requests", "100000", "--error-limit", "5", "--allow-invalid"];
    let (ended, results) = run(&server.url(), &args);
    ended.expect_code(0);
    ended.expect_stderr(&["stopping the strategy: ", "more than --error-limit allows"]);
    let (ok, failed) = (results.count("baseline", "items_ok"), results.count("baseline", "items_failed"));
    assert!(failed > 5, "{failed}");
    assert_eq!(results.not_sent("baseline", "error_limit"), 100_000 - ok - failed);
    assert_eq!(results.errors("baseline", "http_500"), failed);
    assert_eq!(server.posts("/generate"), ok + failed);
    assert_ne!(results.verdict(), "valid");
    assert!(results.reasons().contains("more had failed than --error-limit allows"), "{}", results.reasons());
}

#[test]
fn a_replay_sends_at_the_times_of_its_file() {
    let (server, arrived) = recording();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("times.csv");
    let times = [7.0, 7.0, 7.25, 7.3, 7.9, 8.5];
    let lines = times.map(|t| format!("{t},gpt")).join("\n");
    std::fs::write(&file, format!("at,model\n# from a log\n{lines}\n")).expect("a file");
    let arrival = format!("replay:{}", file.display());
    let (ended, results) = run_on(2, &server, &["--arrival", &arrival]);
    expect_at_most_late(&ended, &results);
    results.expect_items("baseline", 6, 0, 0);
    assert_eq!(ids(&arrived), numbered("baseline", 6));
    let sent = sent(&results);
    for ((item, at, _), time) in sent.iter().zip(times) {
        let off = (at - sent[0].1) - (time - times[0]);
        assert!(off.abs() < 0.05, "item {item} is {off} s off");
    }
    assert_eq!(results.strategy("baseline")["load"]["intended_requests"], 6);
}

#[test]
fn a_worker_killed_in_an_open_load_loses_its_own_arrivals_and_nobody_elses() {
    let (server, arrived) = recording();
    let out = tempfile::tempdir().expect("a directory");
    let args = ["--workers", "3", "--rate", "60", "--requests", "300", "--allow-invalid"];
    let coordinator = Coordinator::start(&server.url(), out.path(), &args);
    let [a, b, c] = ["a", "b", "c"].map(|name| coordinator.worker(name));
    server.wait_posts("/generate", 60);
    b.signal("KILL");
    coordinator.process.wait_stderr("lost worker b: ");
    let (ended, results) = coordinator.results();
    ended.expect_code(0);
    assert_eq!(b.end().code, None, "a signal ended it");
    for name in ["a", "c"] {
        let worker = results.worker(name);
        assert_eq!((&worker["state"], &worker["items_ok"]), (&"present".into(), &100.into()), "{worker}");
    }
    let lost = results.worker("b");
    assert_eq!((&lost["state"], &lost["items_planned"]), (&"lost".into(), &100.into()), "{lost}");
    let unsent = lost["items_not_sent"].as_u64().expect("a count");
    assert!(unsent > 0, "{lost}");
    assert_eq!(results.not_sent("baseline", "worker_lost"), unsent);
    results.expect_items("baseline", 300 - unsent, 0, unsent);
    assert!(results.reasons().contains("worker b was lost: "), "{}", results.reasons());
    // What it had sent since its last interval is not known, and nothing is known that was not sent.
    let came = ids(&arrived);
    assert!(came.len() as u64 >= 300 - unsent && came.is_subset(&numbered("baseline", 300)));
    for peer in [a, c] {
        peer.end().expect_code(0);
    }
}

#[test]
fn ctrl_c_in_an_open_load_accounts_for_every_item() {
    let (server, arrived) = recording();
    let run = Run::start(&server.url(), &["--rate", "100", "--requests", "100000", "--local-workers", "2"]);
    server.wait_posts("/generate", 20);
    run.process.signal("INT");
    let (ended, results) = run.results();
    ended.expect_code(130);
    ended.expect_stdout(&["PARTIAL: the run was stopped before its end"]);
    let ok = results.count("baseline", "items_ok");
    assert!((20..100_000).contains(&ok), "{ok}");
    results.expect_items("baseline", ok, 0, 100_000 - ok);
    assert_eq!(results.not_sent("baseline", "interrupted"), 100_000 - ok);
    assert_eq!((results.count("baseline", "requests_sent"), ids(&arrived).len() as u64), (ok, ok));
}

#[test]
fn a_calibrated_worker_tells_how_near_its_ceiling_it_ran() {
    let (server, _) = recording();
    let args = ["--rate", "50", "--requests", "25", "--calibrate", "200ms"];
    let (ended, results) = run_on(2, &server, &args);
    expect_at_most_late(&ended, &results);
    assert_eq!(server.posts("/generate"), 25, "the ceiling is not measured against the service");
    let generators = results.strategy("baseline")["generator"].as_array().expect("an array");
    assert_eq!(generators.len(), 2);
    for generator in generators {
        assert!(generator["ceiling_requests_per_s"].as_f64() > Some(0.0), "{generator}");
        assert!(generator["ceiling_percent"].as_f64() > Some(0.0), "{generator}");
    }
    ended.expect_stdout(&["of its ceiling of"]);
}

#[test]
fn loads_that_make_no_sense_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("times.txt");
    std::fs::write(&file, "1\n2\nsoon\n").expect("a file");
    let replay = format!("replay:{}", file.display());
    let nowhere = format!("replay:{}", dir.path().join("nothing").display());
    let cases: [(&[&str], &[&str]); 10] = [
        (&["--rate", "0"], &["--rate 0 is no load"]),
        (&["--rate", "fast"], &["--rate fast is not a rate"]),
        (&["--rate", "5", "--arrival", "gamma"], &["--arrival gamma has no shape", "gamma:0.5"]),
        (&["--rate", "5", "--concurrent", "4"], &["--concurrent 4 means nothing", "--max-in-flight"]),
        (&["--rate", "5", "--stages", "5:1s"], &["--rate 5 cannot go with --stages"]),
        (&["--arrival", &replay], &["--arrival", "has no time on line 3 ('soon')"]),
        (&["--arrival", &nowhere], &["--arrival", "cannot be read"]),
        (&["--max-in-flight", "4"], &["--max-in-flight 4", "give --rate or --stages too"]),
        (&["--rate", "5", "--when-full", "drop"], &["--when-full drop never happens without a limit"]),
        (&["--stages", "5:2s", "--warmup", "2s"], &["--warmup 2s leaves nothing to measure"]),
    ];
    for (args, words) in cases {
        let out = dir.path().join("out");
        let out = out.to_str().expect("a test's directory is UTF-8");
        let ended =
            fluxfleet(&[&["run", "--url", "http://127.0.0.1:1", "--save", "--out", out], args].concat());
        ended.expect_code(2);
        ended.expect_stderr(words);
    }
    let ended = fluxfleet(&["run", "--rate", "0", "--error-limit", "many", "--duration", "soon"]);
    ended.expect_code(2);
    ended.expect_stderr(&["--rate 0", "--error-limit many", "--duration soon"]);
}

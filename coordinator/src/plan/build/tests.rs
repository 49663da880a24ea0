use fluxfleet_proto::arrival::{Arrivals, Process, Profile};
use fluxfleet_proto::load::{Limits, NO_LIMIT, Warmup, WhenFull};
use fluxfleet_proto::trial::HttpVersion;

use super::*;
use crate::plan::{ErrorLimit, PlannedLoad};

fn raw(change: impl FnOnce(&mut RawPlan)) -> RawPlan {
    let mut raw = RawPlan::default();
    change(&mut raw);
    raw
}

#[test]
fn nothing_given_is_the_seeds_plan() {
    let plan = Plan::build(&RawPlan::default()).expect("the defaults are valid");
    assert_eq!(plan.target.base_url, "http://localhost:8000");
    assert_eq!((plan.items, plan.concurrent.get()), (Some(20), 3));
    assert_eq!(plan.strategies.len(), 1);
    assert_eq!(plan.strategies[0].strategy.name, "baseline");
    assert_eq!(plan.workload.prompts.len(), 10);
    assert_eq!((plan.output.save, plan.output.plot), (false, false));
}

#[test]
fn every_problem_is_reported_at_once() {
    let InvalidPlan(problems) = Plan::build(&raw(|r| {
        r.url = Some("localhost:8000".into());
        r.requests = Some("0".into());
        r.concurrent = Some("-3".into());
        r.strategies = vec!["warp".into(), "batch".into(), "batch".into()];
        r.timeout = Some("soon".into());
        r.workers = Some("3".into());
        r.lang = Some("fr".into());
    }))
    .expect_err("seven things are wrong");
    let places: Vec<_> = problems.iter().map(|p| p.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "--url",
            "--timeout",
            "--requests",
            "--concurrent",
            "--strategies",
            "--strategies",
            "--workers",
            "--lang"
        ]
    );
}

#[test]
fn the_pool_gets_five_thirds_rounded_up_unless_told() {
    let pool = |concurrent: &str, pool: Option<&str>| {
        let plan = Plan::build(&raw(|r| {
            r.strategies = vec!["all".into()];
            r.concurrent = Some(concurrent.into());
            r.pool_concurrent = pool.map(Into::into);
        }))
        .expect("valid");
        plan.strategies.iter().map(|s| s.in_flight.get()).collect::<Vec<_>>()
    };
    assert_eq!(pool("3", None), [3, 5, 3, 3]);
    assert_eq!(pool("10", None), [10, 17, 10, 10]);
    assert_eq!(pool("10", Some("40")), [10, 40, 10, 10]);
}

#[test]
fn flags_win_over_the_file_and_headers_add_up() {
    let file = RawPlan::from_toml(
        "url = 'http://a'\nrequests = 7\ncooldown = '1s'\n[headers]\nX-A = '1'\n[strategy.async]\n\
         path = '/q/submit'\nid_field = 'task_id'\nstatus_path = '/q/status?task_id={id}'",
    )
    .expect("a good file");
    let plan = Plan::build(&file.overridden_by(raw(|r| {
        r.requests = Some("9".into());
        r.headers = vec!["X-B: 2".into()];
        r.strategies = vec!["async".into()];
    })))
    .expect("valid");
    assert_eq!((plan.items, plan.target.base_url.as_str()), (Some(9), "http://a"));
    assert_eq!(plan.target.headers.len(), 2);
    assert_eq!(plan.strategies[0].strategy.path(), "/q/submit");
}

#[test]
fn a_plan_file_with_an_unknown_key_says_so() {
    let error = RawPlan::from_toml("request = 7").expect_err("no such key");
    assert!(error.contains("request"), "{error}");
}

#[test]
fn a_secret_in_a_bad_header_or_url_is_not_repeated() {
    for url in ["http://me:s3cret@gpu", "ftp://me:s3cret@gpu/x", "me:s3cret@gpu:8000", "http://s3cret@"] {
        let error = Plan::build(&raw(|r| r.url = Some(url.into()))).expect_err("credentials are refused");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let error = Plan::build(&raw(|r| r.headers = vec!["Host: s3cret".into()])).expect_err("Host is refused");
    assert!(!error.to_string().contains("s3cret"));
}

fn problems(change: impl FnOnce(&mut RawPlan)) -> Vec<String> {
    let InvalidPlan(problems) = Plan::build(&raw(change)).expect_err("something is wrong");
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn twenty_items_are_the_default_only_when_nothing_else_ends_the_load() {
    let items = |change: fn(&mut RawPlan)| Plan::build(&raw(change)).expect("valid").items;
    assert_eq!(items(|r| r.rate = Some("10".into())), Some(20));
    assert_eq!(items(|r| r.duration = Some("30s".into())), None);
    assert_eq!(items(|r| r.stages = Some("10:30s".into())), None);
    assert_eq!(
        items(|r| (r.duration, r.requests) = (Some("30s".into()), Some("7".into()))),
        Some(7),
        "both hold"
    );
}

#[test]
fn an_open_load_has_arrivals_drawn_from_the_seed_and_no_limit_unless_told() {
    let plan = Plan::build(&raw(|r| {
        r.rate = Some("30/m".into());
        r.arrival = Some("gamma:0.5".into());
        r.duration = Some("10s".into());
        r.seed = Some("9".into());
        r.warmup = Some("5".into());
        r.error_limit = Some("5%".into());
        r.calibrate = Some("1s".into());
        r.strategies = vec!["baseline".into(), "model_pool".into()];
    }))
    .expect("valid");
    let arrivals = Arrivals::Drawn {
        process: Process::Gamma { shape: 0.5 },
        profile: Profile::steady(0.5).expect("a rate"),
        seed: 9,
    };
    assert_eq!(plan.load, PlannedLoad::Open { arrivals, when_full: WhenFull::Wait });
    assert!(plan.strategies.iter().all(|s| s.in_flight.get() == NO_LIMIT));
    assert_eq!(plan.limits, Limits { warmup: Warmup::Items(5), duration: Some(Duration::from_secs(10)) });
    assert_eq!(plan.error_limit, Some(ErrorLimit::Share(0.05)));
    assert_eq!(plan.calibrate, Some(Duration::from_secs(1)));
    let bounded = Plan::build(&raw(|r| {
        (r.rate, r.max_in_flight, r.when_full) = (Some("5".into()), Some("8".into()), Some("drop".into()));
    }))
    .expect("valid");
    assert_eq!(bounded.strategies[0].in_flight.get(), 8);
    assert!(matches!(bounded.load, PlannedLoad::Open { when_full: WhenFull::Drop, .. }));
}

#[test]
fn what_cannot_go_together_is_told_with_what_would_do() {
    type Change = fn(&mut RawPlan);
    let cases: [(Change, &str, &str); 8] = [
        (|r| (r.rate, r.stages) = (Some("1".into()), Some("1:9s".into())), "--rate 1", "--stages"),
        (|r| r.arrival = Some("poisson".into()), "--arrival poisson", "--rate"),
        (
            |r| (r.rate, r.concurrent) = (Some("1".into()), Some("4".into())),
            "--concurrent 4",
            "--max-in-flight",
        ),
        (
            |r| (r.stages, r.pool_concurrent) = (Some("1:9s".into()), Some("4".into())),
            "--pool-concurrent 4",
            "--max-in-flight",
        ),
        (|r| r.max_in_flight = Some("4".into()), "--max-in-flight 4", "--concurrent"),
        (
            |r| (r.rate, r.when_full) = (Some("1".into()), Some("drop".into())),
            "--when-full",
            "--max-in-flight",
        ),
        (
            |r| (r.stages, r.warmup) = (Some("1:9s".into()), Some("10s".into())),
            "--warmup 10s",
            "nothing to measure",
        ),
        (
            |r| (r.stages, r.warmup) = (Some("1:9s".into()), Some("9".into())),
            "--warmup 9",
            "9 arrivals in 9 s",
        ),
    ];
    for (change, place, hint) in cases {
        let told = problems(change);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(place) && told[0].contains(hint), "{told:?}");
    }
}

#[test]
fn a_replay_needs_no_rate_and_takes_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("times.csv");
    std::fs::write(&path, "at,who\n100,a\n100.5,b\n102,c\n").expect("space");
    let replay = format!("replay:{}", path.display());
    let plan = Plan::build(&raw(|r| r.arrival = Some(replay.clone()))).expect("valid");
    assert_eq!(plan.items, None);
    let PlannedLoad::Open { arrivals, .. } = plan.load else { panic!("not an open load") };
    assert_eq!(arrivals, Arrivals::Replay([0, 500, 2000].map(Duration::from_millis).into()));
    let told = problems(|r| (r.arrival, r.rate) = (Some(replay.clone()), Some("3".into())));
    assert!(told[0].starts_with("--rate 3 cannot go"), "{told:?}");
    let told = problems(|r| r.arrival = Some("replay:/nowhere".into()));
    assert!(told.len() == 1 && told[0].contains("cannot be read"), "{told:?}");
}

#[test]
fn a_plan_file_takes_the_same_keys_and_a_flags_load_takes_the_files_place() {
    let file = || {
        RawPlan::from_toml(
            "stages = ['10:30s', '10..50:1m']\narrival = 'poisson'\nduration = '1m'\nmax-in-flight = 9\n\
             when-full = 'drop'\nwarmup = 12\nerror-limit = '5%'\ncalibrate = true\nhttp = 2\n\
             driver = 'general'\ninsecure = true",
        )
        .expect("a good file")
    };
    let plan = Plan::build(&file()).expect("valid");
    assert_eq!(plan.limits.warmup, Warmup::Items(12));
    assert_eq!((plan.target.transport.http, plan.target.transport.insecure), (HttpVersion::Two, true));
    assert_eq!(plan.calibrate, Some(Duration::from_secs(1)));
    let over = |change: fn(&mut RawPlan)| Plan::build(&file().overridden_by(raw(change))).expect("valid");
    let PlannedLoad::Open { arrivals, .. } = over(|r| r.rate = Some("3".into())).load else {
        panic!("not an open load")
    };
    let profile = Profile::steady(3.0).expect("a rate");
    assert_eq!(arrivals, Arrivals::Drawn { process: Process::Poisson, profile, seed: 1 });
    let closed = RawPlan::from_toml("concurrent = 12\npool-concurrent = 20").expect("a good file");
    let plan = Plan::build(&closed.overridden_by(raw(|r| r.rate = Some("3".into())))).expect("valid");
    assert!(matches!(plan.load, PlannedLoad::Open { .. }));
}

#[test]
fn records_are_kept_while_few_are_expected_whatever_ends_the_load() {
    let keeps = |change: fn(&mut RawPlan)| Plan::build(&raw(change)).expect("valid").keeps_records();
    assert!(keeps(|_| ()));
    assert!(keeps(|r| r.stages = Some("100:1m".into())));
    assert!(!keeps(|r| r.stages = Some("1000:1m".into())));
    assert!(!keeps(|r| r.duration = Some("10s".into())), "a closed load may send any number in a time");
    assert!(keeps(|r| (r.rate, r.duration) = (Some("1000".into()), Some("9s".into()))));
    assert!(!keeps(
        |r| (r.rate, r.duration, r.warmup) = (Some("1000".into()), Some("9s".into()), Some("2s".into()))
    ));
    assert!(keeps(
        |r| (r.rate, r.duration, r.requests) = (Some("1000".into()), Some("90s".into()), Some("50".into()))
    ));
}

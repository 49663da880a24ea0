use super::*;
use crate::analysis::testing::{at, point};

/// A trial of one point a second: requests that ended, and their mean response time in milliseconds.
fn trial(seconds: usize, of: impl Fn(usize) -> (u64, f64)) -> Vec<Point> {
    (0..seconds)
        .map(|s| {
            let (responses, ms) = of(s);
            let second = i64::try_from(s).expect("few");
            point(1_000 * second, 1_000 * (second + 1), Phase::Measure, responses, ms)
        })
        .collect()
}

fn judged(series: &[Point]) -> Steady {
    judge(at(0), series)
}

/// Something that looks like chance, from -1 to 1, and is the same in each run.
fn noise(i: usize) -> f64 {
    let hash = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash >> 40) as f64 / f64::from(1 << 23) - 1.0
}

#[test]
fn an_even_run_is_steady_from_its_start() {
    assert_eq!(judged(&trial(40, |_| (100, 50.0))), Steady::From(Duration::ZERO));
}

#[test]
fn a_noisy_run_is_steady_from_its_start() {
    let noisy = trial(60, |s| (100, 50.0 * (1.0 + 0.3 * noise(s))));
    assert_eq!(judged(&noisy), Steady::From(Duration::ZERO));
}

#[test]
fn a_run_of_few_requests_a_second_is_not_taken_for_an_unsteady_one() {
    let sparse = trial(60, |s| (if noise(s) > 0.0 { 2 } else { 1 }, 500.0 * (1.0 + 0.4 * noise(s + 500))));
    assert!(matches!(judged(&sparse), Steady::From(_)), "{:?}", judged(&sparse));
}

#[test]
fn a_run_that_goes_up_and_down_around_one_level_is_not_flagged() {
    let swinging = trial(60, |s| (100, 50.0 + 15.0 * (s as f64 * 0.7).sin()));
    assert!(matches!(judged(&swinging), Steady::From(_)), "{:?}", judged(&swinging));
}

#[test]
fn a_service_that_warms_up_is_steady_once_it_has() {
    let warming = trial(60, |s| (100, 50.0 * (1.0 + 2.0 * (-(s as f64) / 3.0).exp())));
    let Steady::From(from) = judged(&warming) else { panic!("{:?}", judged(&warming)) };
    assert!((6..=15).contains(&from.as_secs()), "{from:?}");
}

#[test]
fn a_step_early_in_the_run_is_where_measuring_could_begin() {
    let step = trial(60, |s| if s < 12 { (100, 90.0) } else { (100, 50.0) });
    assert_eq!(judged(&step), Steady::From(Duration::from_secs(12)));
}

#[test]
fn a_step_late_in_the_run_leaves_it_unsettled() {
    let step = trial(60, |s| if s < 45 { (100, 50.0) } else { (60, 90.0) });
    let Steady::Never(drift) = judged(&step) else { panic!("{:?}", judged(&step)) };
    assert_eq!(drift.what, Moving::ResponseTime);
    assert!(drift.change > 0.4, "{drift:?}");
}

#[test]
fn an_overloaded_service_whose_queue_grows_never_settles() {
    let growing = trial(30, |s| (100, 50.0 + 100.0 * s as f64));
    let Steady::Never(drift) = judged(&growing) else { panic!("{:?}", judged(&growing)) };
    assert_eq!(drift.what, Moving::ResponseTime);
    assert!(drift.change > 2.0, "{drift:?}");
}

#[test]
fn a_throughput_that_fades_never_settles() {
    let fading = trial(40, |s| (200 - 3 * s as u64, 50.0));
    assert!(matches!(judged(&fading), Steady::Never(Drift { what: Moving::Throughput, .. })));
}

#[test]
fn a_trend_too_small_to_matter_is_none() {
    let tiny = trial(40, |s| (100, 50.0 + 0.05 * s as f64));
    assert_eq!(judged(&tiny), Steady::From(Duration::ZERO));
}

#[test]
fn a_warm_up_counts_from_the_start_of_the_trial() {
    let mut warming = trial(40, |s| if s < 8 { (100, 200.0) } else { (100, 50.0) });
    for point in &mut warming[..10] {
        point.phase = Phase::Warmup;
    }
    // The second in which measuring begins has a point of each phase.
    warming[10] = point(10_000, 11_000, Phase::Measure, 60, 50.0);
    warming.insert(10, point(10_000, 11_000, Phase::Warmup, 40, 50.0));
    assert_eq!(judged(&warming), Steady::From(Duration::from_secs(8)));
}

#[test]
fn points_that_overlap_a_little_stay_apart() {
    let mut overlapping = trial(40, |_| (100, 50.0));
    for point in &mut overlapping {
        point.span.to = point.span.to + Duration::from_millis(4);
    }
    assert_eq!(slots(&overlapping).len(), 40);
}

#[test]
fn what_comes_after_the_last_send_does_not_count() {
    let mut draining = trial(40, |_| (100, 50.0));
    for (i, point) in draining[20..].iter_mut().enumerate() {
        point.requests_sent = 0;
        point.responses = 20 - i as u64;
    }
    assert_eq!(judged(&draining), Steady::From(Duration::ZERO));
}

#[test]
fn a_short_run_is_not_judged() {
    assert_eq!(judged(&trial(9, |_| (100, 50.0))), Steady::TooShort { points: 9, responses: 900 });
    assert_eq!(judged(&trial(20, |_| (1, 50.0))), Steady::TooShort { points: 20, responses: 20 });
    assert_eq!(judged(&[]), Steady::TooShort { points: 0, responses: 0 });
}

#[test]
fn mann_kendall_is_that_of_its_definition() {
    // 1, 2, 3, 4, 5: S = 10, variance = 5 * 4 * 15 / 18.
    let rising = mann_kendall(&[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!((rising - 9.0 / (300.0f64 / 18.0).sqrt()).abs() < 1e-12);
    // A tie of two takes 2 * 1 * 9 / 18 = 1 from the variance, and a pair from S.
    let tied = mann_kendall(&[1.0, 2.0, 2.0, 4.0, 5.0]);
    assert!((tied - 8.0 / (300.0f64 / 18.0 - 1.0).sqrt()).abs() < 1e-12);
    assert!(mann_kendall(&[3.0; 8]).abs() < 1e-12);
}

use std::sync::Arc;

use fluxfleet_proto::arrival::{GAP_UNIT, Process, Profile, Stage};
use fluxfleet_proto::load::Warmup;

use super::*;
use crate::aggregate::{Point, Window};
use crate::analysis::testing::{RunSketch, Sketch, limited_run, measured_arrivals, open_run, poisson, trial};
use crate::analysis::{ScoreSettings, analyse};

fn loads(run: RunSketch) -> Vec<LoadReport> {
    let report = analyse(&run.done(), &ScoreSettings::default());
    report.strategies.into_iter().filter_map(|s| Some(s.measured.ok()?.load)).collect()
}

fn open_of(run: RunSketch, index: usize) -> OpenReport {
    match loads(run).swap_remove(index) {
        LoadReport::Open(open) => *open,
        LoadReport::Closed(closed) => panic!("{closed:?}"),
    }
}

fn closed_of(run: RunSketch) -> ClosedReport {
    match loads(run).swap_remove(0) {
        LoadReport::Closed(closed) => closed,
        LoadReport::Open(open) => panic!("{open:?}"),
    }
}

fn near(got: &Value, want: f64, by: f64) {
    let got = got.as_ref().expect("a value");
    assert!((got - want).abs() < by, "{got} is not {want}");
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn even(rate: f64) -> Arrivals {
    Arrivals::constant(rate).expect("a rate")
}

fn limits(warmup: Warmup, duration: Option<u64>) -> Limits {
    Limits { warmup, duration: duration.map(secs) }
}

fn walk(arrivals: &Arrivals, size: u32, limits: Limits, items: Option<u64>) -> Intended {
    Intended::of(arrivals, NonZeroU32::new(size).expect("from 1"), limits, items)
}

#[test]
fn the_arrivals_of_a_time_are_counted_and_not_estimated() {
    let arrivals = poisson(10.0);
    let intended = walk(&arrivals, 1, limits(Warmup::Time(secs(10)), Some(60)), None);
    assert_eq!(intended.requests, measured_arrivals(&arrivals));
    assert_eq!((intended.items, intended.span), (intended.requests, secs(60)));
}

#[test]
fn items_end_a_load_and_the_last_gap_belongs_to_it() {
    // At 0, 0.1, .. 1.9 s; the gap after the last makes it two seconds.
    let intended = walk(&even(10.0), 1, limits(Warmup::None, None), Some(20));
    assert_eq!(intended, Intended { requests: 20, items: 20, begin: secs(0), span: secs(2) });
    // Whichever comes first ends it.
    let intended = walk(&even(10.0), 1, limits(Warmup::None, Some(1)), Some(20));
    assert_eq!(intended, Intended { requests: 10, items: 10, begin: secs(0), span: secs(1) });
}

#[test]
fn a_warm_up_of_items_ends_with_the_first_arrival_after_it() {
    let intended = walk(&even(10.0), 1, limits(Warmup::Items(5), Some(1)), None);
    assert_eq!(
        intended,
        Intended { requests: 10, items: 10, begin: Duration::from_millis(500), span: secs(1) }
    );
}

#[test]
fn the_last_batch_may_be_short() {
    let intended = walk(&even(2.0), 4, limits(Warmup::None, None), Some(10));
    assert_eq!((intended.requests, intended.items), (3, 10));
}

#[test]
fn a_profile_ends_a_load_too() {
    let stage = Stage { from: 4.0, to: 4.0, length: Some(secs(5)) };
    let profile = Profile::try_new(vec![stage]).expect("a profile");
    let arrivals = Arrivals::Drawn { process: Process::Constant, profile, seed: 0 };
    let intended = walk(&arrivals, 1, limits(Warmup::Time(secs(2)), None), None);
    assert_eq!(intended, Intended { requests: 12, items: 12, begin: secs(2), span: secs(3) });
    let replay = Arrivals::Replay(Arc::from([secs(0), secs(1), secs(4)]));
    let intended = walk(&replay, 2, limits(Warmup::None, None), None);
    assert_eq!(intended, Intended { requests: 3, items: 6, begin: secs(0), span: secs(4) });
}

#[test]
fn a_load_that_was_sent_reaches_its_rate() {
    let open = open_of(open_run(), 0);
    near(&open.achieved_percent, 100.0, 0.1);
    near(&open.intended_items_per_s, 10.0, 1.5);
    assert_eq!((open.waited_requests, open.not_sent_requests), (0, 0));
    let gaps = open.gaps.expect("a test");
    assert!(gaps.distance < 0.01 && gaps.limit > 0.05, "{gaps:?}");
}

#[test]
fn requests_that_wait_for_a_place_are_told_from_those_the_pacer_made_late() {
    let open = open_of(open_run(), 1);
    // All but those of the first millisecond of 20 s.
    assert!(open.waited_requests > 400, "{}", open.waited_requests);
    assert!(open.not_sent_requests > 100);
    // A quarter was given up when the time was up; nothing was sent after it.
    near(&open.achieved_percent, 75.0, 0.5);
    let late_pacer = open_run().with(|run| {
        let tally = &mut trial(run, 0).tally;
        tally.pacer_lateness.clear();
        tally.send_lateness.clear();
        for _ in 0..tally.requests_sent {
            tally.pacer_lateness.record(Micros(40_000));
            tally.send_lateness.record(Micros(40_050));
        }
    });
    assert_eq!(open_of(late_pacer, 0).waited_requests, 0);
}

#[test]
fn a_load_that_takes_longer_to_send_than_planned_has_a_lower_rate() {
    let dragging = open_run().with(|run| {
        let trial = trial(run, 0);
        trial.tally.send_lateness.clear();
        for i in 0..trial.tally.requests_sent {
            trial.tally.send_lateness.record(Micros(10_000_000 * i / trial.tally.requests_sent));
        }
        let from = trial.series[69].span.to;
        let late = Point { span: Window { from, to: from + secs(10) }, ..trial.series[69] };
        trial.series.push(late);
    });
    near(&open_of(dragging, 0).achieved_percent, 100.0 * 60.0 / 70.0, 0.5);
}

#[test]
fn what_is_dropped_has_not_waited() {
    let dropping = open_run().with(|run| {
        if let PlannedLoad::Open { when_full, .. } = &mut run.plan.load {
            *when_full = WhenFull::Drop;
        }
    });
    assert_eq!(open_of(dropping, 1).waited_requests, 0);
}

#[test]
fn where_any_number_may_be_in_flight_nothing_waits_for_a_place() {
    let unlimited = open_run().with(|run| {
        run.strategies[1].planned.in_flight = std::num::NonZeroU32::new(NO_LIMIT).expect("not 0");
    });
    assert_eq!(open_of(unlimited, 1).waited_requests, 0);
}

#[test]
fn a_trial_that_was_stopped_is_not_held_against_its_rate() {
    let stopped = open_run().with(|run| {
        trial(run, 0).not_sent.insert(NotSentReason::Interrupted, 5);
    });
    assert_eq!(open_of(stopped, 0).achieved_percent, Err(Missing::Stopped));
}

#[test]
fn gaps_are_not_tested_where_that_says_nothing() {
    let few = open_run().with(|run| {
        let gaps = &mut trial(run, 0).tally.send_gap;
        gaps.clear();
        (0..49).for_each(|_| gaps.record(Micros(1_000_000)));
    });
    assert_eq!(open_of(few, 0).gaps, Err(Missing::TooFew { count: 49, least: 50 }));
    let arrivals = |arrivals: Arrivals| {
        open_run().with(|run| run.plan.load = PlannedLoad::Open { arrivals, when_full: WhenFull::Wait })
    };
    assert_eq!(open_of(arrivals(even(10.0)), 0).gaps, Err(Missing::EvenGaps));
    let replay = Arrivals::Replay(Arc::from([secs(0), secs(1)]));
    assert_eq!(open_of(arrivals(replay), 0).gaps, Err(Missing::NoLaw));
    // On two lanes.
    let short = Missing::ShortGaps { mean_us: 80, least_us: 100 };
    assert_eq!(open_of(arrivals(poisson(25_000.0)), 0).gaps, Err(short));
}

#[test]
fn what_the_punctuality_of_workers_explains_is_not_held_against_the_gaps() {
    // No send follows another in less than 60 us.
    let sent = |rate: f64| {
        let run = open_run().with(|run| {
            run.plan.load = PlannedLoad::Open { arrivals: poisson(rate), when_full: WhenFull::Wait };
            let gaps = &mut trial(run, 0).tally.send_gap;
            gaps.clear();
            let shortest = 60e-6 * rate / 2.0;
            for i in 0..10_000u32 {
                let gap = -(1.0 - (f64::from(i) + 0.5) / 10_000.0).ln();
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^24")]
                gaps.record(Micros((gap.max(shortest) * GAP_UNIT) as u64));
            }
        });
        open_of(run, 0).gaps.expect("a test")
    };
    for rate in [100.0, 4_000.0] {
        let test = sent(rate);
        assert!(test.distance < 0.01, "{rate}: {test:?}");
    }
}

#[test]
fn the_law_of_a_gamma_load_is_that_of_the_fleets_lanes() {
    let gamma = || {
        open_run().with(|run| {
            let profile = Profile::steady(10.0).expect("a rate");
            let arrivals = Arrivals::Drawn { process: Process::Gamma { shape: 0.5 }, profile, seed: 7 };
            run.plan.load = PlannedLoad::Open { arrivals, when_full: WhenFull::Wait };
        })
    };
    // Two lanes.
    let of = |run: RunSketch| open_of(run, 0).gaps.expect("a test").law;
    assert_eq!(of(gamma()), GapLaw::Gamma(1.0));
    // A worker without a place in flight has threads and no lanes.
    let idle = gamma().with(|run| {
        let part = trial(run, 0).workers[0].clone();
        trial(run, 0).workers.push(part);
    });
    assert_eq!(of(idle), GapLaw::Gamma(1.0));
}

#[test]
fn in_flight_is_the_time_of_the_requests_over_that_of_the_window() {
    // 20 requests of 3 s in 20 s: 3 in flight throughout.
    let closed = closed_of(RunSketch::new().ran(Sketch::new("a", 1.0, 3.0, 0.0)));
    near(&closed.mean_in_flight, 3.0, 0.001);
    near(&closed.used_percent, 100.0, 0.001);
}

#[test]
fn places_that_stand_empty_show_and_the_end_of_the_load_is_excused() {
    let closed = closed_of(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0)));
    near(&closed.mean_in_flight, 1.0, 0.001);
    // 20 s in 3 places of 20 s less the longest request of 1.2 s.
    near(&closed.used_percent, 100.0 * 20.0 / (3.0 * 18.8), 0.1);
    assert!(closed.empty_us.is_ok_and(|us| us > 1e6));
    // Its longest request takes most of the run.
    let long = closed_of(RunSketch::new().ran(Sketch::new("a", 20.0, 1.0, 0.0)));
    assert!(matches!(long.used_percent, Err(Missing::TooFew { .. })));
}

#[test]
fn few_requests_and_stopped_trials_are_not_judged_by_their_places() {
    let few = closed_of(RunSketch::new().ran(Sketch::new("a", 1.0, 1.0, 0.0).items(8)));
    assert_eq!(few.used_percent, Err(Missing::TooFew { count: 8, least: 9 }));
    let lost = Sketch::new("a", 1.0, 1.0, 0.0).unsent(NotSentReason::WorkerLost, 2);
    assert_eq!(closed_of(RunSketch::new().ran(lost)).used_percent, Err(Missing::Stopped));
}

#[test]
fn a_load_is_even_when_its_rate_never_changes() {
    let open = |arrivals| PlannedLoad::Open { arrivals, when_full: WhenFull::Wait };
    assert!(is_even(&PlannedLoad::Closed) && is_even(&open(poisson(3.0))));
    let ramp = Stage { from: 0.0, to: 4.0, length: Some(secs(5)) };
    let profile = Profile::try_new(vec![ramp]).expect("a profile");
    assert!(!is_even(&open(Arrivals::Drawn { process: Process::Poisson, profile, seed: 0 })));
    assert!(!is_even(&open(Arrivals::Replay(Arc::from([secs(0)])))));
    assert!(matches!(loads(limited_run())[0], LoadReport::Closed(_)));
}

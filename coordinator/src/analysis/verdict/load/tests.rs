use std::num::NonZeroU32;

use fluxfleet_proto::load::NO_LIMIT;
use fluxfleet_proto::units::Micros;

use super::*;
use crate::aggregate::TrialOutcome;
use crate::analysis::testing::{RunSketch, Sketch, limited_run, open_run, remote_run, seed_run, trial};
use crate::analysis::verdict::Verdict;
use crate::analysis::{ScoreSettings, analyse};

fn verdict(run: RunSketch) -> Verdict {
    analyse(&run.done(), &ScoreSettings::default()).verdict
}

/// The open run without the strategy that does not keep up.
fn keeping_up() -> RunSketch {
    open_run().with(|run| run.strategies.truncate(1))
}

fn with(change: impl FnOnce(&mut TrialOutcome)) -> Verdict {
    verdict(keeping_up().with(|run| change(trial(run, 0))))
}

#[test]
fn an_open_load_that_was_sent_as_asked_for_is_valid() {
    assert_eq!(verdict(keeping_up()), Verdict { state: State::Valid, reasons: Vec::new() });
}

#[test]
fn a_load_that_the_service_does_not_take_is_invalid_with_every_figure() {
    let verdict = verdict(open_run());
    assert_eq!(verdict.state, State::Invalid);
    let found = |is: fn(&Reason) -> bool| verdict.reasons.iter().any(is);
    assert!(found(|r| matches!(r, Reason::RateMissed { percent, .. } if *percent < 76.0)));
    assert!(found(|r| matches!(r, Reason::LoadNotSent { .. })));
    assert!(found(|r| matches!(r, Reason::Waited { longest_s, .. } if *longest_s > 19.0)));
    assert!(found(|r| matches!(r, Reason::NeverSettled { .. })));
    assert!(matches!(verdict.reasons[0], Reason::RateMissed { .. }), "the gravest first");
}

#[test]
fn a_rate_missed_by_little_degrades() {
    let verdict = with(|trial| {
        let missing = trial.tally.items_ok * 3 / 100;
        trial.tally.items_ok -= missing;
        trial.workers[0].items_ok -= missing;
        trial.items_planned -= missing;
        trial.workers[0].items_planned -= missing;
    });
    assert_eq!(verdict.state, State::Degraded);
    assert!(matches!(verdict.reasons[..], [Reason::RateMissed { .. }]), "{verdict:?}");
}

#[test]
fn a_late_generator_degrades_and_a_very_late_one_invalidates() {
    // The median response time is 200 ms: 5 % are 10 ms, 20 % are 40 ms.
    let late = |us| {
        with(|trial| {
            trial.tally.pacer_lateness.clear();
            trial.tally.pacer_lateness.record(Micros(us));
        })
    };
    assert_eq!(late(9_000).state, State::Valid);
    let verdict = late(12_000);
    assert_eq!(verdict.state, State::Degraded);
    assert!(matches!(verdict.reasons[..], [Reason::PacerLate { .. }]), "{verdict:?}");
    assert_eq!(late(50_000).state, State::Invalid);
}

#[test]
fn where_nothing_waits_for_a_place_a_late_send_is_the_generators() {
    let late = |in_flight| {
        let run = keeping_up().with(|run| {
            run.strategies[0].planned.in_flight = NonZeroU32::new(in_flight).expect("not 0");
            trial(run, 0).tally.send_lateness.clear();
            trial(run, 0).tally.send_lateness.record(Micros(12_000));
        });
        verdict(run).reasons
    };
    assert!(matches!(late(NO_LIMIT)[..], [Reason::PacerLate { .. }]), "{:?}", late(NO_LIMIT));
    assert_eq!(late(3), []);
}

#[test]
fn gaps_of_another_law_degrade() {
    let verdict = with(|trial| {
        trial.tally.send_gap.clear();
        (0..500).for_each(|_| trial.tally.send_gap.record(Micros(1_000_000)));
    });
    assert_eq!(verdict.state, State::Degraded);
    assert!(matches!(&verdict.reasons[..], [Reason::ArrivalsOff { test, .. }] if test.distance > 0.3));
}

#[test]
fn a_few_requests_that_waited_degrade_nothing() {
    let waiting = |requests| {
        with(|trial| {
            for _ in 0..requests {
                trial.tally.send_lateness.record(Micros(300_000));
                trial.tally.requests_sent += 1;
            }
        })
    };
    assert_eq!(waiting(3).state, State::Valid);
    let verdict = waiting(30);
    assert!(verdict.reasons.iter().any(|r| matches!(r, Reason::Waited { requests: 30, .. })), "{verdict:?}");
}

#[test]
fn empty_places_degrade_a_closed_load_unless_they_are_filled_at_once() {
    let places = |throughput, mean_s| {
        verdict(RunSketch::new().ran(Sketch::new("a", throughput, mean_s, 0.0).items(600))).reasons
    };
    // 600 requests in 60 s, 3 in flight: 300 ms for each.
    let found = places(20.0 / 60.0, 0.2);
    assert!(matches!(found[..], [Reason::InFlightMissed { planned: 3, .. }]), "{found:?}");
    assert_eq!(places(20.0 / 60.0, 0.29), []);
    // 600 requests in 0.3 s: half a millisecond between two.
    assert_eq!(places(20.0 / 0.3, 0.001), []);
}

#[test]
fn closed_loads_as_they_are_have_nothing_against_them() {
    let mostly_idle =
        |row: &StrategyReport| judge(row).into_iter().map(|(_, reason)| reason).collect::<Vec<_>>();
    for run in [seed_run(), remote_run(), limited_run()] {
        let report = analyse(&run.done(), &ScoreSettings::default());
        let found: Vec<_> = report.strategies.iter().flat_map(mostly_idle).collect();
        assert!(found.iter().all(|r| matches!(r, Reason::InFlightMissed { .. })), "{found:?}");
    }
}

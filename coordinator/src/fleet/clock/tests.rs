use proptest::prelude::*;

use super::*;

fn at(us: i64) -> Mono {
    Mono::from_nanos(us * 1000)
}

/// What a fresh tracker makes of one more exchange; all in microseconds.
fn answer(tracker: &mut ClockTracker, now: i64, out: i64, back: i64, offset: i64) -> Option<ClockStep> {
    let id = tracker.ping(at(now)).expect("due");
    let pong = ClockPong { id, received: at(now + out + offset), sent: at(now + out + offset) };
    tracker.pong(pong, at(now + out + back))
}

#[test]
fn the_ping_with_the_shortest_round_trip_wins() {
    let mut tracker = ClockTracker::default();
    assert_eq!(tracker.offset_at(at(0)), None);
    answer(&mut tracker, 0, 5_000, 100, 700);
    answer(&mut tracker, 20_000, 100, 110, 700);
    answer(&mut tracker, 40_000, 100, 9_000, 700);
    let offset = tracker.offset_at(at(50_000)).expect("three answers");
    assert!((offset.offset_ns - 700_000).unsigned_abs() <= offset.error_ns);
    assert!(offset.error_ns < 120_000, "{}", offset.error_ns);
}

#[test]
fn a_quick_way_out_and_a_quick_way_back_join_though_they_belong_to_two_pings() {
    let mut tracker = ClockTracker::default();
    answer(&mut tracker, 0, 100, 20_000, 700);
    answer(&mut tracker, 21_000, 20_000, 100, 700);
    let offset = tracker.offset_at(at(41_100)).expect("two answers");
    assert!((offset.offset_ns - 700_000).unsigned_abs() <= offset.error_ns);
    // Each alone is known to 10 ms; drift over 40 ms adds 4 us.
    assert!(offset.error_ns < 110_000, "{}", offset.error_ns);
}

#[test]
fn an_estimate_loses_certainty_with_distance_in_time_on_both_sides() {
    let mut tracker = ClockTracker::default();
    answer(&mut tracker, 60_000_000, 10, 10, 0);
    let error = |us| tracker.offset_at(at(us)).expect("answered").error_ns;
    let fresh = error(60_000_020);
    assert_eq!((error(20) - fresh, error(120_000_020) - fresh), (6_000_000, 6_000_000));
}

#[test]
fn a_later_estimate_improves_what_is_known_of_earlier_times() {
    let mut tracker = ClockTracker::default();
    answer(&mut tracker, 0, 10, 10, 0);
    let before = tracker.offset_at(at(59_000_000)).expect("answered");
    answer(&mut tracker, 60_000_000, 500, 500, 3_000);
    let after = tracker.offset_at(at(59_000_000)).expect("answered");
    assert!(before.error_ns > 5_900_000 && after.error_ns < 700_000, "{before:?} {after:?}");
    assert_eq!(tracker.offset_at(at(60_001_000)).expect("answered").offset_ns, 3_000_000);
}

#[test]
fn pings_come_in_a_burst_and_then_once_a_second() {
    let mut tracker = ClockTracker::default();
    let sent: Vec<i64> = (0..4000).filter(|ms| tracker.ping(at(ms * 1000)).is_some()).collect();
    assert_eq!(sent, [0, 20, 40, 60, 80, 100, 120, 140, 1140, 2140, 3140]);
}

#[test]
fn answers_nobody_asked_for_change_nothing() {
    let mut tracker = ClockTracker::default();
    tracker.pong(ClockPong { id: 3, received: at(1), sent: at(1) }, at(5));
    let id = tracker.ping(at(0)).expect("due");
    tracker.pong(ClockPong { id, received: at(10), sent: at(5) }, at(20));
    assert_eq!(tracker.offset_at(at(30)), None);
}

#[test]
fn a_step_is_noticed_and_what_lies_around_it_is_placed_with_an_error_that_covers_both() {
    let mut tracker = ClockTracker::default();
    assert_eq!(answer(&mut tracker, 0, 50, 50, 0), None);
    assert_eq!(answer(&mut tracker, 1_000_000, 50, 50, 0), None);
    let step = answer(&mut tracker, 2_000_000, 50, 50, 10_000_000).expect("ten seconds in one");
    assert!((step.by_ns - 10_000_000_000).abs() < 300_000, "{step:?}");
    assert_eq!(step.between, (at(1_000_000), at(2_000_100)));
    assert_eq!(answer(&mut tracker, 3_000_000, 50, 50, 10_000_000), None);
    let offset = |us| tracker.offset_at(at(us)).expect("answered");
    assert!(offset(900_000).offset_ns.abs() < 100_000 && offset(900_000).error_ns < 100_000);
    assert!((offset(2_500_000).offset_ns - 10_000_000_000).abs() < 100_000);
    let between = offset(1_500_000);
    assert!((between.offset_ns - 5_000_000_000).abs() < 200_000 && between.error_ns > 5_000_000_000);
    let summary = tracker.summary(at(4_000_000)).expect("answered");
    assert_eq!((summary.exchanges, summary.steps), (4, 1));
    assert!(summary.least_error_ns < 60_000 && summary.most_error_ns > 5_000_000_000, "{summary:?}");
    // A stamp of the second clock that arrives at once can be nothing else.
    let history = tracker.history();
    let placed = history.place(at(11_500_000), at(1_500_500)).expect("known");
    assert!(placed.earliest <= at(1_500_000) && placed.latest >= at(1_500_000), "{placed:?}");
    assert!(placed.latest.since(placed.earliest) < Duration::from_micros(600), "{placed:?}");
    // A stamp that neither clock showed before it arrived tells nothing.
    let nonsense = history.place(at(99_000_000), at(3_000_000)).expect("known");
    assert_eq!(nonsense.latest, at(3_000_000));
}

#[test]
fn an_exchange_that_fits_both_sides_of_a_step_belongs_to_neither() {
    let mut tracker = ClockTracker::default();
    answer(&mut tracker, 0, 50, 50, 0);
    // Stepped by 1 s already, which an answer that takes 3 s hides.
    assert_eq!(answer(&mut tracker, 1_000_000, 50, 3_000_000, 1_000_000), None);
    let step = answer(&mut tracker, 4_100_000, 50, 50, 1_000_000).expect("seen now");
    assert_eq!(step.between.0, at(0));
    let offset = tracker.offset_at(at(900_000)).expect("answered");
    let holds = |truth: i64| (offset.offset_ns - truth).unsigned_abs() <= offset.error_ns;
    assert!(holds(0) && holds(1_000_000_000), "{offset:?}");
}

#[test]
fn memory_stays_bounded_and_eight_hours_are_known_to_half_a_millisecond_more() {
    let mut tracker = ClockTracker::default();
    for second in 0..28_800 {
        answer(&mut tracker, second * 1_000_000, 100, 100, 0);
    }
    let bounds: usize =
        tracker.known.spans().map(|(s, _)| s.above.bounds().len() + s.below.bounds().len()).sum();
    assert!(bounds <= 2 * 4096, "{bounds}");
    let summary = tracker.summary(at(28_800_000_000)).expect("answered");
    assert!(summary.most_error_ns < 600_000, "{summary:?}");
}

#[test]
fn a_clock_that_never_stops_stepping_costs_no_more_memory_and_is_known_to_be_that_unsure() {
    let mut tracker = ClockTracker::default();
    let offset = |second: i64| (second % 7) * 1_000_000;
    for second in 0..2_000 {
        answer(&mut tracker, second * 1_000_000, 100, 100, offset(second));
    }
    assert!(tracker.known.spans().count() <= 64);
    for second in 1..2_000 {
        let found = tracker.offset_at(at(second * 1_000_000 + 100)).expect("answered");
        let wrong = (found.offset_ns - offset(second) * 1000).unsigned_abs();
        assert!(wrong <= found.error_ns, "{second} s: off by {wrong}, said {}", found.error_ns);
    }
}

/// A peer's clock: an offset, a drift that changes now and then and stays within 100 ppm, and steps. All in
/// nanoseconds, piece by piece.
#[derive(Clone, Debug)]
struct Truth {
    start_ns: i64,
    /// Parts per million from one change to the next, each so long.
    rates: Vec<i64>,
    each_ns: i64,
    /// When, and by how much.
    steps: Vec<(i64, i64)>,
}

impl Truth {
    fn offset(&self, now: i64) -> i64 {
        let mut offset = i128::from(self.start_ns) * 1_000_000;
        let mut left = now.max(0);
        for (i, rate) in self.rates.iter().enumerate() {
            let last = i + 1 == self.rates.len();
            let part = if last { left } else { left.min(self.each_ns) };
            offset += i128::from(part) * i128::from(*rate);
            left -= part;
        }
        let steps: i64 = self.steps.iter().filter(|(at, _)| *at <= now).map(|(_, by)| by).sum();
        i64::try_from(offset / 1_000_000).unwrap() + steps
    }

    fn peer(&self, now: i64) -> Mono {
        Mono::from_nanos(now + self.offset(now))
    }
}

const MS: i64 = 1_000_000;

/// Ways out and back, each with its own least delay, and now and then a very slow one.
fn exchanges(most: usize) -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
    let delay = || prop_oneof![8 => 0..5 * MS, 2 => 0..60 * MS, 1 => 0..20_000 * MS];
    (0..30 * MS, 0..30 * MS, prop::collection::vec((delay(), delay(), 0..MS / 10), 2..most))
        .prop_map(|(out, back, all)| all.into_iter().map(|(o, b, hold)| (out + o, back + b, hold)).collect())
}

fn truth(steps: impl Strategy<Value = Vec<(i64, i64)>>) -> impl Strategy<Value = Truth> {
    let start = -1_000_000 * MS..1_000_000 * MS;
    (start, prop::collection::vec(-100_i64..=100, 1..8), 500 * MS..30_000 * MS, steps)
        .prop_map(|(start_ns, rates, each_ns, steps)| Truth { start_ns, rates, each_ns, steps })
}

/// When a ping goes out: eight in a burst, then one each second.
fn sent(ping: usize) -> i64 {
    let ping = i64::try_from(ping).unwrap();
    ping.min(7) * 20 * MS + (ping - 7).max(0) * 1000 * MS
}

/// Runs the exchanges; the instant of the last answer.
fn converse(tracker: &mut ClockTracker, truth: &Truth, exchanges: &[(i64, i64, i64)]) -> i64 {
    // Answers come in the order in which they return, as on one stream.
    let mut answers = Vec::new();
    for (ping, &(out, back, hold)) in exchanges.iter().enumerate() {
        let now = sent(ping);
        let id = tracker.ping(Mono::from_nanos(now)).expect("due");
        let (received, sent) = (truth.peer(now + out), truth.peer(now + out + hold));
        answers.push((now + out + hold + back, ClockPong { id, received, sent }));
    }
    answers.sort_by_key(|(returned, _)| *returned);
    let end = answers.last().map_or(0, |(returned, _)| *returned);
    for (returned, pong) in answers {
        tracker.pong(pong, Mono::from_nanos(returned));
    }
    end
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_true_offset_lies_within_the_bound_at_every_time(
        truth in truth(Just(Vec::new())),
        exchanges in exchanges(60),
        when in prop::collection::vec(0.0_f64..1.5, 40),
    ) {
        let mut tracker = ClockTracker::default();
        let end = converse(&mut tracker, &truth, &exchanges);
        prop_assert_eq!(tracker.steps, 0);
        for share in when {
            #[expect(clippy::cast_possible_truncation)]
            let now = (end as f64 * share) as i64;
            let found = tracker.offset_at(Mono::from_nanos(now)).unwrap();
            let wrong = (found.offset_ns - truth.offset(now)).unsigned_abs();
            prop_assert!(wrong <= found.error_ns, "at {}: off by {}, said {}", now, wrong, found.error_ns);
        }
        let summary = tracker.summary(Mono::from_nanos(end)).unwrap();
        prop_assert!(summary.least_error_ns <= summary.most_error_ns);
        prop_assert_eq!(summary.exchanges, exchanges.len() as u64);
    }

    #[test]
    fn a_sample_lies_within_its_span_whenever_it_arrives_and_whatever_stepped(
        mut truth in truth(Just(Vec::new())),
        // Larger than any error here, and each between two quick pings: others cannot be seen at their own time.
        jumps in prop::collection::vec((any::<bool>(), 100_000 * MS..400_000 * MS, 8_usize..28), 0..3),
        mut exchanges in exchanges(60),
        samples in prop::collection::vec((0.0_f64..1.1, 0_i64..90_000 * MS), 40),
    ) {
        let quick = (20 * MS, 2 * MS, 0);
        exchanges.insert(0, quick);
        let mut after = 0;
        for (back, by, pings) in jumps {
            after += pings;
            exchanges.resize(exchanges.len().max(after + 3), quick);
            exchanges[after..after + 2].fill(quick);
            truth.steps.push((sent(after) + 500 * MS, if back { -by } else { by }));
        }
        let mut tracker = ClockTracker::default();
        let end = converse(&mut tracker, &truth, &exchanges);
        let history = tracker.history();
        for (share, late) in samples {
            #[expect(clippy::cast_possible_truncation)]
            let now = (end as f64 * share) as i64;
            let span = history.place(truth.peer(now), Mono::from_nanos(now + late)).unwrap();
            let now = Mono::from_nanos(now);
            prop_assert!(span.earliest <= now && now <= span.latest, "{:?} is not within {:?}", now, span);
        }
    }

    #[test]
    fn placing_by_the_history_agrees_with_the_offset_at_that_time(
        truth in truth(Just(Vec::new())),
        exchanges in exchanges(40),
        share in 0.0_f64..1.0,
    ) {
        let mut tracker = ClockTracker::default();
        let end = converse(&mut tracker, &truth, &exchanges);
        #[expect(clippy::cast_possible_truncation)]
        let now = (end as f64 * share) as i64;
        let span = tracker.history().place(truth.peer(now), Mono::from_nanos(i64::MAX / 4)).unwrap();
        let offset = tracker.offset_at(Mono::from_nanos(now)).unwrap();
        let width = span.latest.since(span.earliest).as_nanos();
        let said = u128::from(offset.error_ns) * 2;
        // The offset is taken at slightly different instants.
        prop_assert!(width.abs_diff(said) <= said / 1000 + 10, "{} and {}", width, said);
    }
}

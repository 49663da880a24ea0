use super::*;
use fluxfleet_proto::failure::FailureKind;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::units::Micros;

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const AHEAD: ClockOffset = ClockOffset { offset_ns: 1_000_000, error_ns: 10 };

fn at(us: i64) -> Mono {
    Mono::from_nanos(us * 1000)
}

fn merge() -> TrialMerge {
    let share = |first_item, items| Share { first_item, items, in_flight: 2 };
    TrialMerge::new(TrialId(0), [(A, share(0, 6)), (B, share(6, 4))], Duration::from_secs(1))
}

fn interval(seq: u64, ok: u64, failed: u64) -> Interval {
    let mut tally =
        Tally { requests_sent: ok + failed, items_ok: ok, items_failed: failed, ..Tally::default() };
    for i in 0..ok {
        tally.response_time.record(Micros(100 + i));
    }
    tally.failures.add(FailureKind::Timeout, failed, None);
    Interval {
        trial: TrialId(0),
        seq,
        from: at(5000),
        to: at(9000),
        phase: Phase::Measure,
        in_flight: 2,
        tally,
        health: None,
    }
}

fn end(intervals: u64, not_sent: Option<(u64, NotSentReason)>) -> TrialEnd {
    TrialEnd { intervals, records: 0, not_sent, started: Some(at(4003)), active: Some((at(4004), at(8000))) }
}

#[test]
fn a_repeated_interval_counts_once_and_a_hole_is_named() {
    let mut merge = merge();
    merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
    merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("a repetition");
    assert_eq!((merge.tally().items_ok, merge.tally().items_failed), (2, 1));
    let hole = merge.interval(A, AHEAD, &interval(2, 1, 0));
    assert_eq!(hole, Err(MergeError::Hole { what: "interval", got: 2, expected: 1 }));
    assert_eq!(merge.interval(PeerId(9), AHEAD, &interval(0, 1, 0)), Err(MergeError::Stranger(PeerId(9))));
}

#[test]
fn more_than_a_share_can_give_is_refused_and_not_added() {
    let mut merge = merge();
    assert!(matches!(merge.interval(A, AHEAD, &interval(0, 7, 0)), Err(MergeError::Sum { ended: 7, .. })));
    let absurd = Tally { items_ok: u64::MAX, items_failed: 1, ..Tally::default() };
    let absurd = Interval { tally: absurd, ..interval(0, 0, 0) };
    assert!(merge.interval(B, AHEAD, &absurd).is_err());
    assert_eq!(*merge.tally(), Tally::default());
}

#[test]
fn nothing_is_added_after_the_end() {
    let mut merge = merge();
    merge.interval(A, AHEAD, &interval(0, 2, 0)).expect("due");
    merge.done(A, AHEAD, end(1, Some((4, NotSentReason::Interrupted)))).expect("adds up");
    assert_eq!(merge.interval(A, AHEAD, &interval(1, 2, 0)), Err(MergeError::Late));
    merge.give_up(B, NotSentReason::WorkerLost);
    assert_eq!(merge.interval(B, AHEAD, &interval(0, 2, 0)), Ok(()));
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!((outcome.tally.items_ok, outcome.not_sent.values().sum::<u64>()), (2, 8));
}

#[test]
fn a_lost_workers_remaining_items_are_not_sent_and_the_sum_holds() {
    let mut merge = merge();
    merge.starts_at(at(3000));
    merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
    merge.interval(B, AHEAD, &interval(0, 4, 0)).expect("due");
    merge.done(B, AHEAD, end(1, None)).expect("adds up");
    merge.give_up(A, NotSentReason::WorkerLost);
    merge.give_up(B, NotSentReason::WorkerLost);
    assert_eq!(merge.open().count(), 0);
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.not_sent, BTreeMap::from([(NotSentReason::WorkerLost, 3)]));
    for w in &outcome.workers {
        assert_eq!(w.items_ok + w.items_failed + w.items_not_sent, w.items_planned);
    }
    assert_eq!(outcome.workers[0].start_skew_us, None);
    // Its clock is 1,000 us ahead: 4,003 there is 3,003 here.
    assert_eq!(outcome.workers[1].start_skew_us, Some(3));
    assert_eq!(outcome.window, Some(Window { from: at(3004), to: at(8000) }));
}

#[test]
fn an_account_that_does_not_add_up_is_an_error() {
    let mut merge = merge();
    merge.interval(A, AHEAD, &interval(0, 2, 1)).expect("due");
    let wrong = merge.done(A, AHEAD, end(1, Some((2, NotSentReason::Interrupted))));
    assert_eq!(wrong, Err(MergeError::Sum { ended: 3, not_sent: 2, planned: 6 }));
    assert!(matches!(merge.done(B, AHEAD, end(1, None)), Err(MergeError::Hole { .. })));
    let too_many = merge.interval(B, AHEAD, &interval(0, 5, 0));
    assert_eq!(too_many, Err(MergeError::Sum { ended: 5, not_sent: 0, planned: 4 }));
    merge.give_up(A, NotSentReason::WorkerFault);
    merge.give_up(B, NotSentReason::WorkerFault);
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.tally.items_ended() + outcome.not_sent[&NotSentReason::WorkerFault], 10);
}

fn unbounded() -> TrialMerge {
    let share = |n| Share { first_item: n * Share::UNBOUNDED, items: Share::UNBOUNDED, in_flight: 2 };
    TrialMerge::new(TrialId(0), [(A, share(0)), (B, share(1))], Duration::from_secs(1))
}

fn given_up(seq: u64, ok: u64, items: u64) -> Interval {
    let mut interval = interval(seq, ok, 0);
    interval.tally.not_sent.add(NotSentReason::NoPlace, items);
    interval
}

#[test]
fn what_an_open_load_gave_up_on_the_way_is_planned_and_not_sent() {
    let mut merge = merge();
    merge.interval(A, AHEAD, &given_up(0, 2, 3)).expect("within the share");
    let too_many = merge.interval(B, AHEAD, &given_up(0, 2, 3));
    assert_eq!(too_many, Err(MergeError::Sum { ended: 2, not_sent: 3, planned: 4 }));
    let wrong = merge.done(A, AHEAD, end(1, None));
    assert_eq!(wrong, Err(MergeError::Sum { ended: 2, not_sent: 3, planned: 6 }));
    merge.done(A, AHEAD, end(1, Some((1, NotSentReason::Interrupted)))).expect("adds up");
    merge.give_up(B, NotSentReason::WorkerLost);
    let outcome = merge.finish(NotSentReason::Interrupted);
    let expected =
        [(NotSentReason::Interrupted, 1), (NotSentReason::WorkerLost, 4), (NotSentReason::NoPlace, 3)];
    assert_eq!(outcome.not_sent, BTreeMap::from(expected));
    assert_eq!((outcome.items_planned, outcome.workers[0].items_not_sent), (10, 4));
}

#[test]
fn a_share_of_unknown_size_has_what_became_of_it_as_its_plan() {
    let mut merge = unbounded();
    assert_eq!(merge.planned(), None);
    merge.interval(A, AHEAD, &given_up(0, 20, 5)).expect("any number");
    merge.interval(B, AHEAD, &interval(0, 7, 0)).expect("any number");
    merge.done(A, AHEAD, end(1, Some((2, NotSentReason::TimeUp)))).expect("whatever it was");
    // Nobody knows how many B had left.
    merge.give_up(B, NotSentReason::WorkerLost);
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!((outcome.items_planned, outcome.tally.items_ok), (34, 27));
    assert_eq!(outcome.not_sent.values().sum::<u64>(), 7);
    for w in &outcome.workers {
        assert_eq!(w.items_ok + w.items_failed + w.items_not_sent, w.items_planned);
    }
}

#[test]
fn the_warm_up_is_counted_apart_and_bound_by_no_share() {
    let mut merge = merge();
    let warm = |seq, ok| Interval { phase: Phase::Warmup, ..interval(seq, ok, 1) };
    merge.interval(A, AHEAD, &warm(0, 50)).expect("more than its share, which is of the measured phase");
    merge.interval(A, AHEAD, &interval(1, 6, 0)).expect("all of its share");
    merge.done(A, AHEAD, end(2, None)).expect("adds up");
    assert_eq!(merge.warmup().items_ok, 50);
    merge.give_up(B, NotSentReason::WorkerLost);
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!((outcome.tally.items_ok, outcome.tally.items_failed), (6, 0));
    assert_eq!((outcome.warmup.items_ok, outcome.warmup.items_failed), (50, 1));
    assert_eq!(outcome.items_planned, 10);
}

#[test]
fn a_lost_workers_window_is_that_of_what_it_measured() {
    let mut merge = merge();
    let warm = Interval { phase: Phase::Warmup, from: at(1000), to: at(2000), ..interval(0, 3, 0) };
    merge.interval(A, AHEAD, &warm).expect("due");
    merge.interval(A, AHEAD, &interval(1, 3, 0)).expect("due");
    assert_eq!(merge.measured_from(), Some(at(4000)));
    merge.give_up(A, NotSentReason::WorkerLost);
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.window, Some(Window { from: at(4000), to: at(8000) }));
}

#[test]
fn counts_that_nothing_reaches_are_refused_in_every_phase_and_share() {
    for phase in [Phase::Warmup, Phase::Measure] {
        let mut merge = unbounded();
        let huge = Tally { bytes_received: 1 << 52, ..Tally::default() };
        let huge = |seq| Interval { phase, seq, tally: huge.clone(), ..interval(seq, 0, 0) };
        merge.interval(A, AHEAD, &huge(0)).expect("as much as can be counted");
        merge.interval(B, AHEAD, &huge(0)).expect("as much as can be counted");
        assert!(matches!(merge.interval(A, AHEAD, &huge(1)), Err(MergeError::Absurd(_))));
        let mut merge = unbounded();
        let endless = Tally { items_ok: u64::MAX, ..Tally::default() };
        let endless = Interval { phase, tally: endless, ..interval(0, 0, 0) };
        assert!(merge.interval(A, AHEAD, &endless).is_err());
    }
    let mut merge = unbounded();
    let all = merge.done(A, AHEAD, end(0, Some((u64::MAX, NotSentReason::TimeUp))));
    assert!(matches!(all, Err(MergeError::Sum { .. })));
}

#[test]
fn more_durations_than_anything_records_are_refused_before_their_number_overflows() {
    // Doubled until one worker alone claims more than can be counted.
    let mut endless = Latency::new();
    endless.record(Micros(u64::MAX));
    for _ in 0..54 {
        let same = endless.clone();
        endless.merge(&same);
    }
    let poll_delay = endless.clone();
    let mut told = interval(0, 0, 0);
    told.tally.service_time = endless;
    let mut merge = unbounded();
    assert!(matches!(merge.interval(A, AHEAD, &told), Err(MergeError::Absurd(_))));
    let health = Box::new(fluxfleet_proto::health::Health { poll_delay, ..Default::default() });
    let told = Interval { health: Some(health), ..interval(0, 0, 0) };
    assert!(matches!(merge.interval(B, AHEAD, &told), Err(MergeError::Absurd(_))));
    assert_eq!(*merge.tally(), Tally::default());
}

fn records(seq: u64, phase: Phase, items: &[u32], not_sent: Option<NotSentReason>) -> Records {
    let record = |&items: &u32| Record {
        phase,
        first_item: 0,
        items,
        items_ok: 0,
        intended: at(5000),
        response_time: Micros(3),
        service_time: Micros(0),
        generation_time: None,
        error: None,
        not_sent,
    };
    Records { trial: TrialId(0), seq, records: items.iter().map(record).collect() }
}

#[test]
fn records_keep_their_phase_and_why_they_were_not_sent_and_stay_within_the_share() {
    let mut merge = merge();
    let warm = merge.records(A, AHEAD, records(0, Phase::Warmup, &[4, 4], None)).expect("any number");
    assert!(warm.iter().all(|r| r.phase == Phase::Warmup && r.not_sent.is_none()));
    let dropped = records(1, Phase::Measure, &[4], Some(NotSentReason::NoPlace));
    let dropped = merge.records(A, AHEAD, dropped).expect("within the share");
    assert_eq!((dropped[0].phase, dropped[0].not_sent.as_deref()), (Phase::Measure, Some("no_place")));
    let more = merge.records(A, AHEAD, records(2, Phase::Measure, &[3], None));
    assert_eq!(more, Err(MergeError::TooMany { what: "items in records", got: 7, planned: 6 }));
}

#[test]
fn the_series_adds_workers_up_and_a_worker_that_is_gone_has_nothing_in_flight() {
    let mut merge = unbounded();
    merge.starts_at(at(4000));
    let second = |seq: u64, in_flight| Interval {
        from: at(5000 + i64::try_from(seq).expect("small") * 1_000_000),
        to: at(1_005_000 + i64::try_from(seq).expect("small") * 1_000_000),
        in_flight,
        ..interval(seq, 2, 1)
    };
    for seq in 0..3 {
        merge.interval(A, AHEAD, &second(seq, 4)).expect("due");
        if seq < 2 {
            merge.interval(B, AHEAD, &second(seq, 3)).expect("due");
        }
    }
    assert_eq!(merge.in_flight(), 7);
    merge.give_up(B, NotSentReason::WorkerLost);
    assert_eq!(merge.in_flight(), 4);
    let series = merge.finish(NotSentReason::Interrupted).series;
    let seen: Vec<_> = series.iter().map(|p| (p.items_ok, p.items_failed, p.in_flight)).collect();
    assert_eq!(seen, [(4, 2, 7), (4, 2, 7), (2, 1, 4)]);
    assert!(series.iter().all(|p| p.phase == Phase::Measure));
    assert_eq!(series[0].span, Window { from: at(4000), to: at(1_004_000) });
}

#[test]
fn a_workers_ceiling_and_condition_are_in_the_outcome() {
    let mut merge = merge();
    let ceiling = Ceiling {
        requests_per_s: 9.0,
        time_per_request: Duration::from_micros(3),
        threads: 1,
        measured: Duration::from_secs(1),
    };
    merge.ceiling(A, ceiling);
    let health = fluxfleet_proto::health::Health { threads_busy: vec![0.5], ..Default::default() };
    merge.interval(A, AHEAD, &Interval { health: Some(Box::new(health)), ..interval(0, 1, 0) }).expect("due");
    let outcome = merge.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.workers[0].health.ceiling, Some(ceiling));
    assert_eq!(outcome.workers[0].health.points[0].mean_thread, Some(0.5));
    assert_eq!(outcome.workers[1].health.ceiling, None);
}

use super::*;
use fluxfleet_proto::arrival::{Arrivals, Lanes};
use fluxfleet_proto::failure::FailureKind;
use fluxfleet_proto::load::{OpenLoad, WhenFull};
use fluxfleet_proto::tally::{Interval, Phase as Part, Tally};
use fluxfleet_proto::trial::{Method, Share, Strategy, Target, TrialEnd, Workload};

const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);
const T: TrialId = TrialId(0);

fn clock_of(peer: PeerId) -> ClockOffset {
    ClockOffset { offset_ns: i64::from(peer.0) * 1_000_000_000, error_ns: 1000 }
}

fn at(ms: i64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

fn assignment(change: impl FnOnce(&mut Assignment)) -> Assignment {
    let mut assignment = Assignment {
        trial: T,
        strategy: Strategy { name: "baseline".into(), method: Method::Single { path: "/generate".into() } },
        target: Target {
            base_url: "http://x".into(),
            timeout: Duration::from_secs(1),
            headers: Vec::new(),
            max_body_bytes: 1,
            transport: fluxfleet_proto::trial::Transport::default(),
        },
        workload: Workload { prompts: vec!["p".into()], parameters_json: "{}".into(), seed: 0 },
        share: Share::default(),
        load: fluxfleet_proto::load::Load::Closed,
        limits: fluxfleet_proto::load::Limits::default(),
        calibrate: None,
        record_requests: false,
        interval: Duration::from_secs(1),
    };
    change(&mut assignment);
    assignment
}

fn begin_with(rules: Rules, calibrate: Option<Duration>) -> TrialRun {
    let of = |first_item| {
        assignment(|a| {
            a.share = Share { first_item, items: 5, in_flight: 1 };
            a.calibrate = calibrate;
        })
    };
    let (run, effects) = TrialRun::begin(vec![(A, of(0)), (B, of(5))], rules, at(0));
    assert_eq!(effects.len(), 2);
    run
}

fn begin() -> TrialRun {
    begin_with(Rules::default(), None)
}

fn running(rules: Rules) -> TrialRun {
    let mut run = begin_with(rules, None);
    ready(&mut run, A);
    ready(&mut run, B);
    assert_eq!(starts(&tick(&mut run, 5)).len(), 2);
    run
}

fn tick(run: &mut TrialRun, ms: i64) -> Vec<Effect> {
    run.tick(|peer| Some(clock_of(peer)), at(ms))
}

fn starts(effects: &[Effect]) -> Vec<(PeerId, Mono)> {
    let start = |e: &Effect| match e {
        Effect::Tell(peer, WorkerCommand::Start(_, at)) => Some((*peer, *at)),
        _ => None,
    };
    effects.iter().filter_map(start).collect()
}

fn ready(run: &mut TrialRun, peer: PeerId) {
    run.report(peer, WorkerReport::Ready(T, None), clock_of(peer));
}

fn end(not_sent: u64) -> WorkerReport {
    WorkerReport::TrialDone(
        T,
        TrialEnd {
            intervals: 0,
            records: 0,
            not_sent: Some((not_sent, NotSentReason::Interrupted)),
            started: None,
            active: None,
        },
    )
}

#[test]
fn all_start_at_one_instant_each_on_its_own_clock_once_all_are_ready() {
    let mut run = begin();
    ready(&mut run, A);
    assert!(run.tick(|peer| Some(clock_of(peer)), at(5)).is_empty());
    ready(&mut run, B);
    let starts = starts(&run.tick(|peer| Some(clock_of(peer)), at(10)));
    assert_eq!(starts, [(A, at(1160)), (B, at(2160))]);
    assert!(run.tick(|peer| Some(clock_of(peer)), at(11)).is_empty(), "released once");
}

#[test]
fn a_worker_lost_while_preparing_does_not_hold_up_the_barrier() {
    let mut run = begin();
    ready(&mut run, A);
    run.lost(B);
    assert_eq!(starts(&run.tick(|peer| Some(clock_of(peer)), at(10))).len(), 1);
}

#[test]
fn a_load_that_finds_no_endpoint_is_stopped() {
    let mut run = begin();
    ready(&mut run, A);
    ready(&mut run, B);
    run.tick(|peer| Some(clock_of(peer)), at(5));
    let interval = |seq, kind| {
        let mut tally = Tally { requests_sent: 1, requests_failed: 1, items_failed: 1, ..Tally::default() };
        tally.failures.add(kind, 1, None);
        WorkerReport::Interval(Box::new(Interval {
            trial: T,
            seq,
            from: at(1),
            to: at(2),
            phase: Part::Measure,
            in_flight: 0,
            tally,
            health: None,
        }))
    };
    run.report(A, interval(0, FailureKind::Http(404)), clock_of(A));
    let stop = |peer| Effect::Tell(peer, WorkerCommand::Stop(T, NotSentReason::NoEndpoint, GRACE));
    assert_eq!(run.tick(|peer| Some(clock_of(peer)), at(20)), [stop(A), stop(B)]);
    assert_eq!(run.tick(|peer| Some(clock_of(peer)), at(40)), []);
    // Started at 155: a stop does not make the time before it unknown.
    assert_eq!(run.elapsed(at(165)), Duration::from_millis(10));

    let mut other = begin();
    ready(&mut other, A);
    ready(&mut other, B);
    other.tick(|peer| Some(clock_of(peer)), at(5));
    other.report(A, interval(0, FailureKind::Http(404)), clock_of(A));
    other.report(B, interval(0, FailureKind::Http(500)), clock_of(B));
    assert_eq!(other.tick(|peer| Some(clock_of(peer)), at(20)), [], "something is there");
}

#[test]
fn who_is_not_ready_in_time_is_dropped() {
    let mut run = begin();
    ready(&mut run, A);
    let effects = run.tick(|peer| Some(clock_of(peer)), at(30_001));
    assert!(matches!(effects.as_slice(), [Effect::Drop(B, _)]), "{effects:?}");
}

#[test]
fn a_stop_reaches_everyone_once_and_the_silent_are_given_up() {
    let mut run = begin();
    let stopped = run.stop(NotSentReason::Interrupted, at(0));
    assert_eq!(stopped.len(), 2);
    assert!(run.stop(NotSentReason::Interrupted, at(1)).is_empty());
    run.report(A, end(5), clock_of(A));
    assert!(!run.is_over());
    let effects = run.tick(|peer| Some(clock_of(peer)), at(5_001));
    assert!(matches!(effects.as_slice(), [Effect::Drop(B, _)]), "{effects:?}");
    run.lost(B);
    assert!(run.is_over());
    let outcome = run.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.not_sent.values().sum::<u64>(), 10);
}

#[test]
fn an_account_that_does_not_add_up_drops_the_worker() {
    let mut run = begin();
    let effects = run.report(A, end(4), clock_of(A));
    assert!(
        matches!(effects.as_slice(), [Effect::Drop(A, why)] if why.contains("contradicts")),
        "{effects:?}"
    );
}

fn failing(seq: u64, phase: Part, ok: u64, failed: u64) -> WorkerReport {
    let mut tally =
        Tally { requests_sent: ok + failed, items_ok: ok, items_failed: failed, ..Tally::default() };
    tally.failures.add(FailureKind::Timeout, failed, None);
    let (from, to) = (at(1), at(2));
    let interval = Interval { trial: T, seq, from, to, phase, in_flight: 0, tally, health: None };
    WorkerReport::Interval(Box::new(interval))
}

#[test]
fn more_failures_than_allowed_stop_the_load_once() {
    let limit = |limit| Rules { error_limit: Some(limit), ..Rules::default() };
    let mut run = running(limit(ErrorLimit::Items(2)));
    run.report(A, failing(0, Part::Warmup, 0, 5), clock_of(A));
    run.report(A, failing(1, Part::Measure, 1, 2), clock_of(A));
    assert_eq!(tick(&mut run, 20), [], "two are allowed, and the warm-up does not count");
    run.report(B, failing(0, Part::Measure, 0, 1), clock_of(B));
    let stop = |peer| Effect::Tell(peer, WorkerCommand::Stop(T, NotSentReason::ErrorLimit, GRACE));
    assert_eq!(tick(&mut run, 40), [Effect::Tripped(3, 4), stop(A), stop(B)]);
    assert_eq!(tick(&mut run, 60), []);
}

#[test]
fn a_share_of_failures_counts_once_enough_have_ended() {
    let all = |n| Share { first_item: 0, items: n, in_flight: 1 };
    let rules = Rules { error_limit: Some(ErrorLimit::Share(0.1)), ..Rules::default() };
    let (mut run, _) = TrialRun::begin(vec![(A, assignment(|a| a.share = all(100)))], rules, at(0));
    ready(&mut run, A);
    tick(&mut run, 5);
    run.report(A, failing(0, Part::Measure, 1, 9), clock_of(A));
    assert_eq!(tick(&mut run, 20), [], "ten say nothing yet");
    run.report(A, failing(1, Part::Measure, 80, 0), clock_of(A));
    assert_eq!(tick(&mut run, 40), [], "exactly a tenth is allowed");
    run.report(A, failing(2, Part::Measure, 0, 1), clock_of(A));
    assert_eq!(tick(&mut run, 60).first(), Some(&Effect::Tripped(10, 91)));
}

#[test]
fn a_worker_that_hangs_beyond_the_last_possible_end_is_given_up() {
    let mut run = running(Rules { sends_until: Some(Duration::from_secs(10)), ..Rules::default() });
    run.report(A, end(5), clock_of(A));
    // 155 ms the start, 10 s of load, 1 s the timeout, 30 s of patience.
    assert_eq!(tick(&mut run, 41_155), []);
    let effects = tick(&mut run, 41_156);
    assert!(
        matches!(effects.as_slice(), [Effect::Drop(B, why)] if why.contains("did not end")),
        "{effects:?}"
    );
    let mut without = running(Rules::default());
    assert_eq!(tick(&mut without, 100_000_000), [], "nothing says when it must have ended");
}

#[test]
fn a_calibration_is_waited_for_and_its_result_kept() {
    let mut run = begin_with(Rules::default(), Some(Duration::from_secs(60)));
    let ceiling = Ceiling {
        requests_per_s: 1e4,
        time_per_request: Duration::from_micros(100),
        threads: 1,
        measured: Duration::from_secs(60),
    };
    run.report(A, WorkerReport::Ready(T, Some(ceiling)), clock_of(A));
    assert_eq!(tick(&mut run, 149_000), []);
    assert!(matches!(tick(&mut run, 150_001).as_slice(), [Effect::Drop(B, _)]));
    run.lost(B);
    let outcome = run.finish(NotSentReason::Interrupted);
    assert_eq!(outcome.workers[0].health.ceiling, Some(ceiling));
    assert_eq!(outcome.workers[1].health.ceiling, None);
}

#[test]
fn a_warm_up_that_finds_no_endpoint_is_stopped_too() {
    let mut run = running(Rules::default());
    let mut tally = Tally { requests_sent: 3, items_failed: 3, ..Tally::default() };
    tally.failures.add(FailureKind::Http(404), 3, None);
    let (from, to, phase) = (at(1), at(2), Part::Warmup);
    let interval = Interval { trial: T, seq: 0, from, to, phase, in_flight: 0, tally, health: None };
    run.report(A, WorkerReport::Interval(Box::new(interval)), clock_of(A));
    assert_eq!(tick(&mut run, 20).len(), 2);
    let outcome = run.finish(NotSentReason::NoEndpoint);
    assert!(outcome.finds_no_endpoint());
}

#[test]
fn measuring_begins_after_the_warm_up_however_that_is_given() {
    let run = running(Rules { warmup: Warmup::Time(Duration::from_millis(100)), ..Rules::default() });
    assert_eq!([run.measured(at(200)), run.measured(at(305))], [0, 50].map(Duration::from_millis));
    let mut run = running(Rules { warmup: Warmup::Items(3), ..Rules::default() });
    run.report(A, failing(0, Part::Warmup, 3, 0), clock_of(A));
    assert_eq!(run.measured(at(1_000)), Duration::ZERO);
    run.report(A, failing(1, Part::Measure, 1, 0), clock_of(A));
    // Its interval began at 1 ms on a clock that is 1 s ahead.
    assert_eq!(run.measured(at(1_000)), Duration::from_millis(1_999));
}

#[test]
fn an_open_loads_outcome_knows_the_lanes_that_its_arrivals_were_dealt_to() {
    let open = |first| {
        assignment(|a| {
            a.load = Load::Open(OpenLoad {
                arrivals: Arrivals::constant(1.0).expect("a rate"),
                lanes: Lanes { first, count: 2, of: 4 },
                items: None,
                when_full: WhenFull::Wait,
            });
        })
    };
    let (run, _) = TrialRun::begin(vec![(A, open(0)), (B, open(2))], Rules::default(), at(0));
    assert_eq!(run.finish(NotSentReason::Interrupted).lanes, Some(4));
    assert_eq!(begin().finish(NotSentReason::Interrupted).lanes, None);
}

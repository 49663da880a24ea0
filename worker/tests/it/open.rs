//! Open loads, warm-up, limits of time and the generator's own health, on the engine.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Lanes};
use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::{Limits, Load, NO_LIMIT, OpenLoad, Warmup, WhenFull};
use fluxfleet_proto::tally::Phase;
use fluxfleet_proto::trial::Share;
use fluxfleet_proto::units::Micros;
use fluxfleet_worker::engine::{self, Output};

use crate::support::server::Server;
use crate::support::{Outcome, Trial, gather, run, run_with, server};

const IMAGE: &str = r#"{"image_url":"/x.png"}"#;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `items` at `rate` a second for one worker that has a lane for each of its `threads`.
fn constant(server: &Server, rate: u32, items: u64, threads: u32) -> Trial {
    with(server, rate, items, threads, WhenFull::Wait)
}

fn with(server: &Server, rate: u32, items: u64, threads: u32, when_full: WhenFull) -> Trial {
    let load = OpenLoad {
        arrivals: Arrivals::constant(rate.into()).unwrap(),
        lanes: Lanes::all(threads),
        items: Some(items),
        when_full,
    };
    Trial::single(server)
        .load(Load::Open(load))
        .items(items)
        .in_flight(NO_LIMIT)
        .threads(threads as usize)
        .records()
}

fn within(warmup: Warmup, duration: Option<Duration>) -> Limits {
    Limits { warmup, duration }
}

/// Runs a trial that starts soon, and tells when that was.
fn run_from_start(trial: Trial) -> (Outcome, Mono) {
    let start = OnceLock::new();
    let outcome = run_with(trial, |handle| handle.start(*start.get_or_init(|| Clock::now() + ms(20))));
    (outcome, *start.get().unwrap())
}

/// The request ids that a server saw, each of them once.
fn ids(server: &Server) -> BTreeSet<String> {
    let seen = server.seen();
    let ids: BTreeSet<_> = seen.iter().map(|s| s.json()["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), seen.len(), "no id comes twice");
    ids
}

/// `baseline_0000` and so on.
fn numbered(prefix: &str, count: u64) -> BTreeSet<String> {
    (0..count).map(|i| format!("{prefix}_{i:04}")).collect()
}

/// Items not sent in the intervals, for the only reason there is.
fn given_up(outcome: &Outcome) -> (NotSentReason, u64) {
    let all: Vec<_> = outcome.tally.not_sent.iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all[0]
}

#[test]
fn every_arrival_of_a_constant_rate_is_sent_once_with_its_exact_intended_start() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (outcome, start) = run_from_start(constant(&server, 1000, 1000, 2));
    assert_eq!((outcome.tally.items_ok, server.requests()), (1000, 1000));
    assert_eq!(ids(&server), numbered("baseline", 1000));
    let items: BTreeSet<_> = outcome.records.iter().map(|r| r.first_item).collect();
    assert_eq!((outcome.records.len(), items), (1000, (0..1000).collect()));
    let mut late = 0;
    for record in &outcome.records {
        assert_eq!(record.intended, start + ms(record.first_item), "arrival {}", record.first_item);
        assert!(record.service_time <= record.response_time, "nothing is sent before its time");
        late += u128::from(record.response_time.0 - record.service_time.0);
    }
    let tally = &outcome.tally;
    let counts = (tally.send_lateness.count(), tally.pacer_lateness.count(), tally.response_time.count());
    assert_eq!(counts, (1000, 1000, 1000));
    // Each is rounded to the microsecond by itself.
    assert!(tally.send_lateness.sum_us().abs_diff(late) <= 1500, "{} {late}", tally.send_lateness.sum_us());
    assert!(tally.pacer_lateness.sum_us() <= tally.send_lateness.sum_us());
    assert!(outcome.end.active.unwrap().0 >= start);
    assert_eq!(tally.send_gap.count(), 998, "of each of two lanes one less than arrivals");
}

/// A server that answers at once, except that what arrives in the two seconds from the second second on is answered
/// at their end; and what its own log says of the response times at 500 arrivals a second.
fn run_into_a_stall(in_flight: u32) -> (Outcome, Vec<Micros>) {
    let start = Arc::new(OnceLock::<Mono>::new());
    let answered = Arc::new(Mutex::new(Vec::new()));
    let (begun, log) = (Arc::clone(&start), Arc::clone(&answered));
    let server = server::start_async(move |seen| {
        let (start, log) = (*begun.get().unwrap(), Arc::clone(&log));
        async move {
            let (from, to) = (start + ms(1000), start + ms(3000));
            if (from..to).contains(&Clock::now()) {
                tokio::time::sleep_until(Clock::instant(to).into()).await;
            }
            let item = seen.json()["seed"].as_u64().unwrap() - 40;
            log.lock().unwrap().push((item, Clock::now()));
            server::json(200, IMAGE)
        }
    });
    let outcome = run_with(constant(&server, 500, 2000, 2).in_flight(in_flight), |handle| {
        handle.start(*start.get_or_init(|| Clock::now() + ms(20)));
    });
    let start = *start.get().unwrap();
    let answered = answered.lock().unwrap();
    assert_eq!((outcome.tally.items_ok, answered.len()), (2000, 2000));
    let mut computed: Vec<_> =
        answered.iter().map(|&(item, at)| Micros::from_duration(at.since(start + ms(2 * item)))).collect();
    computed.sort_unstable();
    (outcome, computed)
}

/// Holds reported quantiles against those of the server's log. No answer can be seen before it is given; how long
/// after is up to the machine, and the generator itself says how late it was at most.
fn agree(outcome: &Outcome, computed: &[Micros]) {
    let late = outcome.intervals.iter().filter_map(|i| i.health.as_ref()?.poll_delay.max()).max();
    let late = late.unwrap_or_default().0;
    for q in [0.5, 0.9, 0.99, 0.999] {
        let reported = outcome.tally.response_time.quantile(q).unwrap().0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
        let exact = computed[(q * computed.len() as f64).ceil() as usize - 1].0;
        let room = 1000 + exact / 500 + late;
        assert!(
            reported + 1 >= exact && reported <= exact + room,
            "{q}: {reported} us for {exact} us, give or take {room} us"
        );
    }
}

/// How many took so long.
fn slow(latency: &Latency, from_ms: u64) -> u64 {
    latency
        .histogram()
        .recorded()
        .filter(|bucket| bucket.highest >= from_ms * 1000)
        .map(|bucket| bucket.count)
        .sum()
}

#[test]
fn a_stall_shows_in_full_in_the_response_times() {
    let (outcome, computed) = run_into_a_stall(NO_LIMIT);
    agree(&outcome, &computed);
    // Whoever was meant to start in the stall's first second waited for longer than one.
    assert!(slow(&outcome.tally.response_time, 990) >= 500);
    assert_eq!(outcome.tally.pacer_lateness.count(), 2000, "nobody waited for a place");
}

#[test]
fn a_stall_shows_in_full_even_if_most_of_those_it_held_up_were_not_in_flight() {
    let (outcome, computed) = run_into_a_stall(10);
    agree(&outcome, &computed);
    let tally = &outcome.tally;
    assert!(slow(&tally.response_time, 990) >= 500);
    // No more than were in flight ever met the stall: service times alone would hide it.
    assert!((1..=10).contains(&slow(&tally.service_time, 990)), "{}", slow(&tally.service_time, 990));
    assert!(tally.pacer_lateness.count() <= 2000 - 900, "waiting for a place is not the pacer's lateness");
    assert_eq!(tally.send_lateness.count(), 2000);
}

#[test]
fn a_service_that_stands_still_as_a_whole_costs_no_request_more_than_the_stall() {
    let start = Arc::new(OnceLock::<Mono>::new());
    let begun = Arc::clone(&start);
    // While it stands still nobody accepts, and its system drops whatever attempts there is no room for. They are made
    // again after a second: whoever waited for theirs would wait that long, however short the rest of the stall is.
    let server = server::start_with_queue(8, move |_| {
        let (from, to) = (*begun.get().unwrap() + ms(1000), *begun.get().unwrap() + ms(3000));
        let now = Clock::now();
        if (from..to).contains(&now) {
            std::thread::sleep(to.since(now));
        }
        std::future::ready(server::json(200, IMAGE))
    });
    // One thread: of two attempts at once for a last place the system may lose one that it has answered already.
    let outcome = run_with(constant(&server, 200, 800, 1), |handle| {
        handle.start(*start.get_or_init(|| Clock::now() + ms(20)));
    });
    assert_eq!((outcome.tally.items_ok, server.requests()), (800, 800));
    let slow = slow(&outcome.tally.response_time, 900);
    // Meant to start in the stall's first 1100 ms: 220, give or take what the machine took; and not all 400.
    assert!((200..350).contains(&slow), "{slow}");
}

#[test]
fn arrivals_that_wait_for_a_place_until_the_time_is_up_are_not_sent() {
    let server = server::start_async(|_| async {
        tokio::time::sleep(ms(50)).await;
        server::json(200, IMAGE)
    });
    let limits = within(Warmup::None, Some(ms(1000)));
    let (outcome, start) = run_from_start(constant(&server, 200, 200, 2).in_flight(2).limits(limits));
    let tally = &outcome.tally;
    let (reason, unsent) = given_up(&outcome);
    assert_eq!((reason, tally.items_ok + unsent), (NotSentReason::NoPlace, 200));
    assert_eq!(tally.items_ok, server.requests() as u64);
    // Two places of at least 50 ms each cannot hold more.
    assert!((1..=42).contains(&tally.items_ok), "{}", tally.items_ok);
    assert_eq!((tally.not_sent_wait.count(), outcome.end.not_sent), (unsent, None));
    assert_eq!(outcome.records.len(), 200);
    for record in &outcome.records {
        let at = ms(5 * record.first_item);
        assert_eq!(record.intended, start + at);
        if record.not_sent.is_some() {
            assert_eq!((record.not_sent, record.service_time), (Some(NotSentReason::NoPlace), Micros(0)));
            assert!(
                record.response_time >= ms(1000 - 5 * record.first_item).into(),
                "it waited to the end: {record:?}"
            );
        }
    }
    let not_sent = outcome.records.iter().filter(|r| r.not_sent.is_some()).count();
    assert_eq!(not_sent as u64, unsent);
}

#[test]
fn arrivals_that_must_not_wait_are_given_up_at_once() {
    let server = server::start_async(|_| async {
        tokio::time::sleep(ms(50)).await;
        server::json(200, IMAGE)
    });
    let limits = within(Warmup::None, Some(ms(1000)));
    let trial = with(&server, 200, 200, 2, WhenFull::Drop).in_flight(2).limits(limits);
    let (outcome, start) = run_from_start(trial);
    let tally = &outcome.tally;
    let (reason, unsent) = given_up(&outcome);
    assert_eq!((reason, tally.items_ok + unsent), (NotSentReason::NoPlace, 200));
    assert_eq!((tally.not_sent_wait.count(), tally.items_ok), (unsent, server.requests() as u64));
    assert!(outcome.records.iter().all(|r| r.intended == start + ms(5 * r.first_item)));
    // Nobody waits for anything but the pacer.
    assert_eq!(tally.pacer_lateness.count(), tally.items_ok);
    for lateness in [&tally.not_sent_wait, &tally.send_lateness] {
        assert!(lateness.quantile(0.5).unwrap() < ms(200).into(), "{:?}", lateness.quantile(0.5));
    }
}

#[test]
fn a_stop_in_the_middle_of_an_open_load_leaves_every_item_accounted_for() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start(move |_| {
        arrived.send(()).unwrap();
        server::json(200, IMAGE)
    });
    let outcome = run_with(constant(&server, 200, 100_000, 2), |handle| {
        handle.start(Clock::now());
        (0..20).for_each(|_| arrivals.recv().unwrap());
        handle.stop(NotSentReason::Interrupted, Duration::from_secs(20));
    });
    let sent = outcome.tally.items_ok;
    assert!((20..100_000).contains(&sent));
    assert_eq!(server.requests() as u64, sent);
    assert_eq!(outcome.end.not_sent, Some((100_000 - sent, NotSentReason::Interrupted)));
}

#[test]
fn arrivals_that_wait_for_a_place_at_a_stop_are_not_sent() {
    let (arrived, arrivals) = mpsc::channel();
    let server = server::start_async(move |_| {
        arrived.send(()).unwrap();
        std::future::pending()
    });
    let outcome = run_with(constant(&server, 1000, 50, 1).in_flight(1), |handle| {
        handle.start(Clock::now() - ms(100));
        arrivals.recv().unwrap();
        handle.stop(NotSentReason::Interrupted, Duration::ZERO);
    });
    assert_eq!(outcome.kinds(), [("interrupted".to_owned(), 1)]);
    assert_eq!(outcome.end.not_sent, Some((49, NotSentReason::Interrupted)));
    assert_eq!(server.requests(), 1);
}

#[test]
fn an_open_load_warms_up_for_a_time_and_measures_for_another() {
    let server = server::start(|_| server::json(200, IMAGE));
    let limits = within(Warmup::Time(ms(200)), Some(ms(300)));
    let mut trial = constant(&server, 500, 150, 2).limits(limits);
    if let Load::Open(open) = &mut trial.assignment.load {
        open.items = None;
    }
    let (outcome, start) = run_from_start(trial);
    assert_eq!((outcome.warmup.items_ok, outcome.tally.items_ok), (100, 150));
    let expected = &numbered("baseline_warmup", 100) | &numbered("baseline", 150);
    assert_eq!(ids(&server), expected);
    for record in &outcome.records {
        let before = if record.phase == Phase::Measure { ms(200) } else { Duration::ZERO };
        assert_eq!(record.intended, start + before + ms(2 * record.first_item));
    }
    assert!(outcome.end.active.unwrap().0 >= start + ms(200));
}

#[test]
fn an_open_load_warms_up_with_items_that_come_on_top() {
    let server = server::start(|_| server::json(200, IMAGE));
    let (outcome, start) =
        run_from_start(constant(&server, 500, 50, 2).limits(within(Warmup::Items(30), None)));
    assert_eq!((outcome.warmup.items_ok, outcome.tally.items_ok), (30, 50));
    assert_eq!(ids(&server), &numbered("baseline_warmup", 30) | &numbered("baseline", 50));
    let measured = outcome.records.iter().filter(|r| r.phase == Phase::Measure);
    assert!({ measured }.all(|r| r.intended == start + ms(60) + ms(2 * r.first_item)));
}

/// A server that takes at least 5 ms, so that a closed load against it does not run away.
fn unhurried() -> Server {
    server::start_async(|_| async {
        tokio::time::sleep(ms(5)).await;
        server::json(200, IMAGE)
    })
}

/// Intended starts of a phase, as time since the start.
fn intended(outcome: &Outcome, phase: Phase) -> Option<RangeInclusive<Duration>> {
    let start = outcome.end.started.unwrap();
    let of = outcome.records.iter().filter(|r| r.phase == phase).map(|r| r.intended.since(start));
    Some(of.clone().min()?..=of.max()?)
}

#[test]
fn a_closed_load_warms_up_with_items_that_come_on_top() {
    let server = server::start(|_| server::json(200, IMAGE));
    let limits = within(Warmup::Items(20), None);
    let outcome = run(Trial::single(&server).items(40).in_flight(4).threads(2).limits(limits).records());
    assert_eq!((outcome.warmup.items_ok, outcome.tally.items_ok), (20, 40));
    assert_eq!((outcome.warmup.response_time.count(), outcome.tally.response_time.count()), (20, 40));
    assert_eq!(ids(&server), &numbered("baseline_warmup", 20) | &numbered("baseline", 40));
    assert_eq!(outcome.end.not_sent, None);
}

#[test]
fn a_closed_load_warms_up_for_a_time_and_its_duration_counts_from_there() {
    let server = unhurried();
    let limits = within(Warmup::Time(ms(100)), Some(ms(200)));
    let outcome = run(Trial::single(&server).items(Share::UNBOUNDED).in_flight(3).limits(limits).records());
    let (warm, measured) = (outcome.warmup.items_ok, outcome.tally.items_ok);
    assert_eq!(ids(&server), &numbered("baseline_warmup", warm) | &numbered("baseline", measured));
    assert!(warm >= 3 && measured >= 1, "{warm} {measured}");
    assert!(*intended(&outcome, Phase::Warmup).unwrap().end() < ms(100));
    let measured = intended(&outcome, Phase::Measure).unwrap();
    assert!(*measured.start() >= ms(100) && *measured.end() < ms(300), "{measured:?}");
    assert_eq!(outcome.end.not_sent, None, "nobody knows what was planned");
}

#[test]
fn a_closed_load_ends_with_its_time_or_with_its_items_whichever_is_first() {
    let server = unhurried();
    let trial = |items, duration| {
        run(Trial::single(&server)
            .items(items)
            .in_flight(2)
            .threads(2)
            .limits(within(Warmup::None, Some(duration)))
            .records())
    };
    let outcome = trial(1_000_000, ms(150));
    let sent = outcome.tally.items_ok;
    assert_eq!(outcome.end.not_sent, Some((1_000_000 - sent, NotSentReason::TimeUp)));
    let outcome = trial(10, Duration::from_secs(3600));
    assert_eq!((outcome.tally.items_ok, outcome.end.not_sent), (10, None));
    let outcome = trial(Share::UNBOUNDED, ms(150));
    assert!(outcome.tally.items_ok >= 2);
    assert_eq!(outcome.end.not_sent, None);
}

#[test]
fn a_burst_uses_the_connections_again_whose_answers_come_while_it_is_sent() {
    const BURST: u64 = 3_000;
    let server = server::start(|_| server::json(200, IMAGE));
    let outcome = run(constant(&server, 1_000_000, BURST, 1));
    assert_eq!(outcome.tally.items_ok, BURST);
    let opened = outcome.tally.connections;
    // Sent without a look at the network, each would have opened its own. How many are spared is for the machine to say.
    assert!(opened < BURST - BURST / 100, "{opened} connections for {BURST} requests");
}

#[test]
fn an_open_load_without_a_place_in_flight_is_a_fault_that_says_so() {
    let trial = constant(&server::start(|_| server::json(200, IMAGE)), 100, 10, 1).in_flight(0);
    let (_handle, mut outputs) = engine::prepare(trial.assignment, NonZeroUsize::MIN).unwrap();
    match outputs.blocking_recv() {
        Some(Output::Fault(why)) => assert!(why.contains("in flight"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn failures_of_an_open_load_tell_what_they_looked_like() {
    let server = server::start(|_| server::json(500, "no more memory"));
    let outcome = run(constant(&server, 500, 20, 2));
    assert_eq!(outcome.kinds(), [("http_500".to_owned(), 20)]);
    assert!(outcome.example().contains("no more memory"), "{}", outcome.example());
    let tally = &outcome.tally;
    assert_eq!((tally.failed_response_time.count(), tally.send_lateness.count()), (20, 20));
}

#[test]
fn a_worker_measures_its_ceiling_without_touching_the_target() {
    let server = server::start(|_| server::json(200, IMAGE));
    let mut trial = Trial::single(&server).items(5);
    trial.assignment.calibrate = Some(ms(300));
    let (handle, mut outputs) = engine::prepare(trial.assignment, NonZeroUsize::new(2).unwrap()).unwrap();
    let ceiling = match outputs.blocking_recv() {
        Some(Output::Ready(Some(ceiling))) => ceiling,
        other => panic!("{other:?}"),
    };
    assert!(ceiling.requests_per_s.is_finite() && ceiling.requests_per_s > 0.0, "{ceiling:?}");
    assert!(ceiling.time_per_request > Duration::ZERO && ceiling.measured > Duration::ZERO, "{ceiling:?}");
    assert_eq!((ceiling.threads, server.requests()), (2, 0));
    handle.start(Clock::now());
    assert_eq!((gather(&mut outputs).unwrap().tally.items_ok, server.requests()), (5, 5));
}

#[test]
fn a_stop_during_the_calibration_ends_it() {
    let mut trial = Trial::at("http://127.0.0.1:1").items(5);
    trial.assignment.calibrate = Some(Duration::from_secs(3600));
    let (handle, mut outputs) = engine::prepare(trial.assignment, NonZeroUsize::MIN).unwrap();
    handle.stop(NotSentReason::Interrupted, Duration::ZERO);
    assert!(matches!(outputs.blocking_recv(), Some(Output::Ready(None))));
    assert_eq!(gather(&mut outputs).unwrap().end.not_sent, Some((5, NotSentReason::Interrupted)));
}

#[test]
fn intervals_tell_how_the_generator_itself_fared() {
    let server = server::start(|_| server::json(200, IMAGE));
    let outcome = run(constant(&server, 300, 150, 3));
    let healths: Vec<_> = outcome.intervals.iter().filter_map(|i| i.health.as_deref()).collect();
    assert!(healths.len() > 3, "half a second has more intervals of 20 ms: {}", healths.len());
    // At the end some threads are done before others.
    for health in &healths[..healths.len() - 2] {
        assert_eq!(health.threads_busy.len(), 3, "{:?}", health.threads_busy);
    }
    for health in &healths {
        assert!(health.threads_busy.len() <= 3);
        let shares = health.threads_busy.iter().chain(&health.cores_busy);
        assert!({ shares }.all(|share| (0.0..=1.0).contains(share)), "{health:?}");
        if cfg!(target_os = "linux") {
            assert!(health.open_files > Some(0) && health.open_files <= health.open_files_limit);
            assert!(health.resident_bytes > Some(0) && health.ports_limit > Some(0));
        }
    }
    assert!(healths.iter().any(|h| !h.poll_delay.is_empty()));
    // An interval that came late may be followed by one shorter than the system's tick, in which no core moved.
    assert!(!cfg!(target_os = "linux") || healths.iter().any(|h| !h.cores_busy.is_empty()));
}

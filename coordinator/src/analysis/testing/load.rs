//! Open loads, warm-ups and generators for tests.

use std::sync::Arc;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, GAP_UNIT, Process, Profile, Stage};
use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::load::{Limits, Warmup, WhenFull};
use fluxfleet_proto::tally::{Phase, Tally};
use fluxfleet_proto::units::Micros;

use super::{RunSketch, Sketch, at, trial};
use crate::aggregate::{HealthPoint, Point, RunOutcome, TrialOutcome, Window};
use crate::analysis::generator::{GeneratorReport, Memory, Used};
use crate::analysis::phases::WarmupReport;
use crate::plan::PlannedLoad;

/// A second or so in which all requests sent also ended.
pub(crate) fn point(from_ms: i64, to_ms: i64, phase: Phase, responses: u64, mean_ms: f64) -> Point {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds")]
    let mean_us = (mean_ms * 1e3) as u64;
    Point {
        span: Window { from: at(from_ms), to: at(to_ms) },
        phase,
        requests_sent: responses,
        items_ok: responses,
        items_failed: 0,
        items_not_sent: 0,
        in_flight: 3,
        responses,
        response_sum_us: u128::from(mean_us) * u128::from(responses),
        response_max_us: (responses > 0).then_some(mean_us * 2),
    }
}

/// An interval of a generator.
pub(crate) fn health_point(from_ms: i64, to_ms: i64, requests_sent: u64, busy: f64) -> HealthPoint {
    HealthPoint {
        span: Window { from: at(from_ms), to: at(to_ms) },
        phase: Phase::Measure,
        busiest_thread: Some(busy),
        busiest_thread_mean: Some(busy),
        mean_thread: Some(busy * 0.75),
        busiest_core: Some(busy),
        pacer_lateness_p99_us: Some(90),
        poll_delay_p99_us: Some(210),
        open_files: Some(20),
        ports_used: Some(12),
        socket_errors: 0,
        resident_bytes: Some(16 << 20),
        requests_sent,
    }
}

/// Poisson arrivals of `rate` items a second.
pub(crate) fn poisson(rate: f64) -> Arrivals {
    Arrivals::Drawn { process: Process::Poisson, profile: Profile::steady(rate).expect("a rate"), seed: 7 }
}

/// Arrivals in 60 s after a warm-up of 10 s.
pub(crate) fn measured_arrivals(arrivals: &Arrivals) -> u64 {
    let measured = Duration::from_secs(10)..Duration::from_secs(70);
    arrivals.sequence(1).take_while(|a| a.at < measured.end).filter(|a| measured.contains(&a.at)).count()
        as u64
}

/// 60 s of an open load after 10 s of warm-up: one strategy keeps up with it, one does not.
pub(crate) fn open_run() -> RunSketch {
    let arrivals = poisson(10.0);
    let measured = measured_arrivals(&arrivals);
    let (ok, late) = (measured * 3 / 4, measured - measured * 3 / 4);
    RunSketch::new()
        .ran(Sketch::new("baseline", 20.0 / 60.0, 0.2, 61.0).items(measured))
        .ran(Sketch::new("batch", 20.0 / 60.0, 9.0, 97.0).items(ok).unsent(NotSentReason::TimeUp, late))
        .with(|run| {
            run.plan.items = None;
            run.plan.load = PlannedLoad::Open { arrivals, when_full: WhenFull::Wait };
            run.plan.limits = warmed();
            run.plan.calibrate = Some(Duration::from_secs(1));
            pace(run, 0, |_| 0.2);
            pace(run, 1, |second| 0.2 + 0.3 * second as f64);
            wait_for_places(trial(run, 1), late);
        })
}

fn warmed() -> Limits {
    Limits { warmup: Warmup::Time(Duration::from_secs(10)), duration: Some(Duration::from_secs(60)) }
}

/// What an open load records, and a generator that has time to spare.
fn pace(run: &mut RunOutcome, index: usize, response_s: impl Fn(u64) -> f64) {
    let trial = trial(run, index);
    let begin = trial.window.expect("a window").from - Duration::from_secs(10);
    trial.planned_start = Some(begin);
    trial.lanes = Some(2);
    let sent = trial.tally.requests_sent;
    for i in 0..sent {
        trial.tally.pacer_lateness.record(Micros(40 + i % 50));
        let gap = -(1.0 - (i as f64 + 0.5) / sent as f64).ln();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^24")]
        trial.tally.send_gap.record(Micros((gap * GAP_UNIT) as u64));
    }
    connect(&mut trial.tally);
    warm_up(trial, 97, 4);
    watch(trial, begin, 70, sent / 60, 0.11, response_s);
}

fn connect(tally: &mut Tally) {
    tally.connections = 12;
    for i in 0..tally.connections {
        tally.connect_time.record(Micros(310 + i));
        tally.tls_time.record(Micros(2_100 + i));
    }
}

fn warm_up(trial: &mut TrialOutcome, ok: u64, failed: u64) {
    trial.warmup =
        Tally { requests_sent: ok + failed, items_ok: ok, items_failed: failed, ..Tally::default() };
    for _ in 0..ok {
        trial.warmup.response_time.record(Micros(310_000));
    }
}

/// A point of trial and generator for each second, the first ten of them warm-up.
fn watch(
    trial: &mut TrialOutcome,
    begin: Mono,
    seconds: u64,
    requests: u64,
    busy: f64,
    response_s: impl Fn(u64) -> f64,
) {
    let begin_ms = begin.as_nanos() / 1_000_000;
    trial.series.clear();
    let health = &mut trial.workers[0].health;
    for second in 0..seconds {
        let from = begin_ms + 1_000 * i64::try_from(second).expect("few");
        let phase = if second < 10 { Phase::Warmup } else { Phase::Measure };
        trial.series.push(point(from, from + 1_000, phase, requests, 1e3 * response_s(second)));
        health.points.push(HealthPoint { phase, ..health_point(from, from + 1_000, requests, busy) });
    }
    for i in 0..700 {
        health.poll_delay.record(Micros(30 + i / 4));
    }
    health.ceiling = Some(ceiling());
    (health.open_files_limit, health.ports_limit) = (Some(1_024), Some(28_232));
}

fn ceiling() -> Ceiling {
    Ceiling {
        requests_per_s: 84_000.0,
        time_per_request: Duration::from_nanos(23_800),
        threads: 2,
        measured: Duration::from_secs(1),
    }
}

/// All requests wait for a place, and some give up.
fn wait_for_places(trial: &mut TrialOutcome, given_up: u64) {
    let sent = trial.tally.requests_sent;
    trial.tally.send_lateness.clear();
    for i in 0..sent {
        trial.tally.send_lateness.record(Micros(100 + 20_000_000 * i / sent));
    }
    for _ in 0..given_up {
        trial.tally.not_sent_wait.record(Micros(21_000_000));
    }
}

/// A closed load after a warm-up of 50 items, as fast as its generator.
pub(crate) fn limited_run() -> RunSketch {
    RunSketch::new().ran(Sketch::new("baseline", 20.0 / 60.0, 0.029_9, 61.0).items(6_000)).with(|run| {
        run.plan.items = Some(6_000);
        run.plan.limits = Limits { warmup: Warmup::Items(50), duration: None };
        run.plan.calibrate = Some(Duration::from_secs(1));
        let trial = trial(run, 0);
        let begin = trial.window.expect("a window").from - Duration::from_secs(10);
        trial.planned_start = Some(begin);
        connect(&mut trial.tally);
        warm_up(trial, 50, 0);
        watch(trial, begin, 70, 100, 0.97, |second| if second < 22 { 0.09 } else { 0.029_9 });
        trial.workers[0].health.ceiling = Some(Ceiling { requests_per_s: 104.0, ..ceiling() });
    })
}

/// One of each load.
pub(crate) fn loads() -> Vec<PlannedLoad> {
    let open = |arrivals| PlannedLoad::Open { arrivals, when_full: WhenFull::Wait };
    let stages = [(0.0, 10.0), (10.0, 10.0)].map(|(from, to)| Stage {
        from,
        to,
        length: Some(Duration::from_secs(30)),
    });
    let drawn = |process, profile| open(Arrivals::Drawn { process, profile, seed: 1 });
    let steady = || Profile::steady(5.0).expect("a rate");
    vec![
        PlannedLoad::Closed,
        drawn(Process::Constant, steady()),
        drawn(Process::Gamma { shape: 0.5 }, steady()),
        drawn(Process::Poisson, Profile::try_new(stages.into()).expect("stages")),
        PlannedLoad::Open { arrivals: poisson(5.0), when_full: WhenFull::Drop },
        open(Arrivals::Replay(Arc::from([Duration::ZERO, Duration::from_secs(1)]))),
    ]
}

/// Warm-ups of every kind.
pub(crate) fn warmups() -> Vec<WarmupReport> {
    let done = WarmupReport {
        seconds: Some(10.0),
        requests_sent: 42,
        items_ok: 40,
        items_failed: 2,
        items_not_sent: 3,
        mean_response_s: Some(0.5),
    };
    vec![WarmupReport { seconds: None, ..done.clone() }, done]
}

/// A generator that is known in full, and one that is not.
pub(crate) fn generators() -> Vec<GeneratorReport> {
    let known = GeneratorReport {
        worker: "worker-1".into(),
        watched_s: 60.0,
        busy_mean: Some(0.31),
        busy_max: Some(0.45),
        core_max: Some(0.5),
        pacer_lateness_p99_us: Some(80),
        poll_delay_p99_us: Some(410),
        poll_delay_max_us: Some(900),
        poll_delays: 700,
        files: Used { most: Some(34), limit: Some(1_024) },
        ports: Used { most: Some(40), limit: Some(28_232) },
        socket_errors: 0,
        memory: Some(Memory { first: 12 << 20, last: 14 << 20, most: 15 << 20 }),
        ceiling: Some(ceiling()),
        requests_per_s: Some(8_000.0),
        highest_requests_per_s: Some(10_300.0),
        ceiling_percent: Some(12.3),
        ceiling_mean_percent: Some(9.5),
        points: Vec::new(),
    };
    let unknown = GeneratorReport { ceiling: None, ceiling_percent: None, ..known.clone() };
    vec![known, unknown]
}

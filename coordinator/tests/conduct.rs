//! Whole runs over in-memory peers: no sockets, no load, every message scripted.

use std::collections::BTreeMap;
use std::time::Duration;

use fluxfleet::aggregate::{Ending, RunOutcome, TrialOutcome};
use fluxfleet::fleet::{Event, Outbox};
use fluxfleet::live::Silent;
use fluxfleet::plan::{Plan, RawPlan};
use fluxfleet::run::{Interrupt, Rig, RunError, conduct};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::health::Ceiling;
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::load::Load;
use fluxfleet_proto::message::{ClockPong, WorkerCommand, WorkerReport};
use fluxfleet_proto::peer::WorkerHello;
use fluxfleet_proto::tally::{Interval, Phase, Tally};
use fluxfleet_proto::trial::{Assignment, TrialEnd};
use fluxfleet_proto::units::Micros;
use tokio::sync::{mpsc, oneshot};

/// What a scripted worker does when it is told to start.
#[derive(Clone, Copy, PartialEq)]
enum Script {
    /// Does all its items.
    Finishes,
    /// Does half of them and vanishes.
    Vanishes,
    /// Does nothing until it is stopped.
    Waits,
    /// Says that it did more than it was asked.
    Lies,
    /// Sends what its lanes bring, but for the last request, which finds no place.
    Paces,
    /// Sends half of it and vanishes.
    PacesAndVanishes,
    /// Fails with all that is asked, until it is stopped.
    Fails,
}

const CEILING: Ceiling = Ceiling {
    requests_per_s: 1234.5,
    time_per_request: Duration::from_micros(810),
    threads: 1,
    measured: Duration::from_secs(1),
};

fn plan(workers: u32, change: impl FnOnce(&mut RawPlan)) -> Plan {
    let mut raw = RawPlan {
        requests: Some("20".into()),
        concurrent: Some("4".into()),
        cooldown: Some("0s".into()),
        records: Some("none".into()),
        local_workers: Some(workers.to_string()),
        skip_preflight: true,
        ..RawPlan::default()
    };
    change(&mut raw);
    Plan::build(&raw).expect("a valid plan")
}

async fn run(plan: Plan, scripts: &[Script], interrupt: Interrupt) -> Result<RunOutcome, RunError> {
    let (events, rx) = mpsc::channel(64);
    for (n, &script) in scripts.iter().enumerate() {
        tokio::spawn(worker(format!("w{n}"), script, events.clone(), interrupt.clone()));
    }
    let rig =
        Rig { run: RunId::new("test"), events: rx, interrupt, live: &mut Silent, agents: 0, no_agent: None };
    conduct(plan, rig).await
}

async fn worker(name: String, script: Script, events: mpsc::Sender<Event>, interrupt: Interrupt) {
    let (outbox, mut commands) = Outbox::new();
    let hello = WorkerHello {
        protocol_version: fluxfleet_proto::PROTOCOL_VERSION,
        name,
        host: "here".into(),
        software_version: "test".into(),
        threads: 1,
        cores: 1,
        labels: BTreeMap::new(),
    };
    let (reply, answer) = oneshot::channel();
    if events.send(Event::WorkerJoins(hello, outbox, reply)).await.is_err() {
        return;
    }
    let Ok(Ok(peer)) = answer.await else { return };
    let mut assignment: Option<Assignment> = None;
    while let Some(command) = commands.recv().await {
        let reports = match command {
            WorkerCommand::ClockPing(id) => {
                let now = Clock::now();
                vec![WorkerReport::ClockPong(ClockPong { id, received: now, sent: now })]
            }
            WorkerCommand::Prepare(given) => {
                let trial = given.trial;
                let ceiling = given.calibrate.map(|_| CEILING);
                assignment = Some(*given);
                vec![WorkerReport::Ready(trial, ceiling)]
            }
            WorkerCommand::Start(..) => {
                let given = assignment.as_ref().expect("prepared before it starts");
                match script {
                    Script::Finishes => finish(given, given.share.items),
                    Script::Vanishes => {
                        let half = interval(given, given.share.items / 2);
                        let _ = events.send(Event::Worker(peer, half, Clock::now())).await;
                        let _ = events.send(Event::Left(peer, "it closed its stream".into())).await;
                        return;
                    }
                    Script::PacesAndVanishes => {
                        let [warm, measured] = lanes(given);
                        for (seq, phase, items) in
                            [(0, Phase::Warmup, warm), (1, Phase::Measure, measured / 2)]
                        {
                            let part = of_phase(given, seq, phase, ok(items));
                            let _ = events.send(Event::Worker(peer, part, Clock::now())).await;
                        }
                        let _ = events.send(Event::Left(peer, "it closed its stream".into())).await;
                        return;
                    }
                    Script::Paces => paced(given),
                    Script::Fails => {
                        let mut tally = Tally { requests_sent: 5, items_failed: 5, ..Tally::default() };
                        tally.failures.add(FailureKind::Timeout, 5, None);
                        vec![of_phase(given, 0, Phase::Measure, tally)]
                    }
                    Script::Lies => finish(given, given.share.items + 1),
                    Script::Waits => {
                        interrupt.soft.cancel();
                        Vec::new()
                    }
                }
            }
            WorkerCommand::Stop(trial, reason, _) => {
                let given = assignment.as_ref().expect("prepared before it stops");
                let done = if script == Script::Fails { 5 } else { 0 };
                let not_sent = Some((given.share.items - done, reason));
                let intervals = u64::from(script == Script::Fails);
                let end = TrialEnd { intervals, records: 0, not_sent, started: None, active: None };
                vec![WorkerReport::TrialDone(trial, end)]
            }
            WorkerCommand::Welcome(_) | WorkerCommand::Ack(..) => Vec::new(),
        };
        for report in reports {
            if events.send(Event::Worker(peer, report, Clock::now())).await.is_err() {
                return;
            }
        }
    }
}

fn interval(given: &Assignment, items: u64) -> WorkerReport {
    of_phase(given, 0, Phase::Measure, ok(items))
}

fn ok(items: u64) -> Tally {
    let mut tally = Tally { requests_sent: items, items_ok: items, requests_ok: items, ..Tally::default() };
    (0..items).for_each(|_| tally.response_time.record(Micros(1000)));
    tally
}

fn of_phase(given: &Assignment, seq: u64, phase: Phase, tally: Tally) -> WorkerReport {
    let now = Clock::now();
    let trial = given.trial;
    let interval = Interval { trial, seq, from: now, to: now, phase, in_flight: 0, tally, health: None };
    WorkerReport::Interval(Box::new(interval))
}

/// Items that a worker's own lanes bring in the warm-up and in the measured phase, as every worker finds out.
fn lanes(given: &Assignment) -> [u64; 2] {
    let Load::Open(load) = &given.load else { panic!("not an open load") };
    let mut items = [0, 0];
    let size = given.strategy.items_per_request();
    for planned in load.phases(size, given.limits).filter(|p| load.lanes.hold(p.arrival.lane)) {
        items[usize::from(planned.phase == Phase::Measure)] += u64::from(planned.items);
    }
    items
}

fn paced(given: &Assignment) -> Vec<WorkerReport> {
    let [warm, measured] = lanes(given);
    let mut tally = ok(measured - 1);
    tally.not_sent.add(NotSentReason::NoPlace, 1);
    let now = Clock::now();
    let end =
        TrialEnd { intervals: 2, records: 0, not_sent: None, started: Some(now), active: Some((now, now)) };
    vec![
        of_phase(given, 0, Phase::Warmup, ok(warm)),
        of_phase(given, 1, Phase::Measure, tally),
        WorkerReport::TrialDone(given.trial, end),
    ]
}

fn finish(given: &Assignment, items: u64) -> Vec<WorkerReport> {
    let now = Clock::now();
    let end =
        TrialEnd { intervals: 1, records: 0, not_sent: None, started: Some(now), active: Some((now, now)) };
    vec![interval(given, items), WorkerReport::TrialDone(given.trial, end)]
}

fn trial(outcome: &RunOutcome, index: usize) -> &TrialOutcome {
    match &outcome.strategies[index].ending {
        Ending::Ran(trial) => trial,
        other => panic!("strategy {index} did not run: {other:?}"),
    }
}

fn assert_adds_up(trial: &TrialOutcome) {
    for w in &trial.workers {
        assert_eq!(w.items_ok + w.items_failed + w.items_not_sent, w.items_planned, "{w:?}");
    }
    let not_sent: u64 = trial.not_sent.values().sum();
    assert_eq!(trial.tally.items_ended() + not_sent, trial.items_planned);
}

#[tokio::test]
async fn two_workers_share_every_strategy_and_all_items_are_accounted_for() {
    let plan = plan(2, |raw| raw.strategies = vec!["baseline".into(), "batch".into()]);
    let outcome = run(plan, &[Script::Finishes; 2], Interrupt::default()).await.expect("an outcome");
    for index in 0..2 {
        let trial = trial(&outcome, index);
        assert_adds_up(trial);
        assert_eq!((trial.tally.items_ok, trial.items_planned), (20, 20));
        assert!(trial.workers.iter().all(|w| w.start_skew_us.is_some()));
    }
    assert!(!outcome.interrupted && outcome.workers.iter().all(|w| w.lost.is_none()));
}

#[tokio::test]
async fn a_worker_that_vanishes_leaves_its_rest_unsent_and_the_next_strategy_goes_to_the_others() {
    let plan = plan(2, |raw| raw.strategies = vec!["baseline".into(), "model_pool".into()]);
    let outcome =
        run(plan, &[Script::Finishes, Script::Vanishes], Interrupt::default()).await.expect("an outcome");
    let first = trial(&outcome, 0);
    assert_adds_up(first);
    assert_eq!(first.not_sent, BTreeMap::from([(NotSentReason::WorkerLost, 5)]));
    let second = trial(&outcome, 1);
    assert_eq!((second.workers.len(), second.tally.items_ok), (1, 20));
    let lost: Vec<PeerId> = outcome.workers.iter().filter(|w| w.lost.is_some()).map(|w| w.peer).collect();
    assert_eq!(lost.len(), 1);
}

#[tokio::test]
async fn without_any_worker_left_the_remaining_strategies_are_not_started() {
    let plan = plan(1, |raw| raw.strategies = vec!["baseline".into(), "batch".into()]);
    let outcome = run(plan, &[Script::Vanishes], Interrupt::default()).await.expect("an outcome");
    assert_adds_up(trial(&outcome, 0));
    assert!(matches!(outcome.strategies[1].ending, Ending::NotStarted(NotSentReason::WorkerLost)));
}

#[tokio::test]
async fn an_interrupt_stops_the_load_and_the_partial_outcome_says_so() {
    let plan = plan(1, |raw| raw.strategies = vec!["baseline".into(), "batch".into()]);
    let outcome = run(plan, &[Script::Waits], Interrupt::default()).await.expect("an outcome");
    assert!(outcome.interrupted);
    let first = trial(&outcome, 0);
    assert_adds_up(first);
    assert_eq!(first.not_sent, BTreeMap::from([(NotSentReason::Interrupted, 20)]));
    assert!(matches!(outcome.strategies[1].ending, Ending::NotStarted(NotSentReason::Interrupted)));
}

#[tokio::test]
async fn a_worker_whose_account_does_not_add_up_is_dropped_with_the_reason() {
    let outcome = run(plan(2, |_| ()), &[Script::Finishes, Script::Lies], Interrupt::default())
        .await
        .expect("an outcome");
    let why = outcome.workers.iter().find_map(|w| w.lost.as_ref()).expect("the liar").why.clone();
    assert!(why.contains("contradicts itself"), "{why}");
    assert_adds_up(trial(&outcome, 0));
}

/// 200 items a second for a second, after a tenth of a second of warm-up, at random.
fn open_plan(workers: u32, change: impl FnOnce(&mut RawPlan)) -> Plan {
    plan(workers, |raw| {
        (raw.requests, raw.concurrent) = (None, None);
        (raw.rate, raw.arrival) = (Some("200".into()), Some("poisson".into()));
        (raw.duration, raw.warmup) = (Some("1s".into()), Some("100ms".into()));
        change(raw);
    })
}

#[tokio::test]
async fn the_lanes_of_an_open_load_are_the_whole_and_its_warm_up_stays_apart() {
    let one = open_plan(1, |_| ());
    let alone = run(one, &[Script::Paces], Interrupt::default()).await.expect("an outcome");
    let three = open_plan(3, |raw| raw.strategies = vec!["baseline".into(), "async".into()]);
    let outcome = run(three, &[Script::Paces; 3], Interrupt::default()).await.expect("an outcome");
    for index in 0..2 {
        let (one, three) = (trial(&alone, 0), trial(&outcome, index));
        assert_adds_up(three);
        assert_eq!(three.items_planned, one.items_planned, "the same arrivals, whatever the fleet");
        assert!((150..250).contains(&three.items_planned), "{}", three.items_planned);
        assert_eq!(three.not_sent, BTreeMap::from([(NotSentReason::NoPlace, 3)]));
        assert_eq!(three.warmup.items_ok, one.warmup.items_ok);
        assert!(three.warmup.items_ok > 0);
        let of_series =
            |phase| three.series.iter().filter(|p| p.phase == phase).map(|p| p.items_ok).sum::<u64>();
        assert_eq!(of_series(Phase::Measure), three.tally.items_ok);
        assert_eq!(of_series(Phase::Warmup), three.warmup.items_ok);
    }
    assert!(outcome.workers.iter().all(|w| w.lost.is_none()), "{:?}", outcome.workers);
}

#[tokio::test]
async fn a_worker_lost_in_an_open_load_leaves_the_rest_of_its_lanes_unsent() {
    let scripts = [Script::Paces, Script::PacesAndVanishes];
    let outcome = run(open_plan(2, |_| ()), &scripts, Interrupt::default()).await.expect("an outcome");
    let trial = trial(&outcome, 0);
    assert_adds_up(trial);
    let lost = trial.workers.iter().find(|w| w.items_not_sent > 1).expect("the one that vanished");
    assert_eq!(trial.not_sent[&NotSentReason::WorkerLost], lost.items_planned - lost.items_planned / 2);
}

#[tokio::test]
async fn a_strategy_that_fails_too_much_is_stopped_and_the_next_one_runs() {
    let plan = plan(1, |raw| {
        raw.strategies = vec!["baseline".into(), "model_pool".into()];
        raw.error_limit = Some("4".into());
    });
    let outcome = run(plan, &[Script::Fails], Interrupt::default()).await.expect("an outcome");
    for index in 0..2 {
        let trial = trial(&outcome, index);
        assert_adds_up(trial);
        assert_eq!(trial.not_sent, BTreeMap::from([(NotSentReason::ErrorLimit, 15)]));
    }
    assert!(!outcome.interrupted);
}

#[tokio::test]
async fn each_worker_is_calibrated_once_and_its_ceiling_holds_for_every_strategy() {
    let plan = plan(2, |raw| {
        raw.strategies = vec!["baseline".into(), "batch".into()];
        raw.calibrate = Some("100ms".into());
    });
    let outcome = run(plan, &[Script::Finishes; 2], Interrupt::default()).await.expect("an outcome");
    for index in 0..2 {
        let ceilings = trial(&outcome, index).workers.iter().map(|w| w.health.ceiling);
        assert!(ceilings.into_iter().all(|c| c == Some(CEILING)), "strategy {index}");
    }
}

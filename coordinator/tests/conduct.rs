//! Whole runs over in-memory peers: no sockets, no load, every message scripted.

use std::collections::BTreeMap;

use fluxfleet::aggregate::{Ending, RunOutcome, TrialOutcome};
use fluxfleet::fleet::{Event, Outbox};
use fluxfleet::live::Silent;
use fluxfleet::plan::{Plan, RawPlan};
use fluxfleet::run::{Interrupt, Rig, RunError, conduct};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::id::{PeerId, RunId};
use fluxfleet_proto::message::{ClockPong, WorkerCommand, WorkerReport};
use fluxfleet_proto::peer::WorkerHello;
use fluxfleet_proto::tally::{Interval, Tally};
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
}

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
                assignment = Some(*given);
                vec![WorkerReport::Ready(trial, None)]
            }
            WorkerCommand::Start(..) => {
                let given = assignment.as_ref().expect("prepared before it starts");
                match script {
                    Script::Finishes => finish(given, given.share.items),
                    Script::Vanishes => {
                        let _ = events
                            .send(Event::Worker(peer, interval(given, given.share.items / 2), Clock::now()))
                            .await;
                        let _ = events.send(Event::Left(peer, "it closed its stream".into())).await;
                        return;
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
                let not_sent = Some((given.share.items, reason));
                let end = TrialEnd { intervals: 0, records: 0, not_sent, started: None, active: None };
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
    let now = Clock::now();
    let mut tally = Tally { requests_sent: items, items_ok: items, requests_ok: items, ..Tally::default() };
    for _ in 0..items {
        tally.response_time.record(Micros(1000));
    }
    WorkerReport::Interval(Box::new(Interval {
        trial: given.trial,
        seq: 0,
        from: now,
        to: now,
        phase: fluxfleet_proto::tally::Phase::Measure,
        in_flight: 0,
        tally,
        health: None,
    }))
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

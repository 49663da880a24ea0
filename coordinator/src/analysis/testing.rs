//! Outcomes of runs that never happened, for tests of the analysis and of the reports.

mod every;
mod gpu;
mod load;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::clock::{ClockOffset, Mono};
use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::id::{PeerId, RunId, SessionId, TrialId};
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuReading, GpuUuid, HostSample, Occasion, Readings, SystemReading,
};
use fluxfleet_proto::tally::Tally;
use fluxfleet_proto::trial::{Method, Strategy, Target, Workload};
use fluxfleet_proto::units::Micros;

use crate::aggregate::{
    AgentOutcome, Ending, Lost, PeerClock, PlacedSample, RecordSpool, RunOutcome, SpooledRecord,
    StrategyOutcome, TrialOutcome, Window, WorkerHealth, WorkerOutcome, WorkerTrial,
};
use crate::plan::{FleetPlan, Lang, OutputPlan, Plan, PlannedStrategy, RecordsPolicy};

pub(crate) use every::{failure_kinds, missing, not_sent_reasons, notes, reasons, states};
pub(crate) use gpu::{gone_run, gpu_event, gpu_run, partitioned};
pub(crate) use load::{
    generators, health_point, limited_run, loads, measured_arrivals, open_run, point, poisson, warmups,
};

pub(crate) const WORKER: PeerId = PeerId(1);
pub(crate) const AGENT: PeerId = PeerId(9);

/// Milliseconds after the run began.
pub(crate) fn at(ms: i64) -> Mono {
    Mono::from_nanos(ms * 1_000_000)
}

/// A strategy to come: what its requests did and what the GPUs did meanwhile.
#[derive(Clone)]
pub(crate) struct Sketch {
    name: String,
    method: Method,
    window_s: f64,
    ok: u64,
    mean_s: f64,
    gpu: f64,
    failed: Vec<(FailureKind, u64, &'static str)>,
    not_sent: Vec<(NotSentReason, u64)>,
}

impl Sketch {
    /// A strategy that got 20 items done in `20 / throughput` seconds.
    pub(crate) fn new(name: &str, throughput: f64, mean_s: f64, gpu: f64) -> Self {
        Self {
            name: name.into(),
            method: Method::Single { path: "/generate".into() },
            window_s: 20.0 / throughput,
            ok: 20,
            mean_s,
            gpu,
            failed: Vec::new(),
            not_sent: Vec::new(),
        }
    }

    pub(crate) fn items(mut self, ok: u64) -> Self {
        self.ok = ok;
        self
    }

    pub(crate) fn failing(mut self, kind: FailureKind, items: u64, example: &'static str) -> Self {
        self.failed.push((kind, items, example));
        self
    }

    pub(crate) fn unsent(mut self, reason: NotSentReason, items: u64) -> Self {
        self.not_sent.push((reason, items));
        self
    }

    fn planned(&self) -> PlannedStrategy {
        PlannedStrategy {
            strategy: Strategy { name: self.name.clone(), method: self.method.clone() },
            in_flight: NonZeroU32::new(3).expect("3"),
        }
    }

    fn failed_items(&self) -> u64 {
        self.failed.iter().map(|f| f.1).sum()
    }

    fn tally(&self) -> Tally {
        let failed = self.failed_items();
        let mut tally = Tally {
            requests_sent: self.ok + failed,
            items_ok: self.ok,
            items_failed: failed,
            requests_ok: self.ok,
            requests_failed: failed,
            bytes_received: 100 * self.ok,
            ..Tally::default()
        };
        for i in 0..self.ok {
            // From 0.8 to 1.2 of the mean.
            let place = if self.ok > 1 { i as f64 / (self.ok - 1) as f64 } else { 0.5 };
            let response = micros(self.mean_s * (0.8 + 0.4 * place));
            tally.response_time.record(response);
            tally.service_time.record(Micros(response.0.saturating_sub(120)));
            tally.first_byte.record(Micros(response.0.saturating_sub(900)));
            tally.generation_time.record(Micros(response.0.saturating_sub(50_000)));
            tally.send_lateness.record(Micros(120));
        }
        for &(kind, items, example) in &self.failed {
            tally.failures.add(kind, items, Some(example));
            for _ in 0..items {
                tally.failed_response_time.record(micros(0.25));
                tally.send_lateness.record(Micros(150));
            }
        }
        tally
    }
}

fn micros(s: f64) -> Micros {
    Micros::from_duration(Duration::from_secs_f64(s))
}

/// A run under construction.
pub(crate) struct RunSketch {
    outcome: RunOutcome,
    next_ms: i64,
    gpus: u32,
    seq: u64,
}

impl RunSketch {
    /// A run with one worker, and one agent on a host with two GPUs.
    pub(crate) fn new() -> Self {
        Self {
            outcome: RunOutcome {
                run: RunId::new("20250102-030405-ab12"),
                plan: plan(),
                began: (Duration::from_secs(1_735_787_045), at(0)),
                strategies: Vec::new(),
                workers: vec![worker(WORKER, "worker-1")],
                agents: vec![agent(AGENT, "gpu-host-1")],
                samples: Vec::new(),
                records: None,
                interrupted: false,
                no_agent: None,
            },
            next_ms: 1_000,
            gpus: 2,
            seq: 0,
        }
    }

    /// No agent takes part.
    pub(crate) fn without_agent(mut self, why: &str) -> Self {
        self.outcome.agents.clear();
        self.outcome.no_agent = Some(why.into());
        self.gpus = 0;
        self
    }

    /// The agent's host has no GPU.
    pub(crate) fn without_gpus(mut self) -> Self {
        self.gpus = 0;
        for agent in &mut self.outcome.agents {
            agent.hello.devices = Ok(Vec::new());
        }
        self
    }

    /// One more strategy, which ran.
    pub(crate) fn ran(mut self, sketch: Sketch) -> Self {
        let trial = TrialId(u32::try_from(self.outcome.strategies.len()).expect("few"));
        let from = self.next_ms;
        #[expect(clippy::cast_possible_truncation, reason = "some seconds")]
        let to = from + (sketch.window_s * 1e3) as i64;
        self.next_ms = to + 10_000;
        let tally = sketch.tally();
        let sent = tally.requests_sent > 0;
        let not_sent: BTreeMap<_, _> = sketch.not_sent.iter().copied().collect();
        let unsent: u64 = not_sent.values().sum();
        let planned = sketch.ok + sketch.failed_items() + unsent;
        self.sample(from, to, sketch.gpu);
        self.outcome.strategies.push(StrategyOutcome {
            planned: sketch.planned(),
            ending: Ending::Ran(Box::new(TrialOutcome {
                trial,
                items_planned: planned,
                not_sent,
                window: sent.then_some(Window { from: at(from), to: at(to) }),
                lanes: None,
                planned_start: Some(at(from)),
                warmup: Tally::default(),
                series: Vec::new(),
                workers: vec![WorkerTrial {
                    peer: WORKER,
                    items_planned: planned,
                    items_ok: sketch.ok,
                    items_failed: sketch.failed_items(),
                    items_not_sent: unsent,
                    start_skew_us: Some(140),
                    health: WorkerHealth::default(),
                    requests_sent: tally.requests_sent,
                }],
                tally,
            })),
        });
        self
    }

    /// One more strategy, which did not run.
    pub(crate) fn ended(mut self, name: &str, ending: Ending) -> Self {
        let planned = Sketch::new(name, 1.0, 1.0, 0.0).planned();
        self.outcome.strategies.push(StrategyOutcome { planned, ending });
        self
    }

    /// The user stopped it.
    pub(crate) fn interrupted(mut self) -> Self {
        self.outcome.interrupted = true;
        self
    }

    /// Whatever else is to be different.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut RunOutcome)) -> Self {
        change(&mut self.outcome);
        self
    }

    /// The outcome.
    pub(crate) fn done(mut self) -> RunOutcome {
        self.outcome.plan.strategies = self.outcome.strategies.iter().map(|s| s.planned.clone()).collect();
        self.outcome
    }

    /// A reading each second from `from_ms` to `to_ms`, the first of which the window does not own.
    fn sample(&mut self, from_ms: i64, to_ms: i64, gpu: f64) {
        if self.outcome.agents.is_empty() {
            return;
        }
        for ms in (from_ms..=to_ms).step_by(1000) {
            // The reading at the window's first instant describes the idle time before.
            let busy = if ms == from_ms { 0.0 } else { gpu };
            let sample = host_sample(self.seq, at(ms), self.gpus, busy);
            self.seq += 1;
            self.outcome.agents[0].samples += 1;
            self.outcome.samples.push(PlacedSample { agent: AGENT, at: at(ms), error_ns: 80_000, sample });
        }
    }
}

/// A run as in the seed tool's example.
pub(crate) fn seed_run() -> RunSketch {
    RunSketch::new()
        .ran(Sketch::new("baseline", 0.25, 15.23, 45.2))
        .ran(Sketch::new("model_pool", 1.15, 12.87, 78.5))
        .ran(Sketch::new("batch", 0.42, 13.45, 65.3))
        .ran(Sketch::new("async", 0.28, 10.89, 52.1))
}

/// A sample of a host whose GPUs have the mean utilization `gpu` (when their number is even).
pub(crate) fn host_sample(seq: u64, taken: Mono, gpus: u32, gpu: f64) -> HostSample {
    let gib = f64::from(1 << 30);
    let system = Readings::default()
        .with(
            HostMetric::CpuPercent,
            if seq == 0 { Err(Absence::new(AbsenceReason::NotYet, "the first reading")) } else { Ok(12.5) },
        )
        .with(HostMetric::MemoryUsedBytes, Ok(8.0 * gib))
        .with(HostMetric::MemoryTotalBytes, Ok(32.0 * gib));
    let one = |i: u32| {
        // Apart from each other, with `gpu` as their mean.
        let utilization = if i.is_multiple_of(2) { gpu - gpu / 10.0 } else { gpu + gpu / 10.0 };
        GpuReading {
            values: Readings::default()
                .with(GpuMetric::UtilizationPercent, Ok(utilization))
                .with(GpuMetric::MemoryUsedBytes, Ok(12.0 * gib))
                .with(GpuMetric::MemoryTotalBytes, Ok(24.0 * gib))
                .with(GpuMetric::PowerW, Ok(212.5))
                .with(GpuMetric::EnergyJ, Err(Absence::new(AbsenceReason::Unsupported, "")))
                .with(GpuMetric::TemperatureC, Ok(61.0))
                .with(GpuMetric::SmClockMhz, Ok(1_980.0)),
            throttle: Some(Ok(vec!["sw_power_cap".into()])),
            ..GpuReading::new(GpuUuid(format!("GPU-{i:08}")))
        }
    };
    HostSample {
        took: Micros(300),
        system: SystemReading { values: system, core_percent: None },
        gpus: (0..gpus).map(one).collect(),
        ..HostSample::new(seq, Occasion::Normal, taken)
    }
}

/// A clock that was equally sure all the time.
pub(crate) fn peer_clock(offset_ns: i64, error_ns: u64) -> PeerClock {
    PeerClock {
        offset: ClockOffset { offset_ns, error_ns },
        least_error_ns: error_ns,
        most_error_ns: error_ns,
        exchanges: 12,
        steps: 0,
    }
}

pub(crate) fn worker(peer: PeerId, name: &str) -> WorkerOutcome {
    WorkerOutcome {
        peer,
        hello: WorkerHello {
            protocol_version: PROTOCOL_VERSION,
            name: name.into(),
            host: "load-host-1".into(),
            software_version: "0.1.0".into(),
            threads: 2,
            cores: 4,
            labels: BTreeMap::new(),
        },
        clock: Some(peer_clock(-1_250, 60_000)),
        lost: None,
    }
}

pub(crate) fn agent(peer: PeerId, host: &str) -> AgentOutcome {
    let device = |i: u32| Device::new(format!("GPU-{i:08}"), "NVIDIA H100 80GB HBM3");
    AgentOutcome {
        peer,
        hello: AgentHello {
            protocol_version: PROTOCOL_VERSION,
            host: host.into(),
            software_version: "0.1.0".into(),
            devices: Ok((0..2).map(device).collect()),
            session: SessionId(1),
            run: None,
        },
        clock: Some(peer_clock(2_000, 80_000)),
        lost: None,
        samples: 0,
        gaps: 0,
    }
}

pub(crate) fn lost(at_ms: i64, why: &str) -> Lost {
    Lost { at: at(at_ms), why: why.into() }
}

/// The trial of the strategy at `index`, which must have run.
pub(crate) fn trial(outcome: &mut RunOutcome, index: usize) -> &mut TrialOutcome {
    match &mut outcome.strategies[index].ending {
        Ending::Ran(trial) => trial,
        other => panic!("{other:?}"),
    }
}

fn plan() -> Plan {
    let one = NonZeroU32::MIN;
    Plan {
        target: Target {
            base_url: "http://localhost:8000".into(),
            timeout: Duration::from_mins(5),
            headers: vec![("authorization".into(), "Bearer sesame".into())],
            max_body_bytes: 32 << 20,
            transport: fluxfleet_proto::trial::Transport::default(),
        },
        workload: Workload {
            prompts: vec!["一只橘猫".into()],
            parameters_json: r#"{"num_inference_steps":25,"width":512}"#.into(),
            seed: 1,
        },
        items: Some(20),
        load: crate::plan::PlannedLoad::Closed,
        limits: fluxfleet_proto::load::Limits::default(),
        error_limit: None,
        calibrate: None,
        concurrent: NonZeroU32::new(3).expect("3"),
        strategies: Vec::new(),
        cooldown: Duration::from_secs(10),
        sample_period: Duration::from_secs(1),
        fast_period: Duration::from_millis(100),
        preflight: true,
        fleet: FleetPlan::Embedded { workers: one },
        output: OutputPlan {
            dir: None,
            save: true,
            plot: true,
            records: RecordsPolicy::None,
            lang: Lang::En,
            quiet: false,
            color: false,
            allow_invalid: false,
        },
    }
}

/// A run in which much went wrong: one strategy with failures, one without a success, one skipped, a second
/// worker that was lost.
pub(crate) fn troubled_run() -> RunSketch {
    let refused = "connection refused\n\x1b[31m(os error 111)";
    let full = r#"{"detail":"Queue is full"}"#;
    RunSketch::new()
        .ran(
            Sketch::new("baseline", 0.25, 15.23, 45.2)
                .items(13)
                .failing(FailureKind::Timeout, 2, "no answer within 300 s")
                .failing(FailureKind::Overloaded, 3, full)
                .unsent(NotSentReason::WorkerLost, 2),
        )
        .ran(Sketch::new("batch", 1.0, 1.0, 0.0).items(0).failing(FailureKind::Connect, 20, refused))
        .ended(
            "async",
            Ending::Skipped("POST /async-generate answers 404; leave it out of --strategies".into()),
        )
        .ran(Sketch::new("model_pool", 0.2, 22.0, 30.0))
        .with(|run| {
            let mut second = worker(PeerId(2), "worker-2");
            second.lost = Some(lost(31_000, "the connection was closed"));
            run.workers.push(second);
            let trial = trial(run, 0);
            trial.workers[0].items_planned = 16;
            trial.workers[0].items_ok = 11;
            trial.workers[0].items_not_sent = 0;
            trial.workers.push(WorkerTrial {
                peer: PeerId(2),
                items_planned: 4,
                items_ok: 2,
                items_failed: 0,
                items_not_sent: 2,
                start_skew_us: Some(-7_250),
                health: WorkerHealth::default(),
                requests_sent: 2,
            });
            run.agents[0].gaps = 3;
        })
}

/// A run that its user stopped during the second strategy.
pub(crate) fn stopped_run() -> RunSketch {
    RunSketch::new()
        .ran(Sketch::new("baseline", 0.25, 15.23, 45.2))
        .ran(
            Sketch::new("model_pool", 2.0, 12.87, 78.5)
                .items(9)
                .failing(FailureKind::Interrupted, 3, "stopped")
                .unsent(NotSentReason::Interrupted, 8),
        )
        .ended("batch", Ending::NotStarted(NotSentReason::Interrupted))
        .interrupted()
}

/// A run against another machine, without an agent there; fast enough to saturate the score.
pub(crate) fn remote_run() -> RunSketch {
    RunSketch::new()
        .without_agent("the target is another machine; start fluxfleet-agent there")
        .ran(Sketch::new("baseline", 12.5, 0.21, 0.0).items(700))
        .ran(Sketch::new("batch", 11.0, 0.0832, 0.0).items(150))
}

/// Keeps some requests in detail: one that went well, and one that failed in part.
pub(crate) fn with_records(run: RunSketch) -> RunSketch {
    run.with(|run| {
        let mut records = RecordSpool::create().expect("a temporary file");
        let record = |first_item, error| SpooledRecord {
            trial: 0,
            worker: WORKER.0,
            phase: fluxfleet_proto::tally::Phase::Measure,
            first_item,
            items: 4,
            items_ok: if error { 1 } else { 4 },
            intended_ns: 1_000_000_000,
            response_time_us: 2_500_000,
            service_time_us: 2_499_900,
            generation_time_us: (!error).then_some(2_400_000),
            error: error.then(|| ("short_answer".to_owned(), "1 of 4 items".to_owned())),
            not_sent: None,
        };
        records.append(&record(0, false)).expect("space");
        records.append(&record(7, true)).expect("space");
        let given_up = SpooledRecord {
            items_ok: 0,
            service_time_us: 0,
            generation_time_us: None,
            not_sent: Some("no_place".to_owned()),
            ..record(11, false)
        };
        records.append(&given_up).expect("space");
        run.records = Some(records);
        run.plan.output.records = RecordsPolicy::All;
    })
}

//! Every message set goes over the wire and comes back as it was; what makes no sense is refused by name.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use fluxfleet_proto::arrival::{Arrivals, Lanes, Process, Profile, Stage};
use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::convert::InvalidMessage;
use fluxfleet_proto::failure::{FailureKind, NotSentReason};
use fluxfleet_proto::health::{Ceiling, Health};
use fluxfleet_proto::id::{PeerId, RunId, SessionId, TrialId};
use fluxfleet_proto::latency::Latency;
use fluxfleet_proto::load::{Limits, Load, OpenLoad, Warmup, WhenFull};
use fluxfleet_proto::message::{
    Acked, AgentCommand, AgentReport, Cadence, ClockPong, Welcome, WorkerCommand, WorkerReport,
};
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::peer::{AgentHello, WorkerHello};
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, Device, GpuEvent, GpuEventKind, GpuProcess, GpuReading, GpuUuid, HostSample,
    Occasion, Reading, SystemReading,
};
use fluxfleet_proto::tally::{Interval, Phase, Record, Records, Tally};
use fluxfleet_proto::trial::{
    Assignment, DriverChoice, HttpVersion, Method, Share, Strategy, Target, Transport, TrialEnd, Workload,
};
use fluxfleet_proto::units::Micros;
use fluxfleet_proto::wire;
use proptest::prelude::*;

const T: TrialId = TrialId(3);

fn at(ns: i64) -> Mono {
    Mono::from_nanos(ns)
}

fn interval(latencies: &[u64], failed: u64) -> Interval {
    let mut tally = Tally {
        requests_sent: 9,
        polls_sent: 8,
        items_ok: latencies.len() as u64,
        items_failed: failed,
        requests_ok: 7,
        requests_failed: 6,
        bytes_received: 5,
        redirects: 4,
        connections: 3,
        ..Tally::default()
    };
    for &us in latencies {
        tally.response_time.record(Micros(us));
        tally.service_time.record(Micros(us / 2));
        tally.first_byte.record(Micros(us / 3));
        tally.send_lateness.record(Micros(us / 4));
        tally.failed_response_time.record(Micros(us / 5));
        tally.generation_time.record(Micros(us / 6));
        tally.pacer_lateness.record(Micros(us / 7));
        tally.send_gap.record(Micros(us / 8));
        tally.not_sent_wait.record(Micros(us / 9));
        tally.connect_time.record(Micros(us / 10));
        tally.tls_time.record(Micros(us / 11));
    }
    tally.not_sent.add(NotSentReason::NoPlace, 12);
    let mut poll_delay = Latency::new();
    poll_delay.record(Micros(13));
    let health = Health {
        threads_busy: vec![0.25, 1.0],
        cores_busy: vec![0.0],
        poll_delay,
        open_files: Some(14),
        open_files_limit: None,
        ports_used: Some(0),
        ports_limit: Some(28_232),
        socket_errors: 15,
        resident_bytes: Some(16),
    };
    tally.failures.add(FailureKind::Http(503), failed, Some("POST /generate: 503 全满"));
    Interval {
        trial: T,
        seq: 11,
        from: at(1),
        to: at(2),
        phase: Phase::Warmup,
        in_flight: 3,
        tally,
        health: failed.is_multiple_of(2).then(|| Box::new(health)),
    }
}

fn worker_round(report: WorkerReport) {
    let wire = wire::WorkerUp::from(report.clone());
    assert_eq!(WorkerReport::try_from(wire), Ok(report));
}

fn command_round(command: WorkerCommand) {
    let wire = wire::WorkerDown::from(command.clone());
    assert_eq!(WorkerCommand::try_from(wire), Ok(command));
}

proptest! {
    #[test]
    fn intervals_survive_the_wire(
        latencies in proptest::collection::vec(0u64..20_000_000_000, 0..40), failed in 0u64..1000,
    ) {
        worker_round(WorkerReport::Interval(Box::new(interval(&latencies, failed))));
    }
}

#[test]
fn worker_reports_survive_the_wire() {
    worker_round(WorkerReport::Hello(WorkerHello {
        protocol_version: 1,
        name: "w".into(),
        host: "h".into(),
        software_version: "0.1".into(),
        threads: 2,
        cores: 4,
        labels: BTreeMap::from([("zone".into(), "a".into())]),
    }));
    worker_round(WorkerReport::ClockPong(ClockPong { id: 1, received: at(2), sent: at(3) }));
    worker_round(WorkerReport::Ready(T, None));
    let ceiling = Ceiling {
        requests_per_s: 137_000.5,
        time_per_request: Duration::from_nanos(7_300),
        threads: 2,
        measured: Duration::from_secs(1),
    };
    worker_round(WorkerReport::Ready(T, Some(ceiling)));
    worker_round(WorkerReport::Fault(None, "no".into()));
    worker_round(WorkerReport::Fault(Some(T), "no".into()));
    let record = Record {
        phase: Phase::Measure,
        not_sent: None,
        first_item: 4,
        items: 4,
        items_ok: 3,
        intended: at(9),
        response_time: Micros(8),
        service_time: Micros(7),
        generation_time: Some(Micros(6)),
        error: Some((FailureKind::ShortAnswer, "3 of 4".into())),
    };
    let plain = Record { items_ok: 4, generation_time: None, error: None, ..record.clone() };
    let unsent =
        Record { phase: Phase::Warmup, not_sent: Some(NotSentReason::TimeUp), items_ok: 0, ..plain.clone() };
    worker_round(WorkerReport::Records(Records { trial: T, seq: 1, records: vec![record, plain, unsent] }));
    for (not_sent, started, active) in
        [(None, None, None), (Some((5, NotSentReason::Interrupted)), Some(at(1)), Some((at(2), at(3))))]
    {
        worker_round(WorkerReport::TrialDone(
            T,
            TrialEnd { intervals: 2, records: 1, not_sent, started, active },
        ));
    }
}

#[test]
fn worker_commands_survive_the_wire() {
    command_round(WorkerCommand::Welcome(Welcome { run: RunId::new("r"), peer: PeerId(4) }));
    command_round(WorkerCommand::ClockPing(4));
    command_round(WorkerCommand::Start(T, at(5)));
    command_round(WorkerCommand::Stop(T, NotSentReason::Interrupted, Duration::from_secs(2)));
    command_round(WorkerCommand::Ack(T, Acked::Interval(5)));
    command_round(WorkerCommand::Ack(T, Acked::Records(5)));
    let methods = [
        Method::Single { path: "/generate".into() },
        Method::Batch { path: "/batch-generate".into(), size: NonZeroU32::new(4).expect("4") },
        Method::Async {
            submit_path: "/async-generate".into(),
            id_field: "task_id".into(),
            status_path: Some("/s/{id}".into()),
            poll_interval: Duration::from_millis(100),
        },
    ];
    for method in methods {
        command_round(WorkerCommand::Prepare(Box::new(assignment(method))));
    }
}

fn assignment(method: Method) -> Assignment {
    Assignment {
        trial: T,
        strategy: Strategy { name: "s".into(), method },
        target: Target {
            base_url: "http://x".into(),
            timeout: Duration::from_secs(300),
            headers: vec![("A".into(), "b".into())],
            max_body_bytes: 9,
            transport: Transport::default(),
        },
        workload: Workload { prompts: vec!["猫".into()], parameters_json: "{}".into(), seed: u64::MAX },
        share: Share { first_item: 6, items: 7, in_flight: 2 },
        load: Load::Closed,
        limits: Limits::default(),
        calibrate: None,
        record_requests: true,
        interval: Duration::from_secs(1),
    }
}

fn open(arrivals: Arrivals) -> Assignment {
    Assignment {
        load: Load::Open(OpenLoad {
            arrivals,
            lanes: Lanes { first: 2, count: 3, of: 5 },
            items: Some(9),
            when_full: WhenFull::Drop,
        }),
        ..assignment(Method::Single { path: "/g".into() })
    }
}

#[test]
fn every_load_and_transport_survives_the_wire() {
    let stage = |from, to, ms| Stage { from, to, length: Some(Duration::from_millis(ms)) };
    let profile = Profile::try_new(vec![stage(0.0, 1.5, 30), Stage { from: 1.5, to: 1.5, length: None }])
        .expect("valid");
    for process in [Process::Constant, Process::Poisson, Process::Gamma { shape: 0.5 }] {
        let drawn = Arrivals::Drawn { process, profile: profile.clone(), seed: u64::MAX };
        command_round(WorkerCommand::Prepare(Box::new(open(drawn))));
    }
    let times: Vec<_> = [0, 1, 1, 500].map(Duration::from_nanos).into();
    command_round(WorkerCommand::Prepare(Box::new(open(Arrivals::Replay(times.into())))));
    for warmup in [Warmup::None, Warmup::Time(Duration::from_millis(7)), Warmup::Items(8)] {
        let transport = Transport {
            driver: DriverChoice::General,
            http: HttpVersion::Two,
            proxy: Some("http://p".into()),
            ca_pem: Some("pem".into()),
            insecure: true,
        };
        let plain = assignment(Method::Single { path: "/g".into() });
        command_round(WorkerCommand::Prepare(Box::new(Assignment {
            limits: Limits { warmup, duration: Some(Duration::from_secs(3)) },
            calibrate: Some(Duration::from_millis(500)),
            target: Target { transport, ..plain.target.clone() },
            ..plain
        })));
    }
}

#[test]
fn an_open_load_that_makes_no_sense_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut wire::OpenLoad)| {
        let good = open(Arrivals::constant(5.0).expect("a rate"));
        let mut wire = wire::Prepare::from(good);
        change(wire.open.as_mut().expect("open"));
        Assignment::try_from(wire).expect_err("it makes no sense")
    };
    let lanes = refused(&|o| o.lane_count = 4);
    assert!(matches!(lanes, InvalidMessage::OutOfRange { field: "lane_count", .. }), "{lanes}");
    assert_eq!(refused(&|o| o.arrivals = None), InvalidMessage::Missing("arrivals"));
    let drawn = |change: fn(&mut wire::Drawn)| {
        refused(&|o| {
            if let Some(wire::open_load::Arrivals::Drawn(d)) = &mut o.arrivals {
                change(d);
            }
        })
    };
    let stages = drawn(|d| d.stages[0].from = f64::NAN);
    assert!(matches!(stages, InvalidMessage::OutOfRange { field: "stages", .. }), "{stages}");
    let shape = drawn(|d| d.process = 2);
    assert!(matches!(shape, InvalidMessage::OutOfRange { field: "shape", .. }), "{shape}");
    let process = drawn(|d| d.process = 9);
    assert!(matches!(process, InvalidMessage::OutOfRange { field: "process", .. }), "{process}");
    let gaps = refused(&|o| {
        o.arrivals = Some(wire::open_load::Arrivals::Replay(wire::Replay { gaps_ns: vec![u64::MAX, 1] }));
    });
    assert!(matches!(gaps, InvalidMessage::OutOfRange { field: "gaps_ns", .. }), "{gaps}");
}

fn sample() -> HostSample {
    fn absent<T>(reason: AbsenceReason) -> Reading<T> {
        Err(Absence::new(reason, "x"))
    }
    let every_gpu_metric = GpuMetric::ALL.iter().map(|m| (*m, Ok(f64::from(m.number()))));
    let every_host_metric = HostMetric::ALL.iter().map(|m| (*m, Ok(0.0)));
    let mut gpu = GpuReading::new(GpuUuid("GPU-1".into()));
    gpu.values = every_gpu_metric.collect();
    for (metric, reason) in [
        (GpuMetric::MemoryUsedBytes, AbsenceReason::Lost),
        (GpuMetric::PowerW, AbsenceReason::Denied),
        (GpuMetric::EnergyJ, AbsenceReason::Unsupported),
        (GpuMetric::TemperatureC, AbsenceReason::Stale),
        (GpuMetric::SmClockMhz, AbsenceReason::Error),
        (GpuMetric::PcieReplays, AbsenceReason::NotYet),
    ] {
        gpu.values.set(metric, absent(reason));
    }
    gpu.repeated = vec![GpuMetric::UtilizationPercent];
    gpu.driver_wall_ns = Some(7);
    gpu.throttle = Some(Ok(vec!["gpu_idle".into()]));
    gpu.processes = Some(Ok(vec![GpuProcess {
        pid: 1,
        name: "serve".into(),
        memory_bytes: Ok(1e9),
        utilization_percent: absent(AbsenceReason::NotYet),
    }]));
    let mut bare = GpuReading::new(GpuUuid("GPU-2".into()));
    bare.throttle = Some(absent(AbsenceReason::Unsupported));
    bare.processes = Some(absent(AbsenceReason::Denied));
    HostSample {
        wall_ns: 5,
        took: Micros(6),
        system: SystemReading {
            values: every_host_metric.collect(),
            core_percent: Some(Ok(vec![0.0, 100.0])),
        },
        gpus: vec![gpu, bare],
        ..HostSample::new(3, Occasion::Normal, at(4))
    }
}

fn sample_of(occasion: Occasion) -> HostSample {
    let event = |uuid: Option<&str>, kind| GpuEvent { uuid: uuid.map(|u| GpuUuid(u.into())), kind };
    HostSample {
        system: SystemReading {
            core_percent: Some(Err(Absence::new(AbsenceReason::Stale, ""))),
            ..SystemReading::default()
        },
        events: vec![
            event(Some("GPU-1"), GpuEventKind::Xid(79)),
            event(Some("GPU-1"), GpuEventKind::Gone(Absence::new(AbsenceReason::Lost, "x"))),
            event(None, GpuEventKind::Back),
            event(Some("GPU-2"), GpuEventKind::Found(Device::new("GPU-2", "H100"))),
        ],
        ..HostSample::new(4, occasion, at(5))
    }
}

#[test]
fn agent_messages_survive_the_wire() {
    let hello = |devices, run: Option<&str>| {
        AgentReport::Hello(AgentHello {
            protocol_version: 1,
            host: "h".into(),
            software_version: "0.1".into(),
            devices,
            session: SessionId(7 << 100),
            run: run.map(RunId::new),
        })
    };
    let device = Device::new("GPU-1", "n");
    let instance = Device {
        index: 3,
        pci_bus: "00000000:3B:00.0".into(),
        architecture: "ampere".into(),
        parent: Some(device.uuid.clone()),
        ..Device::new("MIG-1", "n 1g.5gb")
    };
    let trial = TrialId(2);
    let occasions = [
        Occasion::Fast,
        Occasion::Normal,
        Occasion::Slow,
        Occasion::Start(trial),
        Occasion::End(trial),
        Occasion::Event,
    ];
    for report in [
        hello(Ok(vec![device, instance]), None),
        hello(Ok(Vec::new()), Some("r")),
        hello(Err(Absence::new(AbsenceReason::Lost, "no driver")), None),
        AgentReport::ClockPong(ClockPong { id: 1, received: at(2), sent: at(3) }),
        AgentReport::Samples(vec![sample()]),
        AgentReport::Samples(occasions.map(sample_of).into()),
        AgentReport::Gap(4, 9, "ring full".into()),
        AgentReport::Goodbye,
    ] {
        assert_eq!(AgentReport::try_from(wire::AgentUp::from(report.clone())), Ok(report));
    }
    for command in [
        AgentCommand::Welcome(Welcome { run: RunId::new("r"), peer: PeerId(4) }),
        AgentCommand::ClockPing(4),
        AgentCommand::Watch(Cadence {
            fast: Duration::from_millis(100),
            normal: Duration::from_millis(500),
            slow: Duration::from_secs(2),
        }),
        AgentCommand::Mark(Occasion::Start(trial), Some(at(9))),
        AgentCommand::Mark(Occasion::End(trial), None),
        AgentCommand::Ack(7),
    ] {
        assert_eq!(AgentCommand::try_from(wire::AgentDown::from(command.clone())), Ok(command));
    }
}

fn broken(change: impl FnOnce(&mut wire::Interval)) -> InvalidMessage {
    let mut wire = wire::Interval::from(&interval(&[10, 20], 1));
    change(&mut wire);
    Interval::try_from(wire).expect_err("it makes no sense")
}

#[test]
fn an_interval_that_makes_no_sense_is_refused_by_name() {
    let latency = |i: &mut wire::Interval| i.response_time.clone().expect("set");
    let garbage = broken(|i| {
        i.response_time = Some(wire::Latency { histogram_v2: b"garbage".to_vec(), ..latency(i) });
    });
    assert!(matches!(garbage, InvalidMessage::Histogram { field: "response_time", .. }), "{garbage}");
    let no_extremes = broken(|i| i.response_time = Some(wire::Latency { max_us: None, ..latency(i) }));
    assert_eq!(no_extremes, InvalidMessage::Contradiction("response_time"));
    let wrong_sum = broken(|i| i.response_time = Some(wire::Latency { sum_us_lo: 1_000_000, ..latency(i) }));
    assert_eq!(wrong_sum, InvalidMessage::Contradiction("response_time"));
    let uncounted = broken(|i| i.items_failed = 5);
    assert!(matches!(uncounted, InvalidMessage::OutOfRange { field: "items_failed", .. }), "{uncounted}");
    let kind = broken(|i| i.errors[0].kind = "bad luck".into());
    assert!(kind.to_string().contains("bad luck"), "{kind}");
    let instant = broken(|i| i.to_ns = u64::MAX);
    assert!(matches!(instant, InvalidMessage::OutOfRange { field: "to_ns", .. }), "{instant}");
}

#[test]
fn a_condition_or_a_ceiling_that_is_no_number_is_refused_by_name() {
    for odd in [f64::NAN, -0.1, 1.6, f64::INFINITY] {
        let busy = broken(|i| i.health.get_or_insert_default().threads_busy = vec![odd]);
        assert!(matches!(busy, InvalidMessage::OutOfRange { field: "threads_busy", .. }), "{busy}");
    }
    for odd in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let wire = wire::Ceiling { requests_per_s: odd, threads: 1, ..Default::default() };
        let error = Ceiling::try_from(wire).expect_err("no rate");
        assert!(matches!(error, InvalidMessage::OutOfRange { field: "requests_per_s", .. }), "{error}");
    }
    let reason = broken(|i| i.not_sent = vec![wire::NotSentCount { reason: "mood".into(), items: 1 }]);
    assert!(reason.to_string().contains("mood"), "{reason}");
    let twice = wire::NotSentCount { reason: "no_place".into(), items: u64::MAX };
    let endless = broken(|i| i.not_sent = vec![twice.clone(), twice]);
    assert!(matches!(endless, InvalidMessage::OutOfRange { field: "not_sent", .. }), "{endless}");
}

#[test]
fn an_empty_message_and_a_nameless_peer_are_refused() {
    assert_eq!(
        WorkerReport::try_from(wire::WorkerUp { message: None }),
        Err(InvalidMessage::Missing("message"))
    );
    let hello = wire::WorkerHello { threads: 1, ..Default::default() };
    assert_eq!(WorkerHello::try_from(hello), Err(InvalidMessage::Missing("name")));
    let change = |change: fn(&mut wire::Sample)| {
        let mut sample = wire::Sample::from(sample());
        change(&mut sample);
        HostSample::try_from(sample).expect_err("it makes no sense")
    };
    let value = |v| Some(wire::Reading { is: Some(wire::reading::Is::Value(v)) });
    assert_eq!(change(|s| s.host[0].reading = None), InvalidMessage::Missing("cpu_percent"));
    let mut no_number = wire::Sample::from(sample());
    no_number.gpus[0].readings[0].reading = value(f64::NAN);
    let no_number = HostSample::try_from(no_number).expect_err("not a number");
    assert!(
        matches!(no_number, InvalidMessage::OutOfRange { field: "utilization_percent", .. }),
        "{no_number}"
    );
    for unknown in [
        change(|s| s.host[0].metric = 0),
        change(|s| s.gpus[0].readings[0].metric = 99),
        change(|s| s.gpus[0].repeated[0] = -1),
    ] {
        assert!(matches!(unknown, InvalidMessage::OutOfRange { field: "metric", .. }), "{unknown}");
    }
    let occasion = change(|s| s.occasion = 0);
    assert!(matches!(occasion, InvalidMessage::OutOfRange { field: "occasion", .. }), "{occasion}");
}

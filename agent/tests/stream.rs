//! An agent against a coordinator that the test plays.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use fluxfleet_agent::AgentError;
use fluxfleet_agent::collect::metrics_of;
use fluxfleet_agent::testing::{ScriptedCollector, Step, device, gate, reading};
use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::id::TrialId;
use fluxfleet_proto::message::{AgentCommand, AgentReport, Cadence};
use fluxfleet_proto::metric::{GpuMetric, HostMetric};
use fluxfleet_proto::reading::{
    Absence, AbsenceReason, GpuEvent, GpuEventKind, GpuReading, HostSample, Occasion, Reading,
};
use support::{Agent, Coordinator, Network};
use tokio::io::AsyncWriteExt as _;
use tonic::Status;

/// A period so short that a machine may well miss it; nothing is asserted that needs it met.
const SHORT: Duration = Duration::from_millis(20);

fn two_gpus() -> ScriptedCollector {
    ScriptedCollector::new(Ok(vec![device("GPU-a"), device("GPU-b")]))
}

fn step(uuid: &str) -> Step {
    Step::Read(Box::new(reading(uuid)))
}

fn power(gpu: &GpuReading) -> Reading {
    gpu.values.value(GpuMetric::PowerW)
}

fn host(sample: &HostSample, metric: HostMetric) -> Reading {
    sample.system.values.value(metric)
}

/// Those of the normal lane; events come in between.
fn normal(samples: &[HostSample]) -> impl Iterator<Item = &HostSample> {
    samples.iter().filter(|sample| sample.occasion == Occasion::Normal)
}

fn numbers(samples: &[HostSample]) -> Vec<u64> {
    samples.iter().map(|sample| sample.seq).collect()
}

#[tokio::test]
async fn an_agent_introduces_its_host_and_gpus_and_samples_what_it_is_told_to_watch() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let (mut stream, hello) = coordinator.greeted().await;
    assert_eq!((hello.host.as_str(), hello.protocol_version), ("gpu-1", PROTOCOL_VERSION));
    assert_eq!(hello.devices, Ok(vec![device("GPU-a"), device("GPU-b")]));

    stream.welcome().await;
    let first = stream.one_sample().await;
    assert_eq!(first.seq, 0);
    assert_eq!(first.gpus, [reading("GPU-a"), reading("GPU-b")]);
    assert!(first.wall_ns > 0);
    assert!(host(&first, HostMetric::MemoryUsedBytes).is_ok(), "{:?}", first.system);
    assert!(host(&first, HostMetric::MemoryTotalBytes).is_ok(), "{:?}", first.system);
    assert_eq!(host(&first, HostMetric::CpuPercent).unwrap_err().reason, AbsenceReason::NotYet);

    let second = stream.one_sample().await;
    assert_eq!(second.seq, 1);
    assert!(second.taken > first.taken);
    for metric in HostMetric::ALL.iter().take_while(|metric| **metric != HostMetric::ProcessCpuPercent) {
        let reading = second.system.values.get(*metric);
        let reading = reading.unwrap_or_else(|| panic!("{} is not read", metric.name()));
        assert!(reading.as_ref().map_or_else(|why| !why.detail.is_empty(), |n| *n >= 0.0), "{reading:?}");
    }
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn samples_come_each_period_and_their_numbers_have_no_holes() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    let mut samples = stream.samples_until(|sample| sample.seq == 4).await;
    stream.watch(SHORT * 2).await;
    samples.extend(stream.samples_until(|sample| sample.seq == 8).await);
    assert_eq!(numbers(&samples), (0..=8).collect::<Vec<_>>());
    assert!(samples.is_sorted_by(|a, b| a.taken < b.taken));
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn cpu_usage_comes_as_soon_as_there_is_something_to_measure() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    let samples = stream.samples_until(|sample| host(sample, HostMetric::CpuPercent).is_ok()).await;
    let [earlier @ .., first] = &samples[..] else { panic!("no sample") };
    assert!((0.0..=100.0).contains(&host(first, HostMetric::CpuPercent).unwrap()));
    assert!(!earlier.is_empty(), "the first sample has nothing to compare with");
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_ping_is_answered_before_and_while_sampling() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let (mut stream, _) = coordinator.greeted().await;
    stream.tell(AgentCommand::ClockPing(7)).await;
    // Nothing is sampled before it is asked for, so the pong is the first message.
    let Some(AgentReport::ClockPong(pong)) = stream.hear().await else { panic!("a pong comes first") };
    assert_eq!(pong.id, 7);
    assert!(pong.received <= pong.sent);

    stream.welcome().await;
    let first = stream.one_sample().await;
    assert!(first.taken >= pong.sent, "sampled before it was asked to");
    stream.tell(AgentCommand::ClockPing(8)).await;
    let Some(AgentReport::ClockPong(pong)) = stream.hear().await else { panic!("the next sample is far") };
    assert_eq!(pong.id, 8);
    assert!(pong.received >= first.taken);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn acks_are_taken_and_one_for_what_was_never_sent_ends_the_run() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    let first = stream.one_sample().await;
    stream.tell(AgentCommand::Ack(first.seq)).await;
    let second = stream.one_sample().await;
    stream.tell(AgentCommand::Ack(second.seq + 1)).await;
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(error, AgentError::AckBeyond { acked: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_refused_agent_ends_with_the_coordinators_words() {
    let words = "this coordinator speaks protocol 9, the agent speaks 1";
    for status in [Status::failed_precondition(words), Status::already_exists(words)] {
        let coordinator = Coordinator::refusing(status).await;
        let error = Agent::start(&coordinator.address, two_gpus()).ended().await.unwrap_err();
        assert!(matches!(error, AgentError::Refused { .. }), "{error:?}");
        let expected = format!("the coordinator at {} refused host `gpu-1`: {words}", coordinator.address);
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test]
async fn gpus_that_hang_are_stale_while_the_system_goes_on_and_come_back_when_they_answer() {
    let mut coordinator = Coordinator::start().await;
    let both = vec![reading("GPU-a"), reading("GPU-b")];
    let (open, closed) = gate();
    let hanging = two_gpus().then(step("GPU-a")).then(step("GPU-b")).then(Step::Hang(closed));
    let agent = Agent::start(&coordinator.address, hanging);
    let mut stream = coordinator.welcomed().await;
    assert_eq!(stream.one_sample().await.gpus, both);

    stream.watch(SHORT).await;
    let until_third = |sample: &HostSample| {
        sample.seq >= 3
            && sample.occasion == Occasion::Normal
            && host(sample, HostMetric::MemoryUsedBytes).is_ok()
    };
    let hung = stream.samples_until(until_third).await;
    for gpu in normal(&hung).flat_map(|sample| &sample.gpus) {
        assert_eq!(power(gpu).unwrap_err().reason, AbsenceReason::Stale);
        assert_eq!(gpu.throttle.clone().unwrap().unwrap_err().reason, AbsenceReason::Stale);
    }
    let gone =
        |event: &GpuEvent| matches!(&event.kind, GpuEventKind::Gone(a) if a.reason == AbsenceReason::Stale);
    assert!(hung.iter().flat_map(|sample| &sample.events).any(gone), "it is told that they are gone");

    drop(open);
    let back =
        stream.samples_until(|sample| sample.events.iter().any(|e| e.kind == GpuEventKind::Back)).await;
    assert_eq!(normal(&back).last().unwrap().gpus, both);
    let all = numbers(&[hung, back].concat());
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "the numbers have no holes");
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_gpu_that_hangs_for_long_is_left_alone_and_the_others_are_read_again() {
    let mut coordinator = Coordinator::start().await;
    let (open, closed) = gate();
    let agent = Agent::start(&coordinator.address, two_gpus().then(Step::Hang(closed)));
    let mut stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    let others_go_on = |sample: &HostSample| {
        sample.occasion == Occasion::Normal
            && power(&sample.gpus[0]).is_err()
            && power(&sample.gpus[1]).is_ok()
    };
    let samples = stream.samples_until(others_go_on).await;
    let hung = power(&samples.last().unwrap().gpus[0]).unwrap_err();
    assert_eq!(hung.reason, AbsenceReason::Stale);
    assert!(hung.detail.contains("hangs in the driver"), "{hung}");
    drop(open);
    let both = |sample: &HostSample| {
        sample.occasion == Occasion::Normal && sample.gpus.iter().all(|gpu| power(gpu).is_ok())
    };
    stream.samples_until(both).await;
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_collector_that_crashes_is_absent_with_the_reason_and_the_system_goes_on() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus().then(Step::Crash));
    let mut stream = coordinator.welcomed().await;
    for _ in 0..2 {
        let sample = stream.one_sample().await;
        let absence = sample.gpus[1].values.value(GpuMetric::EnergyJ).unwrap_err();
        assert_eq!(absence, Absence::new(AbsenceReason::Error, "the GPU thread has crashed"));
        assert!(host(&sample, HostMetric::MemoryTotalBytes).is_ok());
    }
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_collector_that_answers_nonsense_does_not_cost_the_stream() {
    let mut nonsense = reading("GPU-a");
    nonsense.values.set(GpuMetric::PowerW, Ok(f64::NAN));
    let mut coordinator = Coordinator::start().await;
    let odd = two_gpus().then(Step::Read(Box::new(nonsense))).then(step("GPU-c"));
    let agent = Agent::start(&coordinator.address, odd);
    let mut stream = coordinator.welcomed().await;
    let gpus = stream.one_sample().await.gpus;
    assert_eq!(power(&gpus[0]).unwrap_err().reason, AbsenceReason::Error);
    assert_eq!(gpus[0].values.value(GpuMetric::EnergyJ), Ok(1e6));
    assert_eq!(power(&gpus[1]).unwrap_err().reason, AbsenceReason::Lost);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn an_edge_of_a_trial_is_sampled_at_its_instant_or_at_once() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    let first = stream.one_sample().await;
    let (start, end) = (Occasion::Start(TrialId(3)), Occasion::End(TrialId(3)));
    let at = first.taken + Duration::from_millis(300);
    stream.tell(AgentCommand::Mark(start, Some(at))).await;
    let edge = stream.samples().await.remove(0);
    assert_eq!((edge.occasion, edge.seq), (start, 1));
    assert!(edge.taken >= at, "not before its time");
    assert_eq!(edge.gpus[0].values.value(GpuMetric::EnergyJ), Ok(1e6));
    stream.tell(AgentCommand::Mark(end, None)).await;
    assert_eq!(stream.samples().await.remove(0).occasion, end);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn the_lanes_run_beside_each_other() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    stream.tell(AgentCommand::Watch(Cadence { fast: SHORT, normal: SHORT * 3, slow: SHORT * 4 })).await;
    let mut seen = HashSet::new();
    let samples = stream
        .samples_until(|sample| {
            seen.extend(sample.gpus.iter().map(|gpu| (sample.occasion, gpu.uuid.clone())));
            seen.len() == 6
        })
        .await;
    for sample in &samples {
        for gpu in &sample.gpus {
            let read: Vec<GpuMetric> = gpu.values.iter().map(|(metric, _)| metric).collect();
            assert_eq!(read, metrics_of(sample.occasion), "{:?}", sample.occasion);
        }
    }
    assert_eq!(numbers(&samples), (0..samples.len() as u64).collect::<Vec<_>>());
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_host_without_readable_gpus_says_why_and_its_system_is_sampled() {
    let why = Absence::new(AbsenceReason::Unsupported, "no NVML library found");
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, ScriptedCollector::new(Err(why.clone())));
    let (mut stream, hello) = coordinator.greeted().await;
    assert_eq!(hello.devices, Err(why));
    stream.welcome().await;
    let sample = stream.one_sample().await;
    assert!(sample.gpus.is_empty());
    assert!(host(&sample, HostMetric::MemoryTotalBytes).is_ok());
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_closes_before_watching_is_an_orderly_end_too() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let (stream, _) = coordinator.greeted().await;
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_network_that_breaks_is_an_error_that_counts_what_was_not_confirmed() {
    let mut coordinator = Coordinator::start().await;
    let network = Network::to(coordinator.address.clone()).await;
    let agent = Agent::patient(&network.address, two_gpus(), Duration::ZERO);
    let mut stream = coordinator.welcomed().await;
    stream.one_sample().await;
    stream.one_sample().await;
    network.cut();
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(error, AgentError::Broken { unacked: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn what_answers_without_being_a_coordinator_is_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::start(&listener.local_addr().unwrap().to_string(), two_gpus());
    let (mut connection, _) = listener.accept().await.unwrap();
    connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(error, AgentError::NoCoordinator { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cancelled_agent_says_goodbye() {
    let mut coordinator = Coordinator::start().await;
    let agent = Agent::start(&coordinator.address, two_gpus());
    let mut stream = coordinator.welcomed().await;
    stream.one_sample().await;
    agent.cancel.cancel();
    // `hear` fails on a stream that breaks, so this is an orderly end.
    assert_eq!(stream.hear().await, Some(AgentReport::Goodbye));
    assert_eq!(stream.hear().await, None);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_hung_driver_does_not_keep_a_cancelled_agent_from_ending() {
    let mut coordinator = Coordinator::start().await;
    let (_never_opened, closed) = gate();
    let agent = Agent::start(&coordinator.address, two_gpus().then(Step::Hang(closed)));
    let mut stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    stream.samples().await;
    agent.cancel.cancel();
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_cancelled_while_it_dials_ends_at_once() {
    // Bound but not listening: every try is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let agent = Agent::start(&socket.local_addr().unwrap().to_string(), two_gpus());
    agent.cancel.cancel();
    agent.ended().await.unwrap();
}

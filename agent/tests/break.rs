//! An agent whose stream breaks, against a coordinator that the test plays.

mod support;

use std::time::Duration;

use fluxfleet_agent::AgentError;
use fluxfleet_agent::testing::{ScriptedCollector, device};
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::message::{AgentCommand, AgentReport};
use fluxfleet_proto::reading::HostSample;
use support::{Agent, AgentStream, Coordinator, Network};
use tonic::Status;

/// A period so short that a machine may well miss it; nothing is asserted that needs it met.
const SHORT: Duration = Duration::from_millis(20);

fn one_gpu() -> ScriptedCollector {
    ScriptedCollector::new(Ok(vec![device("GPU-a")]))
}

fn numbers(samples: &[HostSample]) -> Vec<u64> {
    samples.iter().map(|sample| sample.seq).collect()
}

/// An agent that samples, its stream, and the network in between.
async fn sampling(coordinator: &mut Coordinator) -> (Agent, AgentStream, Network) {
    let network = Network::to(coordinator.address.clone()).await;
    let agent = Agent::start(&network.address, one_gpu());
    let stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    (agent, stream, network)
}

#[tokio::test]
async fn after_a_break_the_agent_greets_as_the_same_and_sends_what_was_not_confirmed() {
    let mut coordinator = Coordinator::start().await;
    let network = Network::to(coordinator.address.clone()).await;
    let agent = Agent::start(&network.address, one_gpu());
    let (mut stream, first) = coordinator.greeted().await;
    assert_eq!(first.run, None);
    stream.welcome().await;
    stream.watch(SHORT).await;
    let before = stream.samples_until(|sample| sample.seq >= 5).await;
    stream.tell(AgentCommand::Ack(2)).await;
    // It answers in order, so the confirmation has been taken when the pong comes.
    stream.tell(AgentCommand::ClockPing(1)).await;
    while !matches!(stream.hear().await, Some(AgentReport::ClockPong(_))) {}
    network.cut();
    stream.breaks().await;
    network.restore();

    let (mut stream, again) = coordinator.greeted().await;
    assert_eq!((again.session, &again.host), (first.session, &first.host));
    assert_eq!(again.run.expect("a run").as_str(), "test-run");
    stream.welcome().await;
    // More has arrived than the agent knows of.
    stream.tell(AgentCommand::Ack(4)).await;
    stream.watch(SHORT).await;
    let after = stream.samples_until(|sample| sample.seq >= 20).await;
    assert_eq!(numbers(&after), (5..=after.last().unwrap().seq).collect::<Vec<_>>());
    assert_eq!(after[0], before[5], "the same sample as before");
    assert!(after.is_sorted_by(|a, b| a.taken < b.taken));
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn sampling_goes_on_while_there_is_no_stream() {
    let mut coordinator = Coordinator::start().await;
    let (agent, mut stream, network) = sampling(&mut coordinator).await;
    stream.samples_until(|sample| sample.seq >= 1).await;
    network.cut();
    stream.breaks().await;
    let cut = Clock::now();
    tokio::time::sleep(SHORT * 20).await;
    let restored = Clock::now();
    network.restore();
    let mut stream = coordinator.welcomed().await;
    stream.watch(SHORT).await;
    let all = stream.samples_until(|sample| sample.taken >= restored).await;
    assert_eq!(numbers(&all), (0..all.len() as u64).collect::<Vec<_>>());
    assert!(
        all.iter().any(|sample| sample.taken > cut && sample.taken < restored),
        "none was taken meanwhile"
    );
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_new_stream_leaves_the_sampling_as_it_is_until_it_is_told_otherwise() {
    let mut coordinator = Coordinator::start().await;
    let network = Network::to(coordinator.address.clone()).await;
    let agent = Agent::start(&network.address, one_gpu());
    let mut stream = coordinator.welcomed().await;
    // An hour's period: a sample beside the first one comes only where sampling begins anew.
    let first = stream.one_sample().await;
    network.cut();
    stream.breaks().await;
    network.restore();
    let mut stream = coordinator.welcomed().await;
    stream.watch(Duration::from_hours(1)).await;
    assert_eq!(stream.samples().await, [first]);
    stream.tell(AgentCommand::ClockPing(3)).await;
    assert!(matches!(stream.hear().await, Some(AgentReport::ClockPong(_))), "nothing was sampled");
    assert_eq!(stream.one_sample().await.seq, 1);
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_break_is_a_break_however_often_it_comes() {
    let mut coordinator = Coordinator::start().await;
    let (agent, mut stream, network) = sampling(&mut coordinator).await;
    let mut next = 0;
    for _ in 0..5 {
        for sample in stream.samples_until(|sample| sample.seq > next).await {
            assert!(sample.seq <= next, "{next} was passed over");
            next = next.max(sample.seq + 1);
        }
        stream.tell(AgentCommand::Ack(next - 1)).await;
        network.cut();
        stream.breaks().await;
        network.restore();
        stream = coordinator.welcomed().await;
        stream.watch(SHORT).await;
    }
    drop(stream);
    agent.ended().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_refuses_an_agent_that_comes_back_ends_it_with_its_words() {
    let mut coordinator = Coordinator::start().await;
    let (agent, mut stream, network) = sampling(&mut coordinator).await;
    stream.samples().await;
    network.cut();
    stream.breaks().await;
    network.restore();
    let (stream, _) = coordinator.greeted().await;
    stream.refuse(Status::failed_precondition("the run is over")).await;
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(&error, AgentError::Refused { words, .. } if words == "the run is over"), "{error}");
}

#[tokio::test]
async fn a_coordinator_of_another_run_is_not_joined() {
    let mut coordinator = Coordinator::start().await;
    let (agent, mut stream, network) = sampling(&mut coordinator).await;
    stream.samples().await;
    network.cut();
    stream.breaks().await;
    network.restore();
    let (stream, _) = coordinator.greeted().await;
    stream.welcome_to("another-run").await;
    let error = agent.ended().await.unwrap_err();
    assert!(matches!(error, AgentError::OtherRun { .. }), "{error}");
    assert!(error.to_string().contains("conducts run another-run now, not test-run"), "{error}");
}

#[tokio::test]
async fn an_agent_that_is_cancelled_during_a_break_ends_at_once() {
    let mut coordinator = Coordinator::start().await;
    let (agent, mut stream, network) = sampling(&mut coordinator).await;
    stream.samples().await;
    network.cut();
    stream.breaks().await;
    agent.cancel.cancel();
    agent.ended().await.unwrap();
}

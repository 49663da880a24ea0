//! The agent's side of the conversation.

use std::pin::{Pin, pin};
use std::time::Duration;

use fluxfleet_proto::MAX_MESSAGE_BYTES;
use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::{AgentCommand, AgentReport, Cadence};
use fluxfleet_proto::peer::AgentHello;
use fluxfleet_proto::reading::HostSample;
use fluxfleet_proto::wire;
use fluxfleet_proto::wire::fleet_client::FleetClient;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::Coordinator;
use super::counts::Counts;
use super::outbound::{Outbound, Ping};
use super::ring::{NeverSent, Ring};
use super::status::{Meaning, meaning};
use crate::error::AgentError;
use crate::sampler::Mark;

/// Reports between the ring and the transport. More would only hide in the queue what the ring can count.
const REPORTS_AHEAD: usize = 2;

/// Pings that wait for the transport; the coordinator sends a few each second.
const PINGS_AHEAD: usize = 16;

/// How long a cancelled agent waits for the coordinator to take its goodbye and close its own side.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Owns everything that was said and is still to be said on one stream.
#[derive(Debug)]
pub(crate) struct Session {
    coordinator: Coordinator,
    host: String,
    cadence: watch::Sender<Option<Cadence>>,
    marks: mpsc::Sender<Mark>,
    ring: Ring,
    counts: Counts,
    welcomed: bool,
    taken: u64,
    pings_dropped: u64,
}

impl Session {
    /// A session before its first word; `cadence` starts the sampler, `marks` has it take a sample at an edge.
    pub(crate) fn new(
        coordinator: Coordinator,
        cadence: watch::Sender<Option<Cadence>>,
        marks: mpsc::Sender<Mark>,
    ) -> Self {
        Self {
            coordinator,
            host: String::new(),
            cadence,
            marks,
            ring: Ring::default(),
            counts: Counts::default(),
            welcomed: false,
            taken: 0,
            pings_dropped: 0,
        }
    }

    /// What becomes of the samples, as far as it has come.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Greets and then converses until the coordinator closes the stream or `cancel` is cancelled.
    pub(crate) async fn run(
        mut self,
        channel: Channel,
        hello: AgentHello,
        mut samples: mpsc::Receiver<HostSample>,
        cancel: CancellationToken,
    ) -> Result<(), AgentError> {
        self.host.clone_from(&hello.host);
        let (pings, pings_out) = mpsc::channel(PINGS_AHEAD);
        let (reports, reports_out) = mpsc::channel(REPORTS_AHEAD);
        let outbound = Outbound { pings: pings_out, reports: reports_out };
        // The channel is new, so there is room.
        let _ = reports.try_send(AgentReport::Hello(hello));
        let opened = {
            let mut opening = pin!(self.open(channel, outbound));
            tokio::select! {
                opened = &mut opening => Ok(opened),
                // The greeting may have been read already, and then a goodbye belongs to it.
                () = cancel.cancelled() => timeout(GOODBYE_WITHIN, opening).await,
            }
        };
        let Ok(opened) = opened else { return Ok(()) };
        let mut commands = opened?;
        loop {
            self.counts.set(self.ring.unacked(), self.ring.lost());
            tokio::select! {
                () = cancel.cancelled() => break,
                command = commands.message() => {
                    let received = Clock::now();
                    let Some(command) = command.map_err(|status| self.ended(&status))? else {
                        self.sum_up("the coordinator closed the stream");
                        return Ok(());
                    };
                    self.hear(command, received, &pings)?;
                }
                Some(sample) = samples.recv() => {
                    self.taken += 1;
                    self.ring.push(sample);
                }
                Ok(room) = reports.reserve(), if self.ring.has_report() => {
                    if let Some(report) = self.ring.next_report() {
                        room.send(report);
                    }
                }
            }
        }
        self.sum_up("interrupted");
        // Ends the stream in order: the coordinator sees an agent that left, not a connection that broke.
        drop((reports, pings));
        let goodbye = async { while let Ok(Some(_)) = commands.message().await {} };
        let _ = timeout(GOODBYE_WITHIN, goodbye).await;
        Ok(())
    }

    async fn open(
        &self,
        channel: Channel,
        outbound: Outbound,
    ) -> Result<Streaming<wire::AgentDown>, AgentError> {
        let mut client = FleetClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let Coordinator { address, connect_timeout, .. } = &self.coordinator;
        // Pinned on the heap: the future of a call is large.
        let call: Pin<Box<_>> = Box::pin(client.watch(outbound));
        match timeout(*connect_timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.ended(&status)),
            Err(_) => Err(AgentError::Unreachable {
                address: address.clone(),
                tried: *connect_timeout,
                reason: "the connection was taken but the greeting was not answered".to_owned(),
            }),
        }
    }

    /// Takes in one message of the coordinator; never waits.
    fn hear(
        &mut self,
        command: wire::AgentDown,
        received: Mono,
        pings: &mpsc::Sender<Ping>,
    ) -> Result<(), AgentError> {
        let address = || self.coordinator.address.clone();
        let command = AgentCommand::try_from(command)
            .map_err(|source| AgentError::Protocol { address: address(), source })?;
        match command {
            AgentCommand::ClockPing(id) => {
                // Full when the transport does not move; an answer after that would tell nothing.
                if pings.try_send(Ping { id, received }).is_err() {
                    self.pings_dropped += 1;
                }
            }
            AgentCommand::Ack(seq) => self
                .ring
                .ack(seq)
                .map_err(|NeverSent(acked)| AgentError::AckBeyond { address: address(), acked })?,
            AgentCommand::Watch(cadence) => {
                let Cadence { fast, normal, slow } = cadence;
                let [fast, normal, slow] = [fast, normal, slow].map(|period| period.as_millis());
                info!(
                    "sampling each {normal} ms, power and energy each {fast} ms, each GPU's slow calls each {slow} ms"
                );
                self.ring.keep_for(cadence);
                self.cadence.send_replace(Some(cadence));
            }
            AgentCommand::Mark(edge, at) => {
                if self.marks.try_send((edge, at)).is_err() {
                    warn!("the sample of {edge:?} is left out: the sampler is behind");
                }
            }
            AgentCommand::Welcome(welcome) => {
                self.welcomed = true;
                let (host, address) = (&self.host, &self.coordinator.address);
                info!("joined run {} at {address} as host `{host}`", welcome.run);
                debug!("the coordinator knows this agent as {}", welcome.peer);
            }
        }
        Ok(())
    }

    fn ended(&self, status: &Status) -> AgentError {
        let address = self.coordinator.address.clone();
        match meaning(status, self.welcomed) {
            Meaning::Refused(words) => AgentError::Refused { address, host: self.host.clone(), words },
            Meaning::NoCoordinator(reason) => AgentError::NoCoordinator { address, reason },
            Meaning::Broken(reason) => AgentError::Broken { address, reason, unacked: self.ring.unacked() },
        }
    }

    fn sum_up(&self, why: &str) {
        let (taken, unacked, lost) = (self.taken, self.ring.unacked(), self.ring.lost());
        let pings = self.pings_dropped;
        info!(
            "{why}: {taken} samples taken, {unacked} not confirmed, {lost} lost, {pings} pings not answered"
        );
    }
}

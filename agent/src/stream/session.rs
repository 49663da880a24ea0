//! The agent's side of the conversation, over as many streams as it takes.

use std::pin::pin;
use std::time::Duration;

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::id::{RunId, SessionId};
use fluxfleet_proto::message::{AgentCommand, Cadence};
use fluxfleet_proto::peer::AgentHello;
use fluxfleet_proto::reading::HostSample;
use fluxfleet_proto::wire;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use super::Coordinator;
use super::backoff::Backoff;
use super::counts::Counts;
use super::line::{GOODBYE_WITHIN, Line};
use super::outbound::Ping;
use super::ring::{NeverSent, Ring};
use super::status::{Meaning, meaning};
use crate::error::AgentError;
use crate::sampler::Mark;

/// Seconds without a word of the coordinator after which the stream counts as broken; it pings each second.
const MAX_SILENCE_S: u32 = 10;

/// Owns everything that was said and is still to be said.
#[derive(Debug)]
pub(crate) struct Session {
    coordinator: Coordinator,
    hello: AgentHello,
    cadence: watch::Sender<Option<Cadence>>,
    marks: mpsc::Sender<Mark>,
    ring: Ring,
    counts: Counts,
    /// The run it takes part in, once the coordinator has welcomed it.
    run: Option<RunId>,
    /// Whether the present stream has been told to send samples.
    watched: bool,
    /// When the stream broke and why, until the next welcome.
    broken: Option<(Instant, String)>,
    backoff: Backoff,
    taken: u64,
    pings_dropped: u64,
}

/// How a stream ended.
enum End {
    /// The coordinator closed it: the run is over.
    Closed,
    /// The user wants to stop.
    Cancelled,
    /// It broke; why.
    Broke(String),
}

impl Session {
    /// A session before its first word; `cadence` starts the sampler, `marks` has it take a sample at an edge.
    pub(crate) fn new(
        coordinator: Coordinator,
        hello: AgentHello,
        cadence: watch::Sender<Option<Cadence>>,
        marks: mpsc::Sender<Mark>,
    ) -> Self {
        Self {
            backoff: backoff(&hello),
            ring: Ring::keeping(coordinator.keep),
            coordinator,
            hello,
            cadence,
            marks,
            counts: Counts::default(),
            run: None,
            watched: false,
            broken: None,
            taken: 0,
            pings_dropped: 0,
        }
    }

    /// What becomes of the samples, as far as it has come.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Greets and then converses until the coordinator closes the stream or `cancel` is cancelled. When a stream
    /// breaks it goes on with another one.
    pub(crate) async fn run(
        mut self,
        channel: Channel,
        mut samples: mpsc::Receiver<HostSample>,
        cancel: CancellationToken,
    ) -> Result<(), AgentError> {
        let opened = {
            let mut opening = pin!(self.open(channel));
            tokio::select! {
                opened = &mut opening => Ok(opened),
                // The greeting may have been read already, and then a goodbye belongs to it.
                () = cancel.cancelled() => timeout(GOODBYE_WITHIN, opening).await,
            }
        };
        let Ok(opened) = opened else { return Ok(()) };
        let mut line = opened?;
        loop {
            match self.converse(&mut line, &mut samples, &cancel).await? {
                End::Closed => {
                    self.sum_up("the coordinator closed the stream");
                    return Ok(());
                }
                End::Cancelled => {
                    self.sum_up("interrupted");
                    line.goodbye().await;
                    return Ok(());
                }
                End::Broke(why) => {
                    drop(line);
                    let Some(regained) = self.regain(why, &mut samples, &cancel).await? else {
                        self.sum_up("interrupted");
                        return Ok(());
                    };
                    line = regained;
                }
            }
        }
    }

    /// The first stream.
    async fn open(&self, channel: Channel) -> Result<Line, AgentError> {
        let Coordinator { address, connect_timeout, .. } = &self.coordinator;
        match timeout(*connect_timeout, Line::open(channel, self.hello.clone())).await {
            Ok(opened) => opened.map_err(|status| self.ended(&status)),
            Err(_) => Err(AgentError::Unreachable {
                address: address.clone(),
                tried: *connect_timeout,
                reason: "the connection was taken but the greeting was not answered".to_owned(),
            }),
        }
    }

    /// One stream to its end.
    async fn converse(
        &mut self,
        line: &mut Line,
        samples: &mut mpsc::Receiver<HostSample>,
        cancel: &CancellationToken,
    ) -> Result<End, AgentError> {
        // Ticks missed while this process itself stood still are no silence of the coordinator.
        let mut seconds = interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silent_s = 0;
        loop {
            self.counts.set(self.ring.unacked(), self.ring.lost());
            tokio::select! {
                () = cancel.cancelled() => return Ok(End::Cancelled),
                command = line.commands.message() => {
                    let received = Clock::now();
                    silent_s = 0;
                    match command {
                        Ok(Some(command)) => self.hear(command, received, &line.pings)?,
                        Ok(None) => return Ok(End::Closed),
                        Err(status) => match self.ended(&status) {
                            AgentError::Broken { reason, .. } if self.run.is_some() => {
                                return Ok(End::Broke(reason));
                            }
                            error => return Err(error),
                        },
                    }
                }
                Some(sample) = samples.recv() => self.take(sample),
                Ok(room) = line.reports.reserve(), if self.watched && self.ring.has_report() => {
                    if let Some(report) = self.ring.next_report() {
                        room.send(report);
                    }
                }
                _ = seconds.tick(), if self.run.is_some() => {
                    silent_s += 1;
                    if silent_s > MAX_SILENCE_S {
                        return Ok(End::Broke(format!("nothing was heard from it for {MAX_SILENCE_S} s")));
                    }
                }
            }
        }
    }

    /// Dials until there is a stream again, while samples are taken in; `None` when `cancel` is cancelled.
    async fn regain(
        &mut self,
        why: String,
        samples: &mut mpsc::Receiver<HostSample>,
        cancel: &CancellationToken,
    ) -> Result<Option<Line>, AgentError> {
        self.ring.rewind();
        self.watched = false;
        let coordinator = self.coordinator.clone();
        let patience = coordinator.reconnect_for;
        if self.broken.is_none() {
            let (address, s) = (&coordinator.address, patience.as_secs_f64());
            warn!("the stream to {address} broke ({why}): sampling goes on, trying to reach it for {s} s");
        }
        let (since, _) = *self.broken.get_or_insert((Instant::now(), why));
        let deadline = since + patience;
        let hello = AgentHello { run: self.run.clone(), ..self.hello.clone() };
        loop {
            let wait = self.backoff.next();
            let attempt = async {
                sleep(wait).await;
                Line::reach(&coordinator, hello.clone()).await
            };
            // On the heap for the sake of this future's size.
            let mut attempt = Box::pin(timeout_at(deadline, attempt));
            let reached = loop {
                tokio::select! {
                    () = cancel.cancelled() => return Ok(None),
                    Some(sample) = samples.recv() => self.take(sample),
                    reached = &mut attempt => break reached,
                }
            };
            match reached {
                Ok(Ok(line)) => return Ok(Some(line)),
                Ok(Err(status)) => match self.ended(&status) {
                    AgentError::Broken { reason, .. } => debug!("not reached yet: {reason}"),
                    error => return Err(error),
                },
                Err(_) => return Err(self.given_up()),
            }
        }
    }

    fn take(&mut self, sample: HostSample) {
        self.taken += 1;
        self.ring.push(sample);
        self.counts.set(self.ring.unacked(), self.ring.lost());
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
            AgentCommand::Ack(seq) => {
                self.ring
                    .ack(seq)
                    .map_err(|NeverSent(acked)| AgentError::AckBeyond { address: address(), acked })?;
                // This stream carries samples: when it breaks, the next try is at once again.
                self.backoff = backoff(&self.hello);
            }
            AgentCommand::Watch(cadence) => {
                self.ring.pace(cadence);
                // On a stream after a break the sampler goes on as it was.
                let goes_on = !self.watched && *self.cadence.borrow() == Some(cadence);
                if !goes_on {
                    let Cadence { fast, normal, slow } = cadence;
                    let [fast, normal, slow] = [fast, normal, slow].map(|period| period.as_millis());
                    info!(
                        "sampling each {normal} ms, power and energy each {fast} ms, each GPU's slow calls each {slow} ms"
                    );
                    self.cadence.send_replace(Some(cadence));
                }
                self.watched = true;
            }
            AgentCommand::Mark(edge, at) => {
                if self.marks.try_send((edge, at)).is_err() {
                    warn!("the sample of {edge:?} is left out: the sampler is behind");
                }
            }
            AgentCommand::Welcome(welcome) => {
                let (host, address) = (&self.hello.host, &self.coordinator.address);
                match &self.run {
                    None => info!("joined run {} at {address} as host `{host}`", welcome.run),
                    Some(ours) if *ours == welcome.run => {
                        let s = self.broken.as_ref().map_or(0.0, |(since, _)| since.elapsed().as_secs_f64());
                        let waiting = self.ring.unacked();
                        info!(
                            "reached {address} again after {s:.1} s; {waiting} samples are to be confirmed"
                        );
                    }
                    Some(ours) => {
                        return Err(AgentError::OtherRun {
                            address: address.clone(),
                            ours: ours.clone(),
                            theirs: welcome.run,
                        });
                    }
                }
                debug!("the coordinator knows this agent as {}", welcome.peer);
                self.broken = None;
                self.run = Some(welcome.run);
            }
        }
        Ok(())
    }

    fn ended(&self, status: &Status) -> AgentError {
        let address = self.coordinator.address.clone();
        match meaning(status, self.run.is_some()) {
            Meaning::Refused(words) => AgentError::Refused { address, host: self.hello.host.clone(), words },
            Meaning::NoCoordinator(reason) => AgentError::NoCoordinator { address, reason },
            Meaning::Broken(reason) => {
                AgentError::Broken { address, reason, unacked: self.ring.unacked(), tried: Duration::ZERO }
            }
        }
    }

    /// The stream broke and the time to reach the coordinator again is over.
    fn given_up(&self) -> AgentError {
        AgentError::Broken {
            address: self.coordinator.address.clone(),
            reason: self.broken.as_ref().map_or_else(String::new, |(_, why)| why.clone()),
            unacked: self.ring.unacked(),
            tried: self.coordinator.reconnect_for,
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

/// Waits that vary with the process.
fn backoff(hello: &AgentHello) -> Backoff {
    let SessionId(random) = hello.session;
    Backoff::new(u64::try_from(random >> 64).unwrap_or_default())
}

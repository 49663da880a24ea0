//! The gRPC service: one task per stream turns wire messages into events.

use std::fmt::Display;
use std::time::Duration;

use fluxfleet_proto::PROTOCOL_VERSION;
use fluxfleet_proto::clock::Clock;
use fluxfleet_proto::convert::InvalidMessage;
use fluxfleet_proto::message::{AgentCommand, AgentReport, WorkerCommand, WorkerReport};
use fluxfleet_proto::wire;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::down::Down;
use crate::fleet::{Event, Leaving, Notice, Outbox, Refusal, Who};

/// A stream that has not said who it is by then is closed.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// Turns streams into events.
#[derive(Debug)]
pub(super) struct Service {
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
}

impl Service {
    pub(super) fn new(events: mpsc::Sender<Event>, cancel: CancellationToken) -> Self {
        Self { events, cancel }
    }

    /// Lets the owner register a peer.
    async fn register<P>(
        &self,
        event: impl FnOnce(oneshot::Sender<Result<P, Refusal>>) -> Event,
    ) -> Result<P, Status> {
        let (reply, answer) = oneshot::channel();
        let over = || Status::failed_precondition("the run is over");
        self.events.send(event(reply)).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())?.map_err(|refusal| refuse(&refusal))
    }

    /// Reads a stream to its end, turning each message into an event.
    fn read<W, R>(
        &self,
        mut up: Streaming<W>,
        last_word: mpsc::Sender<Status>,
        event: impl Fn(R) -> Event + Send + 'static,
        left: impl FnOnce(Leaving, String) -> Event + Send + 'static,
    ) where
        W: Send + 'static,
        R: TryFrom<W, Error = InvalidMessage> + Send + 'static,
    {
        let (events, cancel) = (self.events.clone(), self.cancel.clone());
        tokio::spawn(async move {
            let (how, why) = loop {
                let message = tokio::select! {
                    () = cancel.cancelled() => return,
                    message = up.next() => message,
                };
                match message {
                    None => break (Leaving::Broke, "it closed its stream".to_owned()),
                    Some(Err(status)) => {
                        break (Leaving::Broke, format!("its stream broke: {}", status.message()));
                    }
                    Some(Ok(wire)) => match R::try_from(wire) {
                        Ok(report) => {
                            if events.send(event(report)).await.is_err() {
                                return;
                            }
                        }
                        Err(invalid) => {
                            let _ = last_word.try_send(nonsense(&invalid));
                            let why = format!("it sent a message that makes no sense: {invalid}");
                            break (Leaving::ForGood, why);
                        }
                    },
                }
            };
            let _ = events.send(left(how, why)).await;
        });
    }
}

fn refuse(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Version { .. } | Refusal::TooLate(_) | Refusal::OtherRun { .. } | Refusal::GivenUp(_) => {
            Status::failed_precondition(text)
        }
        Refusal::NameTaken(..) | Refusal::OtherSession(_) => Status::already_exists(text),
        Refusal::BadGreeting(_) => Status::invalid_argument(text),
    }
}

fn nonsense(error: &dyn Display) -> Status {
    Status::invalid_argument(format!("the message makes no sense: {error}"))
}

/// The stream's first message. The version is looked at first: another version's greeting may be shaped otherwise.
async fn greeting<W, R>(up: &mut Streaming<W>, version: impl Fn(&W) -> Option<u32>) -> Result<R, Status>
where
    R: TryFrom<W, Error = InvalidMessage>,
{
    let wire = match tokio::time::timeout(GREETING_PATIENCE, up.next()).await {
        Err(_) => return Err(Status::deadline_exceeded("no greeting came")),
        Ok(None) => return Err(Status::invalid_argument("the stream ended before a greeting")),
        Ok(Some(wire)) => wire?,
    };
    match version(&wire) {
        Some(peer) if peer != PROTOCOL_VERSION => {
            Err(refuse(&Refusal::Version { peer, ours: PROTOCOL_VERSION }))
        }
        _ => R::try_from(wire).map_err(|e| refuse(&Refusal::BadGreeting(e.to_string()))),
    }
}

fn worker_version(up: &wire::WorkerUp) -> Option<u32> {
    match &up.message {
        Some(wire::worker_up::Message::Hello(hello)) => Some(hello.protocol_version),
        _ => None,
    }
}

fn agent_version(up: &wire::AgentUp) -> Option<u32> {
    match &up.message {
        Some(wire::agent_up::Message::Hello(hello)) => Some(hello.protocol_version),
        _ => None,
    }
}

#[tonic::async_trait]
impl wire::fleet_server::Fleet for Service {
    type WorkStream = Down<WorkerCommand, wire::WorkerDown>;
    type WatchStream = Down<AgentCommand, wire::AgentDown>;

    async fn work(
        &self,
        up: Request<Streaming<wire::WorkerUp>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let from = address(&up);
        let mut up = up.into_inner();
        let first = self.notice_refusal(None, &from, greeting(&mut up, worker_version).await).await?;
        let WorkerReport::Hello(hello) = first else {
            return Err(refuse(&Refusal::BadGreeting("it is not a WorkerHello".to_owned())));
        };
        let who = Who::Worker(hello.name.clone());
        let (outbox, commands) = Outbox::new();
        let cut = outbox.when_cut();
        let peer = self.register(|reply| Event::WorkerJoins(hello, outbox, reply)).await;
        let peer = self.notice_refusal(Some(who), &from, peer).await?;
        let (last_word, word) = mpsc::channel(1);
        let event = move |report| Event::Worker(peer, report, Clock::now());
        self.read(up, last_word, event, move |_, why| Event::Left(peer, why));
        Ok(Response::new(Down::new(commands, word, cut)))
    }

    async fn watch(
        &self,
        up: Request<Streaming<wire::AgentUp>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let from = address(&up);
        let mut up = up.into_inner();
        let first = self.notice_refusal(None, &from, greeting(&mut up, agent_version).await).await?;
        let AgentReport::Hello(hello) = first else {
            return Err(refuse(&Refusal::BadGreeting("it is not an AgentHello".to_owned())));
        };
        let who = Who::Agent(hello.host.clone());
        let (outbox, commands) = Outbox::new();
        let cut = outbox.when_cut();
        let seat = self.register(|reply| Event::AgentJoins(hello, outbox, reply)).await;
        let seat = self.notice_refusal(Some(who), &from, seat).await?;
        let (last_word, word) = mpsc::channel(1);
        let event = move |report| Event::Agent(seat, report, Clock::now());
        self.read(up, last_word, event, move |how, why| Event::AgentLeft(seat, how, why));
        Ok(Response::new(Down::new(commands, word, cut)))
    }
}

fn address<T>(request: &Request<T>) -> String {
    request.remote_addr().map_or_else(|| "an unknown address".to_owned(), |a| a.to_string())
}

impl Service {
    /// Tells the user who was turned away.
    async fn notice_refusal<T>(
        &self,
        who: Option<Who>,
        from: &str,
        answer: Result<T, Status>,
    ) -> Result<T, Status> {
        if let Err(status) = &answer {
            let notice = Notice::Refused(who, from.to_owned(), status.message().to_owned());
            let _ = self.events.send(Event::Notice(notice)).await;
        }
        answer
    }
}

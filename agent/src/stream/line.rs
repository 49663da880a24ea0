//! One stream to the coordinator.

use std::pin::Pin;
use std::time::Duration;

use fluxfleet_proto::MAX_MESSAGE_BYTES;
use fluxfleet_proto::message::AgentReport;
use fluxfleet_proto::peer::AgentHello;
use fluxfleet_proto::wire;
use fluxfleet_proto::wire::fleet_client::FleetClient;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::Coordinator;
use super::dial::connect;
use super::outbound::{Outbound, Ping};

/// Reports between the ring and the transport. More would only hide in the queue what the ring can count.
const REPORTS_AHEAD: usize = 2;

/// Pings that wait for the transport; the coordinator sends a few each second.
const PINGS_AHEAD: usize = 16;

/// How long a cancelled agent waits for the coordinator to take its goodbye and close its own side.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// How long one try to reach the coordinator again may take, from dialling to the answer to the greeting.
const TRY_WITHIN: Duration = Duration::from_secs(10);

/// An open stream, both ways. Dropping it leaves it as one that broke; [`goodbye`](Self::goodbye) ends it for good.
#[derive(Debug)]
pub(super) struct Line {
    /// Pings that are to be answered.
    pub(super) pings: mpsc::Sender<Ping>,
    /// What the agent says.
    pub(super) reports: mpsc::Sender<AgentReport>,
    /// What the coordinator says.
    pub(super) commands: Streaming<wire::AgentDown>,
}

impl Line {
    /// Greets; the coordinator answers when it has taken the agent in, or refuses with a status.
    pub(super) async fn open(channel: Channel, hello: AgentHello) -> Result<Self, Status> {
        let (pings, pings_out) = mpsc::channel(PINGS_AHEAD);
        let (reports, reports_out) = mpsc::channel(REPORTS_AHEAD);
        let outbound = Outbound { pings: pings_out, reports: reports_out };
        // The channel is new, so there is room.
        let _ = reports.try_send(AgentReport::Hello(hello));
        let mut client = FleetClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        // Pinned on the heap: the future of a call is large.
        let call: Pin<Box<_>> = Box::pin(client.watch(outbound));
        let commands = call.await?.into_inner();
        Ok(Self { pings, reports, commands })
    }

    /// Dials once and greets.
    pub(super) async fn reach(coordinator: &Coordinator, hello: AgentHello) -> Result<Self, Status> {
        let once = async { Self::open(connect(coordinator).await?, hello).await };
        match timeout(TRY_WITHIN, once).await {
            Ok(reached) => reached,
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} s", TRY_WITHIN.as_secs()))),
        }
    }

    /// Says goodbye: the coordinator sees an agent that left, and not one that may come back.
    pub(super) async fn goodbye(self) {
        let Self { pings, reports, mut commands } = self;
        let farewell = async {
            let _ = reports.send(AgentReport::Goodbye).await;
            drop((reports, pings));
            while let Ok(Some(_)) = commands.message().await {}
        };
        let _ = timeout(GOODBYE_WITHIN, farewell).await;
    }
}

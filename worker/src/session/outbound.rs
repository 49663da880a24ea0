//! The stream up: clock answers overtake reports.

use std::pin::Pin;
use std::task::{Context, Poll};

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::{ClockPong, WorkerReport};
use fluxfleet_proto::wire::WorkerUp;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// Pings that may wait for their answer. One that finds no room is not answered, which costs the coordinator
/// one measurement of many.
const PONG_ROOM: usize = 64;
/// Reports that may wait in the stream. Few, so that a slow coordinator is noticed by the engine soon.
const REPORT_ROOM: usize = 4;

/// A ping that was taken off the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    pub(super) id: u64,
    pub(super) received: Mono,
}

/// Feeds the stream. The stream ends when the reports' sender is dropped.
pub(super) struct Feeder {
    pub(super) pings: mpsc::Sender<Ping>,
    pub(super) reports: mpsc::Sender<WorkerUp>,
}

/// What tonic takes messages from.
pub(super) struct Outbound {
    pings: mpsc::Receiver<Ping>,
    reports: mpsc::Receiver<WorkerUp>,
}

/// Both ends.
pub(super) fn outbound() -> (Feeder, Outbound) {
    let (pings, pings_out) = mpsc::channel(PONG_ROOM);
    let (reports, reports_out) = mpsc::channel(REPORT_ROOM);
    (Feeder { pings, reports }, Outbound { pings: pings_out, reports: reports_out })
}

impl Stream for Outbound {
    type Item = WorkerUp;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<WorkerUp>> {
        if let Poll::Ready(Some(Ping { id, received })) = self.pings.poll_recv(cx) {
            // Stamped here, as late as this side can: tonic takes a message only when it can send it.
            let pong = ClockPong { id, received, sent: Clock::now() };
            return Poll::Ready(Some(WorkerReport::ClockPong(pong).into()));
        }
        self.reports.poll_recv(cx)
    }
}

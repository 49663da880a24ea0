//! What goes up the stream: pongs first, reports after.

use std::pin::Pin;
use std::task::{Context, Poll};

use fluxfleet_proto::clock::{Clock, Mono};
use fluxfleet_proto::message::{AgentReport, ClockPong};
use fluxfleet_proto::wire;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// A ping that was taken off the stream and waits to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ping {
    pub(super) id: u64,
    pub(super) received: Mono,
}

/// The request stream. It ends when the sender of reports is gone and what it sent is through.
///
/// Pongs overtake reports and are stamped when the transport takes them, so that a queue before it counts as
/// the peer's time and not as the network's.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) pings: mpsc::Receiver<Ping>,
    pub(super) reports: mpsc::Receiver<AgentReport>,
}

impl Outbound {
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Option<AgentReport>> {
        if let Poll::Ready(Some(Ping { id, received })) = self.pings.poll_recv(cx) {
            return Poll::Ready(Some(AgentReport::ClockPong(ClockPong { id, received, sent: Clock::now() })));
        }
        self.reports.poll_recv(cx)
    }
}

impl Stream for Outbound {
    type Item = wire::AgentUp;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<wire::AgentUp>> {
        self.poll_report(cx).map(|report| report.map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn pongs_overtake_reports_and_are_stamped_on_leaving() {
        let (ping, pings) = mpsc::channel(4);
        let (report, reports) = mpsc::channel(4);
        let mut outbound = Outbound { pings, reports };
        let gap = AgentReport::Gap(0, 1, "full".to_owned());
        report.try_send(gap.clone()).unwrap();
        let received = Clock::now();
        ping.try_send(Ping { id: 7, received }).unwrap();
        let queued = Clock::now();

        let Some(AgentReport::ClockPong(pong)) = poll_fn(|cx| outbound.poll_report(cx)).await else {
            panic!("the pong comes first");
        };
        assert_eq!((pong.id, pong.received), (7, received));
        assert!(pong.sent >= queued, "stamped before it left");
        assert_eq!(poll_fn(|cx| outbound.poll_report(cx)).await, Some(gap));
        drop((report, ping));
        assert_eq!(poll_fn(|cx| outbound.poll_report(cx)).await, None);
    }
}

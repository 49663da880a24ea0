//! What the threads of a trial share.

use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::load::Limits;
use fluxfleet_proto::tally::Record;
use fluxfleet_proto::trial::Share;
use tokio::sync::watch;

use super::gate::Gate;
use crate::claim::Claims;
use crate::record::Tallies;
use crate::stop::StopOrder;

/// How a trial is commanded.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) gate: Gate,
    pub(super) claims: Claims,
    order: watch::Sender<Option<StopOrder>>,
}

impl Control {
    pub(super) fn new(share: Share, limits: Limits, gate: Gate) -> Self {
        Self { gate, claims: Claims::new(share, limits), order: watch::Sender::new(None) }
    }

    pub(super) fn stop(&self, reason: NotSentReason, grace: Duration, now: Mono) {
        // The order first: whoever finds the claims closed or the gate stopped also finds the reason.
        let order = StopOrder::new(reason, grace, now);
        self.order.send_modify(|known| *known = Some(known.map_or(order, |known| known.joined(order))));
        self.claims.close();
        self.gate.stop();
    }

    /// The stop order, if there is one.
    pub(super) fn order(&self) -> Option<StopOrder> {
        *self.order.borrow()
    }

    /// Follows the stop order.
    pub(super) fn orders(&self) -> watch::Receiver<Option<StopOrder>> {
        self.order.subscribe()
    }
}

/// What a load thread hands to the collector.
#[derive(Debug)]
pub(super) enum Part {
    /// The thread is at the barrier.
    Ready,
    /// The thread cannot run.
    Unable(String),
    /// The thread was released at the barrier, having used so much processor time before.
    Started(usize, Mono, Duration),
    /// Enough records for a message.
    Records(Vec<Record>),
    /// What this thread was asked for at an interval's end.
    Flushed(usize, Box<Flushed>),
    /// This thread has ended.
    Finished(usize, Box<Finished>),
    /// The thread has panicked.
    Died,
}

/// What a thread recorded since it was last asked.
#[derive(Debug)]
pub(super) struct Flushed {
    pub(super) tallies: Tallies,
    pub(super) records: Vec<Record>,
    pub(super) in_flight: u64,
    pub(super) socket_errors: u64,
    /// Of the thread, since it began.
    pub(super) processor_time: Duration,
    pub(super) at: Mono,
}

/// A thread's last word.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) last: Flushed,
    /// First send and last end.
    pub(super) active: Option<(Mono, Mono)>,
}

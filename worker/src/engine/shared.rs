//! What the threads of a trial share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fluxfleet_proto::clock::Mono;
use fluxfleet_proto::failure::NotSentReason;
use fluxfleet_proto::load::Limits;
use fluxfleet_proto::tally::{Record, Tally};
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
    /// Empty tallies with the memory of earlier intervals.
    spares: Mutex<Vec<Tally>>,
}

/// Tallies kept for later intervals: one for each phase.
const SPARES: usize = 2;

impl Control {
    pub(super) fn new(share: Share, limits: Limits, gate: Gate) -> Self {
        Self {
            gate,
            claims: Claims::new(share, limits),
            order: watch::Sender::new(None),
            spares: Mutex::default(),
        }
    }

    /// Keeps the memory of an interval that was given off.
    pub(super) fn give_back(&self, mut tally: Tally) {
        tally.clear();
        let mut spares = self.spares();
        if spares.len() < SPARES {
            spares.push(tally);
        }
    }

    /// An empty tally, with the memory of an earlier one if there is any.
    pub(super) fn spare(&self) -> Tally {
        self.spares().pop().unwrap_or_default()
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Tally>> {
        // Whole at any time, whoever has panicked.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
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
